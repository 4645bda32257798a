"""Finite worlds: user, character, dialogue and reply from finite sets, so every quantity of the theory is an exact sum.

A world holds the context laws P_X and Q_X over (u, c, d), the golden kernels P_{Y|X} and Q_{Y|X}, and the policy's kernel
P_theta(y|x) (docs/metric.md, section 1 (Objects)). Functions of a world take one world; `in_blocks` maps them over many. Run
them under `jax.enable_x64(True)`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from remid_jax.errors import UserError
from remid_jax.parallel import Devices

FACTORS = ("user", "character", "dialogue")
SUM_TOLERANCE = 1e-6  # what float32 probabilities may be off; they are normalised after the check
FAULTS_NAMED = 8


Law = Array | np.ndarray


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class World:
    """Context laws p_x, q_x [U, C, D] and kernels p_y, q_y, theta [U, C, D, Y]; a batch has one more axis in front of each."""

    p_x: Law
    q_x: Law
    p_y: Law
    q_y: Law
    theta: Law

    def __len__(self) -> int:
        """How many worlds a batch holds."""
        return self.p_x.shape[0]

    def __getitem__(self, index: Any) -> World:
        """Worlds of a batch by number or slice."""
        return jax.tree.map(lambda array: array[index], self)


LAWS = ("p_x", "q_x")
KERNELS = ("p_y", "q_y", "theta")


def from_arrays(arrays: Mapping[str, np.ndarray], source: str = "worlds") -> World:
    """A batch of worlds from arrays `p_x`, `q_x` [B, U, C, D] and `p_y`, `q_y`, `theta` [B, U, C, D, Y], in float64.

    Each law is divided by its own sum, which may be off by 1e-6. At a context of probability 0 any distribution will do.

    Raises:
      UserError: an array is missing, unknown or not of numbers, shapes disagree, or a law is negative, not finite or does not
        sum to 1; the first slices at fault are named, such as p_y[3, 0, 1, 2].
    """
    faults = [f"{name} is missing" for name in (*LAWS, *KERNELS) if name not in arrays]
    faults += [f"{name} is not one of {', '.join((*LAWS, *KERNELS))}" for name in arrays if name not in (*LAWS, *KERNELS)]
    faults += [f"{name} holds {array.dtype}, not numbers" for name, array in arrays.items() if array.dtype.kind not in "fiu"]
    if not faults:
        faults = list(_shape_faults(arrays)) or list(_law_faults(arrays))
    if faults:
        more = f"; and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        raise UserError(f"{source}: {'; '.join(faults[:FAULTS_NAMED])}{more}: mend these probabilities")
    laws: dict[str, Any] = {}
    for name, axes in (*((law, (1, 2, 3)) for law in LAWS), *((kernel, (4,)) for kernel in KERNELS)):
        array = np.asarray(arrays[name], np.float64)
        laws[name] = array / array.sum(axis=axes, keepdims=True)
    return World(**laws)


def _shape_faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    wanted = np.shape(arrays["p_x"])
    if len(wanted) != 4:
        yield f"p_x has shape {list(wanted)}, expected [batch, user, character, dialogue]"
        return
    if 0 in wanted:
        yield f"p_x has shape {list(wanted)}: an axis is empty"
        return
    if arrays["q_x"].shape != wanted:
        yield f"q_x has shape {list(arrays['q_x'].shape)}, but p_x {list(wanted)}"
    replies = arrays["p_y"].shape[-1] if arrays["p_y"].ndim == 5 else None
    for name in KERNELS:
        shape = arrays[name].shape
        if len(shape) != 5 or shape[:4] != wanted or shape[4] in (0, *(() if replies == shape[4] else (shape[4],))):
            yield f"{name} has shape {list(shape)}, expected {[*wanted, replies or 'replies']}"


def _law_faults(arrays: Mapping[str, np.ndarray]) -> Iterator[str]:
    for names, events in ((LAWS, 3), (KERNELS, 1)):
        for name in names:
            array = np.asarray(arrays[name], np.float64)
            laws = array.reshape(*array.shape[: array.ndim - events], -1)
            finite = np.isfinite(laws).all(axis=-1)
            negative = (np.where(np.isfinite(laws), laws, 0) < 0).any(axis=-1)
            with np.errstate(invalid="ignore"):
                sums = laws.sum(axis=-1)
                off = finite & ~negative & (np.abs(sums - 1) > SUM_TOLERANCE)
            for wrong, what in ((~finite, "is not finite"), (negative, "has a negative probability"), (off, "sums to")):
                for place in np.argwhere(wrong):
                    total = f" {sums[tuple(place)]:.9g}, not 1" if what == "sums to" else ""
                    yield f"{name}[{', '.join(map(str, place))}] {what}{total}"


def to_arrays(worlds: World) -> dict[str, np.ndarray]:
    """The arrays of a batch by their names: the inverse of `from_arrays`."""
    return {field.name: np.asarray(getattr(worlds, field.name)) for field in dataclasses.fields(World)}


def in_blocks(
    function: Callable[[World], Any],
    worlds: World,
    devices: Devices,
    block: int = 1000,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Any:
    """`function` of every world of a batch, as stacked numpy arrays: blocks of one compiled shape, shared by the devices.

    The last block is filled up with copies of the last world. `report(done, total)` is called after each block. A function is
    compiled once for each shape and kind of devices, however often it is mapped.
    """
    step = _mapping(function, devices)
    block = -(-min(block, len(worlds)) // devices.rows) * devices.rows
    total, found = len(worlds), []
    for first in range(0, total, block):
        chosen = np.minimum(np.arange(first, first + block), total - 1)
        here = min(block, total - first)
        result = devices.fetch(step((), devices.place_batch(worlds[chosen])))
        found.append(jax.tree.map(lambda a, here=here: a[:here], result))
        report(first + here, total)
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


@functools.lru_cache(maxsize=16)
def _mapping(function: Callable[[World], Any], devices: Devices) -> Callable[..., Any]:
    return devices.spread(lambda _, chosen: jax.vmap(function)(chosen))


def batch(worlds: list[World]) -> World:
    """Worlds of one shape as a batch."""
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *worlds)
