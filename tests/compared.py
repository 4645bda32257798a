"""Comparisons of small runs for tests of what is made of them."""

import functools

from evaluated import evaluation, with_other_policy
from score_arrays import score_arrays, without

from remid_jax import compare
from remid_jax.parallel import Devices

COUNTS = {"IDTest": 5, "german": 5, "spanish": 5, "Gaming": 5}
CHECKPOINTS = ("base", "sft@10", "sft@20", "dpo@5", "dpo@20")


@functools.cache
def comparison(names=CHECKPOINTS):
    """Runs of these names, the first the baseline, each with replies of its own that hold markup and control characters."""
    arrays = without(score_arrays(COUNTS, seed=2), "/self/", "golden_half", "constant")
    runs = {}
    for seed, name in enumerate(names):
        samples = [
            {"category": category, "record": record, "reply": f"<b>{name}</b> & {record}"}
            for category in COUNTS
            for record in arrays[f"{category}/record"].tolist()
        ]
        runs[name] = evaluation(with_other_policy(arrays, seed) if seed else arrays, {}, samples)
    return compare(runs, devices=Devices())
