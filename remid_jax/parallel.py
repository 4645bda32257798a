"""Meshes, and where each parameter and batch lives on them.

The default is `jax.jit` over a mesh with axes (data, model): batches are split over `data`, large parameters over `model`.
`parallel="pmap"` runs the same kernels under `jax.pmap` with replicated parameters.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from remid_jax.errors import UserError

Parallel = Literal["mesh", "pmap"]

# First match wins; paths are those of the parameter tree, e.g. "layers/attention/query/kernel" of shape [L, in, out], or of an
# optimizer's state, whose moments bear their parameters' paths behind their own.
RULES: tuple[tuple[str, PartitionSpec], ...] = (
    (r"(^|/)(embedding|head)$", PartitionSpec("model", None)),
    (r"(query|key|value|gate|up)/kernel$", PartitionSpec(None, None, "model")),
    (r"(query|key|value|gate|up)/bias$", PartitionSpec(None, "model")),
    (r"(output|down)/kernel$", PartitionSpec(None, "model", None)),
    (r"(query|key|value|gate|up)/lora/b$", PartitionSpec(None, None, "model")),
    (r"(output|down)/lora/a$", PartitionSpec(None, "model", None)),
    (r".*", PartitionSpec()),
)


def make_mesh(model: int = 1, local: bool = False) -> Mesh:
    """A (data, model) mesh over all devices, or this host's alone, `model` of them along each model axis.

    Raises:
      UserError: if `model` does not divide the number of devices.
    """
    present = jax.local_devices() if local else jax.devices()
    devices = len(present)
    if model < 1 or devices % model:
        raise UserError(
            f"config.mesh_model={model} does not divide the {devices} devices present: choose a divisor of {devices}"
        )
    shape, axes = (devices // model, model), (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, ("data", "model"), axis_types=axes, devices=present)


def path_name(path: tuple[object, ...]) -> str:
    """A parameter's path as "layers/mlp/up/kernel"."""
    return "/".join(str(getattr(key, "key", getattr(key, "name", key))) for key in path if str(key) != ".value")


