"""The estimator that comes with this package: the cold start of CoRL on the embedded benchmark, cross-fitted in two folds.

    python -m experiments.corl --config=configs/estimator_quickstart.py

`make estimator` runs it and puts the pairs where `package:smollm2_cold_start` finds them. Of the arms compared in
docs/ablation.md that reason, the cold start has the smallest error of R-EMID where the truth is known, half of full CoRL's; its
golden log-likelihoods are the second best on the benchmark. An hour on two cores beside other programs.
"""

from ml_collections import ConfigDict

from configs import corl_quickstart


def get_config() -> ConfigDict:
    config = corl_quickstart.get_config()
    config.workdir = "runs/estimator_quickstart"
    config.dtype = "bfloat16"
    config.schedule = (("cold_reasoner", 12), ("cold_responder", 12), ("responder_refit", 32))
    return config
