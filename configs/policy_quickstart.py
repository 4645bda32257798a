"""The policy adapter that comes with this package: SFT on the embedded benchmark's IDTrain, so that replies end.

    python -m experiments.train --config=configs/policy_quickstart.py

`make policy` runs it and puts the adapter where `package:smollm2_policy` finds it. Every turn of a dialogue is learnt, not only
the golden reply, so replies are short. Half a minute a step beside other programs.
"""

from ml_collections import ConfigDict

from configs import policy_sft


def get_config() -> ConfigDict:
    config = policy_sft.get_config()
    config.workdir = "runs/policy_quickstart"
    config.dtype = "bfloat16"
    config.augment = True
    config.steps = 48
    config.batch = 4
    config.lora.rank = 4
    config.lora.alpha = 8.0
    config.optimizer.learning_rate = 1e-3
    return config
