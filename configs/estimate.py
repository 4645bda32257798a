"""All estimates from a stored score table, without a model: seconds on any machine.

    python -m experiments.estimate --config=configs/estimate.py --config.input=SCORES.npz --config.output=ESTIMATES.json

Prints R-EMI and R-EMID with 95% intervals per category and shift. SCORES.npz is written by an evaluation; its layout is in
remid_jax/information/score_table.py, that of ESTIMATES.json in remid_jax/information/estimates.py.
"""

import dataclasses

from ml_collections import ConfigDict

from remid_jax.information.estimates import Settings


def get_config() -> ConfigDict:
    return ConfigDict(
        {
            "input": "",  # SCORES.npz
            "output": "",  # ESTIMATES.json; default: estimates.json in --workdir, where one is given
            "settings": dataclasses.asdict(Settings()),
        }
    )
