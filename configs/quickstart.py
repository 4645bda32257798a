"""R-EMID of SmolLM2-135M-Instruct on the embedded compact RPGBench, on a laptop's CPU.

    python -m experiments.evaluate --config=configs/quickstart.py

A quarter to half an hour on two cores (not timed alone), seconds when repeated. The estimator is the two pairs of adapters that
come with the package; each record is scored by the pair that has not seen it. R-EMI of IDTest is +0.29 nats per token. The
default model writes English only, so the user shift measures that, too.
Every setting, with what it means, stands in remid_jax/evaluation/settings.py.
"""

from ml_collections import ConfigDict

from remid_jax.evaluation.settings import default_settings


def get_config() -> ConfigDict:
    config = default_settings()
    config.workdir = "runs/quickstart"
    return config
