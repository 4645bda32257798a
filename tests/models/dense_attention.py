"""Attention over random token trees, worked out densely in float64, gradients by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Case:
    """Arrays as `remid_jax.models.attention.attend.attend` takes them, and `change`, the gradient of what it gives."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    positions: np.ndarray
    ends: np.ndarray
    window: int | None
    softcap: float | None
    change: np.ndarray
    scale: float

    def seen(self):
        slots = np.arange(self.ends.shape[1])
        seen = (slots[None, :] <= slots[:, None]) & (slots[:, None] < self.ends[:, None, :])
        if self.window is not None:
            seen &= self.positions[:, :, None] - self.positions[:, None, :] < self.window
        return seen


def random_case(seed, length, rows=2, heads=4, kv_heads=2, size=8, window=None, softcap=None):
    """Rows of random trees, the last tokens padding; larger logits than usual, so that softmax is far from flat."""
    rng = np.random.default_rng(seed)
    positions, ends = np.zeros((rows, length), np.int32), np.zeros((rows, length), np.int32)
    for row in range(rows):
        used = length if rng.random() < 0.3 else int(rng.integers(1, length + 1))
        grow(rng, positions[row], ends[row], 0, used, 0)
    q, k, v = (2 * rng.standard_normal((rows, n, length, size)).astype(np.float32) for n in (heads, kv_heads, kv_heads))
    change = rng.standard_normal((rows, length, heads * size)).astype(np.float32)
    case = Case(q, k, v, positions, ends, window, softcap, change, size**-0.5)
    nobody = ~case.seen().any(axis=2)  # padding may take anything, and hands nothing back
    change[nobody] = 0
    return case


def grow(rng, positions, ends, first, last, depth):
    """Fills slots first .. last with a trunk that all of them see and branches that do not see each other.

    At the root the trunk may be missing: trees side by side.
    """
    trunk = int(rng.integers(first + (depth > 0), last + 1))
    positions[first:trunk], ends[first:trunk] = depth + np.arange(trunk - first), last
    start = trunk
    while start < last:
        end = int(rng.integers(start + 1, last + 1))
        grow(rng, positions, ends, start, end, depth + trunk - first)
        start = end


def dense(case):
    """What `case` gives, [B, T, NH], and its gradients to q, k and v."""
    q, k, v, change = (a.astype(np.float64) for a in (case.q, case.k, case.v, case.change))
    b, heads, t, size = q.shape
    group = heads // k.shape[1]
    keys, values = (np.repeat(a, group, axis=1) for a in (k, v))
    seen = case.seen()[:, None]
    logits = np.einsum("bnth,bnsh->bnts", q, keys) * case.scale
    slope = np.ones_like(logits)
    if case.softcap is not None:
        bent = np.tanh(logits / case.softcap)
        logits, slope = case.softcap * bent, 1 - bent**2
    logits = np.where(seen, logits, -np.inf)
    weights = np.where(seen, np.exp(logits - np.maximum(logits.max(-1, keepdims=True), -1e300)), 0)
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-300)
    mixed = np.einsum("bnts,bnsh->bnth", weights, values)
    change = change.reshape(b, t, heads, size).swapaxes(1, 2)
    to_weights = np.einsum("bnth,bnsh->bnts", change, values)
    to_logits = weights * (to_weights - (weights * to_weights).sum(-1, keepdims=True)) * slope * case.scale

    def shared(a):
        return a.reshape(b, -1, group, t, size).sum(axis=2)

    to_q = np.einsum("bnts,bnsh->bnth", to_logits, keys)
    to_k, to_v = (shared(np.einsum("bnts,bnth->bnsh", *pair)) for pair in ((to_logits, q), (weights, change)))
    return mixed.swapaxes(1, 2).reshape(b, t, heads * size), (to_q, to_k, to_v)


def run(way, case):
    """What `way`, called as `attend`, gives for `case`, and the gradients to q, k and v."""
    window = None if case.window is None else jnp.int32(case.window)

    @jax.jit
    def whole(q, k, v, window):
        mixed, back = jax.vjp(
            lambda q, k, v: way(q, k, v, case.positions, case.ends, window, case.scale, case.softcap), q, k, v
        )
        return mixed, back(jnp.asarray(case.change))

    return whole(case.q, case.k, case.v, window)


def check(way, case):
    """Asserts that `way` gives what `dense` does, and something finite for tokens that see none."""
    (mixed, gradients), (expected, expected_gradients) = run(way, case), dense(case)
    someone = case.seen().any(axis=2)
    np.testing.assert_allclose(np.asarray(mixed)[someone], expected[someone], atol=1e-5)
    for got, want in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)
    assert np.isfinite(mixed).all()
