"""All estimates from a stored score table, without a model: 4 s for 12 categories of 8 records, half a minute for 1,000 each.

    python -m experiments.estimate --config=configs/estimate.py --config.input=SCORES.npz --config.output=ESTIMATES.json

Prints R-EMI and R-EMID with 95% intervals per category and shift. SCORES.npz is written by an evaluation; its layout is in
remid_jax/information/score_arrays.py, that of ESTIMATES.json in remid_jax/information/estimates.py.
"""

import dataclasses

from ml_collections import ConfigDict, config_dict

from remid_jax.information.estimates import Settings


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.input = config_dict.placeholder(str)  # SCORES.npz
    config.output = config_dict.placeholder(str)  # ESTIMATES.json; by default estimates.json in the workdir
    config.parallel = "mesh"  # or "pmap"
    config.settings = dataclasses.asdict(Settings())
    return config
