"""Meshes, and where each parameter and batch lives on them.

The default is `jax.jit` over a mesh with axes (data, model): batches are split over `data`, large parameters over `model`.
`parallel="pmap"` runs the same kernels under `jax.pmap` with replicated parameters.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from remid_jax.errors import UserError

Parallel = Literal["mesh", "pmap"]

# First match wins; paths are those of the parameter tree, e.g. "layers/attention/query/kernel" of shape [L, in, out].
RULES: tuple[tuple[str, PartitionSpec], ...] = (
    (r"(^embedding|^head)$", PartitionSpec("model", None)),
    (r"(query|key|value|gate|up)/kernel$", PartitionSpec(None, None, "model")),
    (r"(query|key|value|gate|up)/bias$", PartitionSpec(None, "model")),
    (r"(output|down)/kernel$", PartitionSpec(None, "model", None)),
    (r".*", PartitionSpec()),
)


def make_mesh(model: int = 1) -> Mesh:
    """A (data, model) mesh over all devices, `model` of them along each model axis.

    Raises:
      UserError: if `model` does not divide the number of devices.
    """
    devices = jax.device_count()
    if model < 1 or devices % model:
        raise UserError(f"config.mesh_model={model} does not divide the {devices} devices present: choose a divisor of {devices}")
    return jax.make_mesh((devices // model, model), ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))


def path_name(path: tuple[Any, ...]) -> str:
    """A parameter's path as "layers/mlp/up/kernel"."""
    return "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path if str(key) != ".value")


def parameter_shardings(params: Any, mesh: Mesh) -> Any:
    """A NamedSharding for every leaf of `params` (arrays or shapes), by `RULES`; axes that do not divide stay replicated."""

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        spec = next(spec for pattern, spec in RULES if re.search(pattern, path_name(path)))
        fits = [axis if axis is None or leaf.shape[i] % mesh.shape[axis] == 0 else None for i, axis in enumerate(spec)]
        return NamedSharding(mesh, PartitionSpec(*fits))

    return jax.tree_util.tree_map_with_path(sharding, params)


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The leading axis over all of `data`, the rest whole."""
    return NamedSharding(mesh, PartitionSpec("data"))


def to_host(array: jax.Array) -> np.ndarray:
    """The whole array on every host, also where it is spread over several of them."""
    if array.is_fully_addressable:
        return np.asarray(array)
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(array, tiled=True))
