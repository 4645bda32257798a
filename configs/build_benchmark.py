"""A benchmark out of a model that answers: characters, users, dialogues and shifts, then quality gates (docs/construction.md).

    python -m experiments.build_benchmark --config.model=endpoint:NAME --config.endpoints=endpoints.json

Writes PDGBench.json, records.jsonl with its manifest, what the gates took out, what could not be made, build.json and a data
card. With these settings, 12 categories of 16 dialogues and 32 training records out of about 1,100 answers, each paid for once:
killed, the same command goes on.
"""

from ml_collections import ConfigDict, config_dict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.model = config_dict.placeholder(str)  # who writes: endpoint:NAME, or a model as elsewhere
    config.search = config_dict.placeholder(str)  # who writes profiles, endpoint:NAME of one that searches; by default model
    config.sources = config_dict.placeholder(str)  # a folder of .txt and .md files in which characters are looked up
    config.endpoints = config_dict.placeholder(str)  # JSON: the servers that model and search may name (docs/endpoints.md)
    config.workdir = "runs/benchmark"
    config.categories = ()  # of RPGBench, for example ("german", "Gaming"); IDTest comes with them. () is all
    config.lineages = 16  # of each test category: users with characters
    config.train_lineages = 32  # of IDTrain
    config.dialogues = 1  # records of each lineage in a category, 1 to 3
    config.seed = 0
    config.temperature = 1.0
    config.max_new = 2048  # tokens of an answer, thoughts among them
    config.tries = 4  # draws of an answer until one has the form that was asked for; and rounds of proposing characters
    config.go_on = False  # True: where a cap is reached or a server fails, make what there is into a benchmark
    config.personas = config_dict.placeholder(str)  # JSON Lines: {"persona": text} of readers for whom characters are proposed
    config.characters = config_dict.placeholder(str)  # JSON Lines of your own, which come first (docs/construction.md)
    config.prompts = config_dict.placeholder(str)  # a folder with your own (see remid_jax/construction/prompts/)
    config.dtype = "float32"  # of a model on this machine; or "bfloat16"
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.template = config_dict.placeholder(str)  # settings of the chat template, for example '{"enable_thinking": false}'
    config.date = config_dict.placeholder(str)  # what it writes as today, 2026-01-31; by default the workdir's first day

    config.scoring = ConfigDict()  # the gate: is a golden reply likelier in its own context than in others?
    config.scoring.model = config_dict.placeholder(str)  # a model on this machine; without one this gate is left out
    config.scoring.prompts = config_dict.placeholder(str)  # as in evaluations (see remid_jax/dialogues/prompts/)
    config.scoring.dtype = "float32"
    config.scoring.template = config_dict.placeholder(str)

    config.devices = ConfigDict()
    config.devices.parallel = "mesh"  # or "pmap"
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 2048
    config.devices.max_row = 2048  # tokens a packed row holds at most; a single longer text still gets a row
    config.devices.sampling_rows = 64  # replies that a model on this machine samples at once
    return config
