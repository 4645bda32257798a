"""Which records of a benchmark pass the quality gates (docs/gates.md), and why the others do not.

    python -m experiments.screen --config.source=FILE

FILE is a benchmark in any format of docs/formats.md, or package:rpgbench_compact, of which all 256 records pass in some ten
seconds. Without `model` the gate that asks how likely golden replies are is left out; with it, each reply is scored in its own
context and in up to eight others, on SmolLM2 some three seconds a record on two cores.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.source = config_dict.placeholder(str)  # a PDGBench.json, a JSONL file of records, or package:rpgbench_compact
    config.workdir = "runs/screen"
    config.manifest = config_dict.placeholder(str)  # JSON: your categories and their languages (docs/formats.md)
    config.format = config_dict.placeholder(str)  # "records", "messages" or "sharegpt"; by default as the file looks
    config.mapping = config_dict.placeholder(str)  # JSON: which field of a file is which of ours
    config.character = config_dict.placeholder(str)  # a card, JSON or PNG, for records that have no character
    config.refusals = config_dict.placeholder(str)  # your patterns in place of remid_jax/construction/gates/refusals.txt
    config.model = config_dict.placeholder(str)  # scores golden replies: a directory, a .gguf file, package:NAME or a hub id
    config.dtype = "float32"  # or "bfloat16"
    config.prompts = config_dict.placeholder(str)  # a folder with your own templates (see remid_jax/dialogues/prompts/)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.parallel = "mesh"  # or "pmap"
    config.mesh_model = 1  # devices over which each parameter is split
    config.tokens_per_step = 2048
    config.max_row = 2048  # tokens a packed row holds at most; a single longer text still gets a row
    return config
