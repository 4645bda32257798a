"""How much hangs on who measures? The same replies under the bare model and under both pairs of adapters that come with us.

    python -m experiments.sweep --config=configs/sweeps/estimators.py

Each estimator scores with its own reasoning and without any. SmolLM2-135M-Instruct on a laptop's CPU, on the eight lineages
that both pairs score cross-fitted. Kill it whenever you like, it goes on where it stopped.
"""

from ml_collections import ConfigDict

from configs import quickstart
from configs.sweeps.policies import BENCHMARK
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.settings import default_settings

COMMAND = "python -m experiments.sweep --config=configs/sweeps/estimators.py"
SCORERS = {"reasoned": "own reasoning", "plain": "no reasoning"}


def get_config() -> ConfigDict:
    config = default_settings()
    config.sweep = sweep  # its points and tables, made of all settings here
    config.workdir = "runs/estimators"
    config.output = "runs/estimators.json"  # what is done, and every number
    config.page = "runs/estimators.md"
    # Name: its pairs of adapters, "" for none.
    config.estimators = ConfigDict(
        {"base": "", "cold_start": "package:smollm2_cold_start", "corl": "package:smollm2_estimator"}
    )

    config.evaluate = quickstart.get_config()
    config.evaluate.benchmark.source = BENCHMARK
    config.evaluate.estimator.plain = None  # all replies are scored without reasoning, too
    config.evaluate.policy.self_samples = 0
    return config


def sweep(config: ConfigDict) -> Sweep:
    """A point an estimator. The policy's replies are drawn once, since all share a store."""
    points, lines = [], []
    for name, adapters in config.estimators.items():
        evaluate = config.evaluate.to_dict()
        evaluate["estimator"] |= {"adapters": adapters}
        points.append(Point(f"measure/{name}", "evaluate", evaluate))
        lines += [
            Line(f"{name}, {words}", [{"measure": points[-1].name}], {"scorer": scorer}) for scorer, words in SCORERS.items()
        ]
    columns = (
        Selector(
            "golden log-likelihood", "measure.scorers.{scorer}.golden_log_likelihood", "+.3f", "of golden replies, nats a token"
        ),
        Selector(
            "Ihat(golden) IDTest", "measure.scorers.{scorer}.golden_information.IDTest", "+.3f", "of golden replies on IDTest"
        ),
        Selector("R-EMI *", "measure.scorers.{scorer}.r_emi.policy.*", "+.3f", "of the same replies on *"),
    )
    table = Layout("Estimators, club in nats a token", "estimator", lines, columns)
    return Sweep("Estimators side by side", COMMAND, points, [table])
