"""The worst world of a scenario: gradient ascent of EMID / bound on the logits of a world.

Restarts begin at random worlds of the scenario; a quarter of them is sharpened towards determinism, and in another quarter
Q begins next to P. Adam, its step falling geometrically, because the published bound's Delta^(1/4) is steepest at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from remid_jax.theory.bounds.on_worlds import BOUNDS
from remid_jax.theory.worlds import World, quantities
from remid_jax.theory.worlds.scenarios import Logits, Scenario

SHARPENED = 5.0  # logits times this: near determinism
NEAR = 0.05  # of Q's own draw: near P = Q
FIRST_STEP, LAST_STEP = 0.2, 1e-5
CHUNK = 100  # steps between two looks at the progress bar
LEAST = 1e-6  # nats of EMID below which a ratio is rounding


class Found(NamedTuple):
    """Per restart: the largest EMID/bound met, the largest EMID - bound - 1e-9 - 1e-9 |bound| (positive: a violation), and the
    logits of the last world."""

    ratio: np.ndarray
    excess: np.ndarray
    logits: Logits


def starts(scenario: Scenario, seed: int, restarts: int) -> Logits:
    """Logits [restarts, ...]."""
    rng = np.random.default_rng(seed)
    logits = scenario.draw(rng, restarts)
    quarter = np.arange(restarts) * 4 // restarts
    for law, values in logits.items():
        kind = quarter.reshape(-1, *[1] * (values.ndim - 1))
        spread = np.where(kind == 1, SHARPENED, 1.0) * values
        if law == "tilt":
            spread = np.where(kind == 2, NEAR * values, spread)
        elif law.startswith("q_"):
            with np.errstate(invalid="ignore"):
                near = logits["p_" + law[2:]] + NEAR * rng.normal(size=values.shape)
            spread = np.where(kind == 2, near, spread)
        logits[law] = spread
    return logits


def ascend(
    scenario: Scenario, bound: str, seed: int, restarts: int, steps: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Found:  # fmt: skip
    """Climbs EMID / bound in `restarts` worlds at once; float64. `report(restarts times steps done, in all)`."""
    optimizer = optax.adam(optax.exponential_decay(FIRST_STEP, steps, LAST_STEP / FIRST_STEP))

    def climbed(logits: Logits) -> tuple[Float[Array, ""], tuple[Array, Array]]:
        of = quantities(scenario.build(logits))
        value = BOUNDS[bound](of).value
        return -of.emid / (value + 1e-12), (of.emid, value)

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        logits, moments, ratio, excess = state
        (_, (emid, value)), slope = jax.value_and_grad(climbed, has_aux=True)(logits)
        slope = jax.tree.map(lambda s: jnp.where(jnp.isfinite(s), s, 0.0), slope)
        update, moments = optimizer.update(slope, moments)
        ratio = jnp.maximum(ratio, jnp.where((emid > LEAST) & (value > 0), emid / value, 0.0))
        over = emid - value - 1e-9 - 1e-9 * jnp.abs(value)
        excess = jnp.maximum(excess, jnp.where(jnp.isnan(over), jnp.inf, over))  # no number is no bound
        return (optax.apply_updates(logits, update), moments, ratio, excess), None

    run = jax.jit(jax.vmap(lambda state: jax.lax.scan(step, state, length=CHUNK)[0]))
    logits = jax.tree.map(jnp.asarray, starts(scenario, seed, restarts))
    lowest = jnp.asarray(np.full(restarts, -np.inf))
    state = (logits, jax.vmap(optimizer.init)(logits), lowest, lowest)
    for done in range(0, steps, CHUNK):
        state = jax.block_until_ready(run(state))
        report((done + CHUNK) * restarts, steps * restarts)
    logits, _, ratio, excess = state
    return Found(np.asarray(ratio), np.asarray(excess), jax.tree.map(np.asarray, logits))


def worlds_of(scenario: Scenario, logits: Logits) -> World:
    """The worlds that logits [restarts, ...] stand for."""
    return jax.vmap(scenario.build)(logits)
