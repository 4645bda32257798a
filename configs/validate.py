"""Estimators, intervals and bounds against the truth, on worlds and on enumerable language models.

    python -m experiments.validate

26 minutes on two cores; killed, the same command goes on with the next part. Writes validation.json to the workdir and, with
--config.page=docs/validation.md, the page of the documentation.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.workdir = "runs/validate"
    config.page = config_dict.placeholder(str)  # a Markdown file to write the results to
    config.run = config_dict.placeholder(str)  # results.json of a real run, whose terms under both its estimators are shown
    config.seed = 2512
    config.scenarios = ()  # such as ("user", "general"), of remid_jax/theory/worlds/scenarios.py; none named: all
    config.worlds = 20_000  # per scenario
    config.restarts = 200  # of the ascent, per scenario and bound
    config.steps = 2000  # of each restart
    config.replications = 1000  # of the coverage study, per cell
    config.draws = 200  # of the divergence study, per divergence
    config.workers = 2  # ascents side by side
    return config
