"""Small score tables for tests: plausible numbers, and a true value for each, without a model."""

import numpy as np


def score_arrays(counts, seed=0, signal=6.0, shared_lineages=True, samples=2):
    """Arrays of the layout for {category: n}: golden replies fit their contexts, the policy's half as well."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for category, n in counts.items():
        lineage = [f"dialogue {i}" if shared_lineages else f"{category} {i}" for i in range(n)]
        arrays[f"{category}/record"] = np.array([f"{category}-{i}" for i in range(n)])
        arrays[f"{category}/lineage"] = np.array(lineage)
        for replies, fit in (("golden", 1.0), ("policy", 0.5), ("golden_half", 0.5), ("constant", 0.0)):
            tokens = rng.integers(10, 60, n)
            arrays[f"{category}/tokens/{replies}"] = tokens
            arrays[f"{category}/chars/{replies}"] = tokens * 4 + rng.integers(0, 9, n)
            for scorer in ("reasoned", "plain"):
                context, level = rng.normal(0, 2, (n, 1)), -2.0 * tokens + rng.normal(0, 4, n)
                fits = fit * signal * np.eye(n) + rng.normal(0, 1.5, (n, n)) * (replies != "constant")
                level = np.full(n, level[0]) if replies == "constant" else level
                arrays[f"{category}/loglik/{scorer}/{replies}"] = fits + context + level
                arrays[f"{category}/marginal/{scorer}/{replies}"] = level - 1.0
        arrays[f"{category}/self/loglik"] = rng.normal(-60, 2, (n, n, samples)) + 5 * np.eye(n)[..., None]
        arrays[f"{category}/self/tokens"] = rng.integers(10, 60, (n, samples))
        arrays[f"{category}/self/truncated"] = np.zeros((n, samples), bool)
    return arrays


def with_sources(arrays, seed=2):
    """The arrays with what replies copy: each set of replies is parted by source, at random."""
    rng, found = np.random.default_rng(seed), dict(arrays)
    for name, array in arrays.items():
        category, _, quantity = name.partition("/")
        if not quantity.startswith("tokens/"):
            continue
        replies = quantity.removeprefix("tokens/")
        counts = np.array([rng.multinomial(count, (0.2, 0.1, 0.1, 0.6)) for count in array])
        found[f"{category}/tokens_by_source/{replies}"] = counts
        for scorer in ("reasoned", "plain"):
            for kind in ("loglik", "marginal"):
                whole = arrays[f"{category}/{kind}/{scorer}/{replies}"]
                parts = whole[..., None] * rng.dirichlet((2.0, 1.0, 1.0, 6.0), whole.shape)
                parts[..., 3] += whole - parts.sum(-1)
                found[f"{category}/{kind}_by_source/{scorer}/{replies}"] = parts
    return found


def without(arrays, *parts):
    """The arrays whose names hold none of these parts."""
    return {name: array for name, array in arrays.items() if not any(part in name for part in parts)}


def with_shifts(arrays, seed=1):
    """The arrays with what bounds need besides: blocks with IDTest, embeddings, identities."""
    rng = np.random.default_rng(seed)
    categories = [name.removesuffix("/record") for name in arrays if name.endswith("/record")]
    samples, m = arrays["IDTest/self/tokens"].shape[1], len(arrays["IDTest/record"])
    found = dict(arrays)
    for number, category in enumerate(categories):
        n = len(arrays[f"{category}/record"])
        for place, factor in enumerate(("user", "character", "dialogue")):
            found[f"{category}/embedding/{factor}"] = rng.normal(number == place + 1, 1, (n, 5))
        found[f"{category}/identity/user"] = np.array([f"user {i % 3}" for i in range(n)])
        found[f"{category}/identity/character"] = np.array([f"character {i % 4}" for i in range(n)])
        if category == "IDTest":
            continue
        for block, shape in (("of_id", (n, m)), ("in_id", (m, n))):
            found[f"{category}/{block}/self"] = rng.normal(-61, 2, (*shape, samples))
            for scorer in ("reasoned", "plain"):
                found[f"{category}/{block}/golden/{scorer}"] = rng.normal(-70, 3, shape)
    return found