def parameter_shardings(params: object, mesh: Mesh) -> Any:
    """A NamedSharding for every leaf of `params` (arrays or shapes), by `RULES`; axes that do not divide stay replicated."""

    def sharding(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
        spec = next(spec for pattern, spec in RULES if re.search(pattern, path_name(path)))
        fits = [axis if axis is None or leaf.shape[i] % mesh.shape[axis] == 0 else None for i, axis in enumerate(spec)]
        return NamedSharding(mesh, PartitionSpec(*fits))

    return jax.tree_util.tree_map_with_path(sharding, params)


def row_shardings(rows: object, mesh: Mesh) -> Any:
    """A NamedSharding for every leaf of what is led by rows: they lie along the data axis, and key heads, the second of four
    axes (a cache's), along the model axis, if that divides them."""

    def sharding(leaf: Any) -> NamedSharding:
        heads = leaf.ndim == 4 and leaf.shape[1] % mesh.shape["model"] == 0
        return NamedSharding(mesh, PartitionSpec("data", "model") if heads else PartitionSpec("data"))

    return jax.tree.map(sharding, rows)


class Devices:
    """Where steps run. A step is a pure function of (params, batch), every leaf of `batch` and of its result led by rows.

    With "mesh", `jax.jit` splits the rows over the mesh's data axis; with "pmap", `jax.pmap` gives each local device its share
    and a copy of the parameters. `rows` is the number that every batch must be a multiple of. `local` leaves out the devices of
    other hosts, for work that one host does alone.
    """

    def __init__(self, parallel: Parallel = "mesh", model_axis: int = 1, local: bool = False):
        if parallel not in ("mesh", "pmap"):
            raise UserError(f'config.parallel={parallel!r}: choose "mesh" or "pmap"')
        if parallel == "pmap" and (model_axis != 1 or jax.process_count() > 1):
            raise UserError('config.parallel="pmap" replicates parameters on one host: use "mesh" to shard them or span hosts')
        self.parallel = parallel
        self.mesh = make_mesh(model_axis, local)
        self.rows = self.mesh.shape["data"]

    def __eq__(self, other: object) -> bool:
        """Whether steps compiled for one run on the other: programs are kept by their devices."""
        return isinstance(other, Devices) and (self.parallel, self.mesh) == (other.parallel, other.mesh)

    def __hash__(self) -> int:
        return hash((self.parallel, self.mesh))

    @property
    def parameter_mesh(self) -> Mesh | None:
        """The mesh on which a model's parameters are placed as they are read; None where each device gets a copy of them."""
        return self.mesh if self.parallel == "mesh" else None

    def copies(self, params: object) -> Any:
        """Parameters as the steps want them: as they are on the mesh; for pmap a copy a device along a new leading axis."""
        if self.parallel == "mesh":
            return params
        rows = NamedSharding(self.mesh, PartitionSpec("data"))
        return jax.tree.map(lambda a: jax.device_put(np.broadcast_to(np.asarray(a), (self.rows, *a.shape)), rows), params)

    def spread(self, step: Callable[..., Any], donate: tuple[int, ...] = ()) -> Callable[..., Any]:
        """The compiled `step`, which takes placed params and placed batches; `donate` are the arguments it may overwrite.

        On a mesh it is traced with that mesh in sight, so that kernels know how rows and key heads lie, and on what devices.
        """
        if self.parallel == "pmap":
            return jax.pmap(step, "data", donate_argnums=donate)
        return jax.jit(self._in_sight(step), donate_argnums=donate)

    def _in_sight(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """`step`, traced with the mesh in sight."""

        @functools.wraps(step)
        def on_mesh(*given: Any) -> Any:
            with jax.sharding.use_abstract_mesh(self.mesh.abstract_mesh):
                return step(*given)

        return on_mesh

    def total(self, count: jax.Array) -> jax.Array:
        """The sum over all devices of a number that each of them has, inside a spread step; a step on a mesh sees all rows."""
        return jax.lax.psum(count, "data") if self.parallel == "pmap" else count

    def exchanging(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """The compiled `step` of rows, which it may overwrite, and of host arrays: it sees the rows of all devices, numbered
        through, and may send them from one to another."""
        if self.parallel == "mesh":
            return self.spread(step, donate=(0,))

        def on_copies(rows: Any, *given: Any) -> Any:
            rows = step(jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), rows), *given)
            return jax.tree.map(lambda a: a.reshape(self.rows, -1, *a.shape[1:]), rows)

        return jax.jit(on_copies, donate_argnums=0, out_shardings=NamedSharding(self.mesh, PartitionSpec("data")))

    def making_rows(self, make: Callable[[int], Any], rows: int) -> Callable[[], Any]:
        """The compiled function that makes what `make` gives for a number of rows, laid as `row_shardings` says."""
        if self.parallel == "pmap":
            made = jax.pmap(lambda _: make(rows // self.rows))
            return lambda: made(self.place_batch(np.zeros(self.rows)))
        make = self._in_sight(functools.partial(make, rows))
        return jax.jit(make, out_shardings=row_shardings(jax.eval_shape(make), self.mesh))

    def first_rows(self, each: int) -> np.ndarray:
        """The number of each device's first row, of `each`, as a step counts them: with pmap every device counts its own."""
        return np.zeros(self.rows, np.int32) if self.parallel == "pmap" else each * np.arange(self.rows, dtype=np.int32)

    def place_batch(self, batch: object) -> Any:
        """Host arrays to the devices, row-wise."""
        rows = NamedSharding(self.mesh, PartitionSpec("data"))
        if self.parallel == "pmap":
            batch = jax.tree.map(lambda a: a.reshape(self.rows, -1, *a.shape[1:]), batch)
        return jax.tree.map(lambda a: jax.device_put(a, rows), batch)

    def fetch(self, result: object) -> Any:
        """Host copies of a step's result, rows in front again, whole on every host."""

        def host(a: jax.Array) -> np.ndarray:
            if not a.is_fully_addressable:
                return gathered(a)
            return np.asarray(a).reshape(-1, *a.shape[2:]) if self.parallel == "pmap" else np.asarray(a)

        return jax.tree.map(host, result)

    def map_rows(self, step: Callable[..., Any], shared: Any, rows: Any) -> Any:
        """A spread `step` on host arrays led by any number of rows, filled up with copies of the last; trimmed host arrays."""
        count = len(jax.tree.leaves(rows)[0])
        chosen = np.minimum(np.arange(-(-count // self.rows) * self.rows), count - 1)
        placed = self.place_batch(jax.tree.map(lambda a: np.asarray(a)[chosen], rows))
        result = self.fetch(step(self.copies(shared), placed))
        return jax.tree.map(lambda a: a[:count], result)


def gathered(array: jax.Array) -> np.ndarray:
    """A host copy of an array that lies on the devices of several hosts, whole on each; all of them must call this."""
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


def join_hosts(coordinator: str, hosts: int, host: int, patience: int) -> None:
    """Makes this process one of several hosts, before JAX has looked for devices.

    `coordinator` is HOST:PORT of the first, `host` counts from 0, `patience` is the seconds in which all must have come.

    Raises:
      UserError: if the hosts do not come together.
    """
    try:
        jax.distributed.initialize(coordinator, hosts, host, initialization_timeout=patience)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"host {host}: the hosts did not come together ({first}): start them again") from error


def is_first_host() -> bool:
    """Whether this process is the one that reads and writes files."""
    return jax.process_index() == 0


def from_first_host(blobs: Sequence[bytes | None]) -> list[bytes | None]:
    """What the first host holds, on every host; all must call this with equally many blobs."""
    if jax.process_count() == 1:
        return list(blobs)
    sizes = np.array([-1 if blob is None else len(blob) for blob in blobs], np.int64)
    sizes = np.asarray(multihost_utils.broadcast_one_to_all(sizes))
    joined = np.frombuffer(b"".join(blob or b"" for blob in blobs), np.uint8)
    whole = np.zeros(int(sizes.clip(0).sum()), np.uint8)
    if is_first_host():
        whole[:] = joined
    buffer, ends = np.asarray(multihost_utils.broadcast_one_to_all(whole)).tobytes(), np.cumsum(sizes.clip(0))
    return [None if size < 0 else buffer[end - size : end] for size, end in zip(sizes, ends, strict=True)]
