"""Does co-evolving improve the estimate beyond ordinary RL? Six arms of CoRL, three seeds, cross-fitted, measured alike.

    python -m experiments.sweep --config=configs/sweeps/ablation.py

Every arm after the cold start has 32 steps of GRPO and 16 of SFT, or SFT alone of about as many tokens. On SmolLM2 an arm and
seed takes 40 to 70 minutes on two cores, half of it training, so all 18 some 18 hours; docs/ablation.md says which we have run.
A small world, where the error of R-EMID is known, comes first, at one or two minutes an arm and seed. Kill it whenever you
like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import corl_quickstart
from configs.sweeps.policies import BENCHMARK, measured_by_the_first_estimator
from remid_jax.errors import UserError
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/ablation.py"


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/ablation"
    config.output = "docs/ablation.json"  # what is done, and every number
    config.page = "docs/ablation.md"
    config.seeds = (0, 1, 2)
    config.reference = "cold_start"  # the arm that the others are compared with

    cold = (("cold_reasoner", 8), ("cold_responder", 8))
    turn = (("reasoner_grpo", 8), ("responder_refit", 8), ("responder_grpo", 8))
    config.arms = ConfigDict()
    # A step of GRPO trains on about a third of the tokens of a step of SFT: 32 of them are 11 of SFT.
    config.arms.no_reasoning = (("plain_responder", 43),)
    config.arms.cold_start = (*cold, ("responder_refit", 27))
    config.arms.reasoner_only = (*cold, ("reasoner_grpo", 32), ("responder_refit", 16))
    config.arms.responder_only = (*cold, ("responder_refit", 16), ("responder_grpo", 32))
    config.arms.without_alternating = (*cold, ("reasoner_grpo", 16), ("responder_refit", 16), ("responder_grpo", 16))
    config.arms.corl = (*cold, *turn, *turn)

    config.corl = corl_quickstart.get_config()
    config.corl.benchmark.source = config.corl.teacher.reasoning = BENCHMARK
    config.evaluate = measured_by_the_first_estimator()  # of the fixed policies, under each arm's estimator
    config.world = world()
    return config


def world() -> ConfigDict:
    """The same arms on remid_jax/synthetic/reasoned_world.py, with a model so small that it needs, and affords, more steps.

    Two arms more ask why CoRL fares as it does: one ends each turn with the re-fit, one is held near where each phase began.
    """
    config = ConfigDict()
    config.records = 1024  # drawn anew for every seed; an estimator sees them all, and is measured on the whole population

    cold = (("cold_reasoner", 96), ("cold_responder", 96))
    reasoner, refit, responder = (("reasoner_grpo", 96), ("responder_refit", 96), ("responder_grpo", 96))
    config.arms = ConfigDict()
    # SFT makes up for what GRPO's completions lack: every arm trains on about 558,000 tokens.
    config.arms.no_reasoning = (("plain_responder", 875),)
    config.arms.cold_start = (*cold, ("responder_refit", 589))
    config.arms.reasoner_only = (*cold, ("reasoner_grpo", 384), ("responder_refit", 144))
    config.arms.responder_only = (*cold, ("responder_refit", 258), ("responder_grpo", 384))
    config.arms.without_alternating = (*cold, ("reasoner_grpo", 192), ("responder_refit", 192), ("responder_grpo", 192))
    config.arms.corl = (*cold, *(reasoner, refit, responder) * 2)
    config.arms.corl_refit_last = (*cold, *(reasoner, responder, refit) * 2)
    config.arms.corl_penalised = config.arms.corl
    config.losses = ConfigDict()  # what an arm's GRPO does otherwise
    # The weight was chosen on seed 9, where 0.04 changes little.
    config.losses.corl_penalised = ConfigDict({"penalty": "k3_ratio", "penalty_weight": 0.3})

    config.base = ConfigDict({"steps": 1500, "batch": 32, "learning_rate": 3e-3, "seed": 0})

    corl = corl_quickstart.get_config()
    corl.protocol = "in_sample"
    corl.save_every = 1000  # and at the end of every phase
    corl.show_every = 32
    corl.max_reasoning = corl.max_reply = 8
    corl.draws, corl.prompts_per_step, corl.batch = 8, 16, 32
    corl.reward_settings.reasoner.length.enough = 2
    corl.lora.rank, corl.lora.alpha = 16, 32.0
    corl.sft.learning_rate, corl.sft.clip = 3e-3, 1.0
    corl.grpo.learning_rate, corl.grpo.clip = 7.5e-4, 1.0
    corl.devices.sampling_rows = 128
    config.corl = corl
    return config


def sweep(config: ConfigDict) -> Sweep:
    """Of every arm and seed a point trains an estimator and one measures it: on the world first, then on the benchmark."""
    for name, arms in (("config.arms", config.arms), ("config.world.arms", config.world.arms)):
        if config.reference not in arms:
            raise UserError(f"config.reference={config.reference!r}: choose one of {name}: {', '.join(arms)}")
    points = [
        Point("world/base", "world_base", config.world.base.to_dict()),
        *(
            Point(f"world/records{seed}", "world_records", {"records": config.world.records, "seed": seed})
            for seed in config.seeds
        ),
        *(point for seed in config.seeds for arm in config.world.arms for point in on_world(config, arm, seed)),
        Point("replies", "evaluate", with_values(config.evaluate, {"estimator.adapters": None})),
        *(point for seed in config.seeds for arm in config.arms for point in on_benchmark(config, arm, seed)),
    ]
    return Sweep(
        "The arms of CoRL side by side",
        COMMAND,
        points,
        [world_table(config), benchmark_table(config)],
        "Means over seeds, in brackets the least and the greatest.",
    )


def on_world(config: ConfigDict, arm: str, seed: int) -> list[Point]:
    """The base is the same for all arms, and so are a seed's records."""
    name, base, records = f"world/{arm}/seed{seed}", "world/base", f"world/records{seed}"
    given = {"model": output(base, "model"), "prompts": output(base, "prompts")}
    schedule, loss = config.world.arms[arm], config.world.losses.get(arm, ConfigDict())
    corl = given | {
        "benchmark.source": output(records, "records.jsonl"), "teacher.reasoning": output(records, "teacher.jsonl"),
        "schedule": schedule, "seed": seed, **{f"loss.{setting}": value for setting, value in loss.items()},
    }  # fmt: skip
    measure = given | {
        "dtype": config.world.corl.dtype, "estimator": output(f"{name}/train", "estimator"), "reasons": reasons(schedule)
    }  # fmt: skip
    return [
        Point(f"{name}/train", "corl", with_values(config.world.corl, corl), (base, records)),
        Point(name, "world", measure, (base, f"{name}/train")),
    ]


