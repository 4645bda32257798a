"""LoRA by the modules that PEFT names: which of our kernels each holds, one alone or, where they are fused, several."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from remid_jax.models.config import DecoderConfig
from remid_jax.models.tensor_names import layout

Pair = tuple[np.ndarray, np.ndarray]  # A [rank, inputs] and B [outputs, rank]


class Part(NamedTuple):
    """One of our kernels in one layer, and which of its module's outputs are its own."""

    target: str
    layer: int
    rows: slice


class Module(NamedTuple):
    """A linear module of the layers, [outputs, inputs]; several parts where it is fused."""

    parts: tuple[Part, ...]
    outputs: int
    inputs: int


def modules_of(config: DecoderConfig) -> dict[str, Module]:
    """Every linear module of the layers, by its name as "model.layers.0.self_attn.q_proj"."""
    found: dict[str, Module] = {}
    for path, tensors in layout(config).items():
        if not path.endswith("/kernel"):
            continue
        rows = slice(tensors.first, tensors.first + tensors.shape[0])
        for layer, name in enumerate(tensors.names):
            before = found.get(name.removesuffix(".weight"), Module((), 0, 0)).parts
            part = Part(path.split("/")[-2], layer, rows)
            parts = tuple(sorted((*before, part), key=lambda part: part.rows.start))
            found[name.removesuffix(".weight")] = Module(parts, tensors.rows, tensors.shape[1])
    return found


def split(module: Module, a: np.ndarray, b: np.ndarray) -> Iterator[tuple[Part, Pair]]:
    """Each part's own A and B. Of a fused module's ranks a part has not those that serve other parts only."""
    for part in module.parts:
        own = b[part.rows]
        serves_others = ~own.any(axis=0) & b.any(axis=0)
        if not serves_others.all():
            yield part, (a[~serves_others], own[:, ~serves_others])


def fuse(module: Module, pairs: Mapping[str, Pair]) -> Pair:
    """One A and B for all parts, by their targets, of which each has ranks of its own: exactly what they compute apart."""
    present = [(part, *pairs[part.target]) for part in module.parts if part.target in pairs]
    a = np.concatenate([of for _, of, _ in present])
    b, first = np.zeros((module.outputs, len(a)), a.dtype), 0
    for part, of, own in present:
        b[part.rows, first : first + len(of)] = own
        first += len(of)
    return a, b
