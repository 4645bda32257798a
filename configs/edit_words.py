"""Edits for the dial `edited(FILE)`: a few words of a user changed so that another reply is due (docs/dials.md).

    python -m experiments.edit_words --config.model=endpoint:NAME --config.endpoints=endpoints.json

Asks once for each record of a category, again where an answer does not fit, and writes edits.jsonl and failures.jsonl to the
workdir. Each answer is paid for once: killed, the same command goes on.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.model = config_dict.placeholder(str)  # who writes: endpoint:NAME, or a model as elsewhere
    config.endpoints = config_dict.placeholder(str)  # JSON: the servers that model may name (docs/endpoints.md)
    config.workdir = "runs/edits"
    config.benchmark = ConfigDict()  # as in evaluations
    config.benchmark.source = "package:rpgbench_compact"
    config.benchmark.manifest = config_dict.placeholder(str)
    config.benchmark.format = config_dict.placeholder(str)
    config.benchmark.mapping = config_dict.placeholder(str)
    config.benchmark.character = config_dict.placeholder(str)
    config.benchmark.category = config_dict.placeholder(str)  # whose records are edited; by default the first
    config.seed = 0
    config.temperature = 1.0
    config.max_new = 2048  # tokens of an answer, thoughts among them
    config.tries = 4  # draws of an answer until one fits
    config.prompts = config_dict.placeholder(str)  # a folder with your own (see remid_jax/construction/prompts/)
    config.dtype = "float32"  # of a model on this machine; or "bfloat16"
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.devices = ConfigDict()
    config.devices.parallel = "mesh"  # or "pmap"
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.sampling_rows = 64  # replies that a model on this machine samples at once
    return config
