"""Worlds worked out in plain loops over dictionaries of probabilities, for comparison."""

import math
from itertools import product

import numpy as np


def random_world(rng, shape=(2, 3, 2, 4), concept=False, zeros=False):
    """One world's arrays by name; with `zeros`, some contexts and some replies never occur."""
    *contexts, replies = shape
    arrays = {law: rng.dirichlet(np.ones(math.prod(contexts))).reshape(contexts) for law in ("p_x", "q_x")}
    for kernel in ("p_y", "theta", "q_y"):
        arrays[kernel] = rng.dirichlet(np.full(replies, 0.6), contexts)
    if not concept:
        arrays["q_y"] = arrays["p_y"]
    if zeros:
        for law, (u, c) in (("p_x", (0, 0)), ("q_x", (0, 0)), ("p_x", (1, 1)), ("q_x", (1, 0))):
            arrays[law][u, c] = 0
            arrays[law] /= arrays[law].sum()
        for kernel in ("p_y", "theta", "q_y"):
            arrays[kernel] = arrays[kernel].copy()
            arrays[kernel][..., -1] = 0
            arrays[kernel] /= arrays[kernel].sum(-1, keepdims=True)
    return arrays


def marginal(law):
    """A law {(a, b): probability} to its first and second marginals."""
    first, second = {}, {}
    for (a, b), weight in law.items():
        first[a] = first.get(a, 0) + weight
        second[b] = second.get(b, 0) + weight
    return first, second


def entropy(law):
    return -sum(p * math.log(p) for p in law.values() if p > 0)


def information(law):
    first, second = marginal(law)
    return sum(p * math.log(p / (first[a] * second[b])) for (a, b), p in law.items() if p > 0)


def kl(p, q):
    return sum(weight * math.log(weight / q[key]) for key, weight in p.items() if weight > 0)


def js(p, q):
    keys = p.keys() | q.keys()
    middle = {key: (p.get(key, 0) + q.get(key, 0)) / 2 for key in keys}
    return (kl(p, middle) + kl(q, middle)) / 2


def joint(context_law, kernel):
    return {
        (x, y): context_law[x] * kernel[x][y] for x in product(*map(range, context_law.shape)) for y in range(kernel.shape[-1])
    }


def law_of(array):
    return {x: float(array[x]) for x in product(*map(range, array.shape))}


def emid(world):
    def emi(law, golden):
        return information(joint(law, world["theta"])) - information(joint(law, golden))

    return emi(world["p_x"], world["p_y"]) - emi(world["q_x"], world["q_y"])


def factor_law(array, kept):
    others = tuple(axis for axis in range(3) if axis not in kept)
    return law_of(array.sum(axis=others))


def one_hot(values: np.ndarray) -> np.ndarray:
    """A row for each value of discrete data, 1 in the column of that value."""
    codes = np.unique(values, return_inverse=True)[1]
    return np.eye(codes.max() + 1)[codes]
