"""The worlds that decide which statements hold (docs/theory.md, section 1); each function's docstring says what it shows.

W5, W6, W7 and W9 speak of laws, critics, samples and features and not of worlds: those are what their functions return.
"""

from __future__ import annotations

import numpy as np

from remid_jax.theory.worlds.world import World, from_arrays


def _world(p_x: np.ndarray, q_x: np.ndarray, golden: np.ndarray, theta: np.ndarray) -> World:
    arrays = {"p_x": p_x, "q_x": q_x, "p_y": golden, "q_y": golden, "theta": theta}
    return from_arrays({name: np.asarray(array, float)[None] for name, array in arrays.items()})[0]


def _of_users(p: np.ndarray, q: np.ndarray, golden: np.ndarray, theta: np.ndarray) -> World:
    """A world whose context is its user alone."""
    return _world(p[:, None, None], q[:, None, None], golden[:, None, None], theta[:, None, None])


def w1() -> World:
    """A pure user shift is not covered by the published bound: P(u|c) differs from Q(u|c) though P(c|u) = Q(c|u)."""
    character = np.array([[0.7, 0.3], [0.2, 0.8]])
    p, q = np.array([0.5, 0.5]), np.array([0.9, 0.1])
    golden, theta = np.eye(2)[:, None, None].repeat(2, 1), np.full((2, 2, 1, 2), 0.5)
    return _world((p[:, None] * character)[..., None], (q[:, None] * character)[..., None], golden, theta)


def w2(t: float = 0.1) -> World:
    """Two blocks with u = c = d: EMID = 2 t ln 2 passes the published bound, whose Hhat must be max h_* + max h_theta."""
    law = np.array([1 + t, 1 + t, 1 - t, 1 - t]) / 4
    sure, unsure = np.eye(2), np.full((2, 2), 0.5)
    diagonal = np.arange(4)
    p_x, q_x = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    golden, theta = np.full((4, 4, 4, 2), 0.5), np.full((4, 4, 4, 2), 0.5)
    p_x[diagonal, diagonal, diagonal], q_x[diagonal, diagonal, diagonal] = law, law[::-1]
    golden[diagonal, diagonal, diagonal] = np.concatenate([unsure, sure])
    theta[diagonal, diagonal, diagonal] = np.concatenate([sure, unsure])
    return _world(p_x, q_x, golden, theta)


def w3(n: int, new_reply: bool = True) -> World:
    """One-sided: P one context, Q uniform on n others, golden a bijection there, the policy always the reply of P's context.

    EMID = log n and Hhat = 0, so the published bound 8 (ln 2)^(1/4) breaks from n = 1480 on; from 1469 on if that reply is one
    of the n (`new_reply` false).
    """
    replies = n + new_reply
    constant = np.zeros((n + 1, replies))
    constant[:, -1] = 1
    golden = np.concatenate([constant[:1], np.eye(n, replies)])
    one = np.arange(n + 1) == 0
    return _of_users(one.astype(float), ~one / n, golden, constant)


def w4(n: int) -> World:
    """Two-sided: P uniform on the first n of 2n contexts, Q on the others; golden constant on the first and a bijection on
    the others, the policy the reverse. EMID = 2 log n breaks the published bound from n = 73 on."""
    first = np.arange(2 * n) < n
    constant, bijection = np.eye(n)[np.zeros(n, int)], np.eye(n)
    golden, theta = np.concatenate([constant, bijection]), np.concatenate([bijection, constant])
    return _of_users(first / n, ~first / n, golden, theta)


def w5(n: int = 31, e: float = 0.8647) -> tuple[np.ndarray, np.ndarray]:
    """Laws (p, q) for which |H(p) - H(q)| <= 4 D_JS^(1/4), a lemma behind the published bound, fails."""
    p = np.eye(n)[0]
    return p, (1 - e) * p + e / n


def w6() -> tuple[World, np.ndarray]:
    """(world, critic q [X, Y]): CLUB and leave-one-out lie below I = ln 2, so they are no upper bounds."""
    uniform = np.array([0.5, 0.5])
    return _of_users(uniform, uniform, np.eye(2), np.eye(2)), np.array([[0.7, 0.3], [0.3, 0.7]])


def w7(n: int = 16) -> np.ndarray:
    """log q(y_j | x_i) [n, n] of a critic fitted on its own sample of independent x and y: mixture = log n, but I = 0."""
    return np.where(np.eye(n) == 1, 0.0, -1e4)


def w8_contexts() -> World:
    """The policy answers each context with the golden kernel of another: EMI is not 0 unless contexts are equally likely."""
    law = np.array([0.8, 0.1, 0.1])
    golden = np.array([[0.1, 0.9], [0.9, 0.1], [0.9, 0.1]])
    return _of_users(law, law, golden, np.roll(golden, -1, axis=0))


def w8_replies(n: int = 8) -> World:
    """The policy relabels the golden replies by a fixed bijection: EMI is 0, cross EMI by CLUB very negative."""
    law, golden = np.full(n, 1 / n), 0.9 * np.eye(n) + 0.1 / n
    return _of_users(law, law, golden, np.roll(golden, 1, axis=1))


def w9() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features [2, 2], P, Q): the representation JSD passes D_JS unless every feature row has length 1."""
    return np.array([[1.0, 0.0], [0.0, 10.0]]), np.array([0.9, 0.1]), np.array([0.99, 0.01])


def w10() -> World:
    """A pure shift of composition: users and characters pair up under P and cross under Q, so no factor's own law shifts and
    no output law does. EMID = 2 ln 2, the published bound is 0 (found by ascent)."""
    p = np.eye(2)[..., None] / 2
    sure, unsure = np.eye(2)[:, None, None].repeat(2, 1), np.full((2, 2, 1, 2), 0.5)
    paired = p[..., None] > 0
    return _world(p, p[::-1], np.where(paired, unsure, sure), np.where(paired, sure, unsure))