def on_benchmark(config: ConfigDict, arm: str, seed: int) -> list[Point]:
    """Fixed replies, those of the policy of `config.evaluate`, are evaluated under each arm's estimator."""
    name = f"{arm}/seed{seed}"
    evaluate = {
        "estimator.adapters": output(f"{name}/train", "estimator"),
        "policy.replies": output("replies", "replies.jsonl"),
    }
    return [
        Point(f"{name}/train", "corl", with_values(config.corl, {"schedule": config.arms[arm], "seed": seed})),
        Point(name, "evaluate", with_values(config.evaluate, evaluate), (f"{name}/train", "replies")),
    ]


def world_table(config: ConfigDict) -> Layout:
    columns = (
        Selector(
            "error of R-EMID",
            "measure.r_emid_rmse",
            ".3f",
            "root mean square over three policies and three shifts, nats a reply",
        ),
        Selector(f"minus {config.reference}", "measure.r_emid_rmse", "+.3f", "of the same seed", minus_reference=True),
        Selector(
            "error of Ihat", "measure.golden_information_error", "+.2f",
            "of golden replies in distribution, estimate minus truth, nats a reply",
        ),
        Selector("golden log-likelihood", "measure.golden_log_likelihood_gap", "+.2f", "minus its maximum, nats a reply"),
        Selector("feature named", "measure.features_named", ".0%", "how often greedy reasoning names the true feature"),
        Selector("tokens", "train.tokens", ",.0f", "trained on, mean", spread=False),
    )  # fmt: skip
    return Layout(
        "Arms on the world where the truth is known", "arm", lines(config, "world/", config.world.arms), columns,
        config.reference, by_first_column=True, runs="seeds",
        notes=("The error of always saying 0 is {measure.r_emid_rmse_of_zero:.3f}.",),
    )  # fmt: skip


def benchmark_table(config: ConfigDict) -> Layout:
    columns = (
        Selector(
            "golden log-likelihood", "train.golden_log_likelihood", "+.3f", "of replies that a pair has not seen, nats a token"
        ),
        Selector("reasoning's gain", "train.reasoning_gain", "+.3f", "the same minus that without reasoning"),
        Selector(f"minus {config.reference}: *", "train.golden_log_likelihoods.test.*", minus_reference=True),
        Selector(
            "Ihat(golden) IDTest", "measure.scorers.{scorer}.golden_information.IDTest", "+.3f", "nats a token"
        ),
        Selector(
            "R-EMI IDTest", "measure.scorers.{scorer}.r_emi.policy.IDTest", "+.3f", "of the fixed policy, nats a token"
        ),
        Selector("tokens", "train.tokens", ",.0f", "trained on, mean", spread=False),
    )  # fmt: skip
    return Layout("Arms on the benchmark", "arm", lines(config, "", config.arms), columns, config.reference, runs="seeds")


def lines(config: ConfigDict, above: str, arms: ConfigDict) -> list[Line]:
    """A row an arm, a run a seed. Who was trained without reasoning is read without."""
    found = []
    for arm, schedule in arms.items():
        names = [f"{above}{arm}/seed{seed}" for seed in config.seeds]
        runs = [{"train": f"{name}/train", "measure": name} for name in names]
        found.append(Line(arm, runs, {"scorer": "reasoned" if reasons(schedule) else "plain"}))
    return found


def reasons(schedule: tuple[tuple[str, int], ...]) -> bool:
    """Whether the responder of an arm is trained, and so measured, on reasoning."""
    return "plain_responder" not in dict(schedule)


def with_values(config: ConfigDict, values: dict) -> dict:
    """A config's settings, with others by dotted name."""
    copy = ConfigDict(config.to_dict())
    with copy.unlocked():
        copy.update_from_flattened_dict(values)
    return copy.to_dict()
