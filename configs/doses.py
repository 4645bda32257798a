"""Golden replies of the embedded benchmark made worse by known amounts, and a planted shift: what each quantity says of them.

    python -m experiments.doses --config.page=docs/doses.md

Takes the bare SmolLM2 as estimator, on IDTest and a category of the user and of the character shift. Killed, the same command
goes on from its store.
`golden > half_golden_parrot > parrot, reciter, constant, golden of another` is the order to be found by novel quantities.
"""

from ml_collections import ConfigDict, config_dict

from remid_jax.evaluation.settings import default_settings


def get_config() -> ConfigDict:
    config = default_settings()
    config.workdir = "runs/doses"
    config.page = config_dict.placeholder(str)  # a Markdown file to write the page to, its figure beside it
    config.draws = 2000  # of the planted shift, for each of its cells
    config.benchmark.categories = ("IDTest", "german", "Literature")
    config.estimator.adapters = ""
    config.estimator.plain = "golden"
    config.estimator.dtype = "bfloat16"
    config.estimator.max_reasoning = 32
    config.statistics.bootstrap = 0
    return config
