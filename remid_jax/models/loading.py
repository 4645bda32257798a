"""Opening a language model: a directory, a hub id, a GGUF file, or the GGUF inside an installed Python package.

Opening reads the config, the tokenizer and the names and shapes of the weights; the weights themselves are read when first
asked for. From safetensors the host holds one device's part of one parameter at a time, and a part of one tensor beside it;
from a GGUF file, whose tensors are dequantised, one parameter.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args

import huggingface_hub
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from remid_jax.errors import UserError
from remid_jax.files import read_object
from remid_jax.models import huggingface, weight_files
from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoder import structure
from remid_jax.models.fingerprints import fingerprint
from remid_jax.models.gguf import read_gguf
from remid_jax.models.tensor_names import check_tensors
from remid_jax.models.tokenizer import Tokenizer
from remid_jax.models.weight_files import Stored
from remid_jax.parallel import gathered, parameter_shardings, path_name

Dtype = Literal["float32", "bfloat16"]
HUB_FILES = ["*.json", "*.jinja", "*.txt", "*.model", "model*.safetensors"]


@dataclasses.dataclass
class LanguageModel:
    """An opened model. `fingerprint` is a sha256 over its weights and config; `end_ids` are the ids that end a generation.

    A model with an adapter is its `base` with parameters `added` beside the base's own, which both share.
    """

    source: str
    config: DecoderConfig
    tokenizer: Tokenizer | None
    dtype: Dtype
    fingerprint: str
    end_ids: tuple[int, ...]
    arrays: Callable[[], Iterator[tuple[str, np.ndarray | Stored]]] = dataclasses.field(repr=False)
    mesh: Mesh | None = None
    base: LanguageModel | None = dataclasses.field(default=None, repr=False)
    added: nnx.State | None = dataclasses.field(default=None, repr=False)
    _held: dict[str, nnx.State] = dataclasses.field(default_factory=dict, init=False, repr=False)

    @property
    def loaded(self) -> bool:
        """Whether the weights have been read."""
        return bool(self._held) if self.base is None else self.base.loaded

    @property
    def params(self) -> nnx.State:
        """The decoder's parameters on the devices, sharded by `parallel.parameter_shardings`; read at first use."""
        if self.base is not None and self.added is not None:
            return nnx.merge_state(self.base.params, self.added)
        if not self._held:
            self._held["params"] = place_params(self.config, self.arrays(), self.dtype, self.mesh)
        return self._held["params"]


def open_model(source: str, dtype: str = "float32", mesh: Mesh | None = None) -> LanguageModel:
    """Opens a model without reading its weights.

    `source` is a directory with config.json and (sharded) safetensors, a .gguf file, "package:NAME" for the one GGUF file
    inside an installed Python package, or the id of a model on the Hugging Face hub (HF_HUB_OFFLINE is honoured).

    Raises:
      UserError: if there is no such model, or a file of it is missing, broken, or does not fit the others.
    """
    if dtype not in get_args(Dtype):
        raise UserError(f"dtype={dtype!r}: choose one of {', '.join(get_args(Dtype))}")
    path, precision = located(source), cast(Dtype, dtype)
    if path.suffix == ".gguf":
        return _open_gguf(source, path, precision, mesh)
    return _open_directory(source, path, precision, mesh)


def located(source: str) -> Path:
    """Returns the .gguf file or the directory of a model as `open_model` takes it; of one on the hub its snapshot here.

    Raises:
      UserError: if there is no such package, no such directory, or the hub does not give the model.
    """
    if source.startswith("package:"):
        return _gguf_of_package(source.removeprefix("package:"))
    path = Path(os.path.expanduser(source))  # unlike Path.expanduser, no error where nobody knows a home
    return path if path.suffix == ".gguf" or path.is_dir() else _download(source)


def with_params(model: LanguageModel, params: nnx.State, fingerprint: str) -> LanguageModel:
    """The model with other weights, already on the devices."""
    other = dataclasses.replace(model, fingerprint=fingerprint)
    other._held["params"] = params
    return other


def on_this_host(model: LanguageModel) -> LanguageModel:
    """The model with what was trained of it on each host: its adapter, or all parameters if it has none. Arrays that lie on the
    devices of several hosts become host copies; all hosts must call this."""

    def whole(params: nnx.State) -> nnx.State:
        return jax.tree.map(lambda a: a if a.is_fully_addressable else gathered(a), params)

    if model.added is not None:
        return dataclasses.replace(model, added=whole(model.added))
    return with_params(model, whole(model.params), model.fingerprint)


def read_as(model: LanguageModel, **settings: Any) -> LanguageModel:
    """The model, its weights shared, with other settings of its tokenizer (see `Tokenizer.configured`)."""
    other = copy.copy(model)
    other.tokenizer = model.tokenizer and model.tokenizer.configured(**settings)
    return other


def place_params(
    config: DecoderConfig, arrays: Iterator[tuple[str, np.ndarray | Stored]], dtype: Dtype, mesh: Mesh | None
) -> nnx.State:
    """Puts every parameter on the devices, in `dtype`, one after the other."""
    shapes = structure(config)[1]
    shardings: dict[str, Any] = {}
    if mesh is not None:
        leaves = jax.tree_util.tree_leaves_with_path(parameter_shardings(shapes, mesh))
        shardings = {path_name(path): sharding for path, sharding in leaves}
    placed = {}
    for path, array in arrays:
        placed[path] = _spread(array, shardings[path], dtype) if mesh else jnp.asarray(array[:].astype(dtype, copy=False))
    return jax.tree_util.tree_map_with_path(lambda path, leaf: placed[path_name(path)], shapes)


def _spread(array: np.ndarray | Stored, sharding: NamedSharding, dtype: Dtype) -> jax.Array:
    """Hands each of this host's devices its part, and makes no part before the one before it is handed over."""
    owners: dict[tuple[tuple[int, int, int], ...], list[jax.Device]] = {}
    for device, index in sharding.addressable_devices_indices_map(array.shape).items():
        spans = tuple(of.indices(size) for of, size in zip(index or (), array.shape, strict=True))
        owners.setdefault(spans, []).append(device)
    parts = []
    for spans, devices in owners.items():
        part = array[tuple(slice(*span) for span in spans)].astype(dtype, copy=False)
        parts += [jax.device_put(part, device).block_until_ready() for device in devices]
        del part
    return jax.make_array_from_single_device_arrays(array.shape, sharding, parts)


# ------------------------------------------------------------------------------------------------------------------ GGUF


def _open_gguf(source: str, path: Path, dtype: Dtype, mesh: Mesh | None) -> LanguageModel:
    if not path.is_file():
        raise UserError(f"{source}: no such file: check the path")
    model = read_gguf(path)
    return LanguageModel(
        source=source,
        config=model.config,
        tokenizer=model.tokenizer,
        dtype=dtype,
        fingerprint=fingerprint(model.config, [path]),
        end_ids=model.end_ids,
        arrays=model.arrays,
        mesh=mesh,
    )


def _gguf_of_package(name: str) -> Path:
    """The one .gguf file of an installed package, found without importing it."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UserError(f"package:{name}: no Python package {name} is installed: pip install it, or name another model")
    found = sorted(path for root in spec.submodule_search_locations or () for path in Path(root).rglob("*.gguf"))
    if len(found) != 1:
        listed = f" ({', '.join(path.name for path in found)}): name one of them by its path" if found else ": name a file"
        raise UserError(f"package:{name}: holds {len(found)} .gguf files, not one{listed}")
    return found[0]


# ----------------------------------------------------------------------------------------------------------- safetensors


def _download(source: str) -> Path:
    """The snapshot directory of a model on the hub."""
    if not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", source):
        raise UserError(f"{source}: no such directory: check the path")
    try:
        return Path(huggingface_hub.snapshot_download(source, allow_patterns=HUB_FILES))
    except (OSError, ValueError, huggingface_hub.errors.HfHubHTTPError) as error:
        why = str(error).strip().split("\n")[0]
        raise UserError(
            f"{source}: neither a directory nor a model that the hub gave ({why}): check the path or id, log in if the model "
            "is gated, unset HF_HUB_OFFLINE if it is not downloaded yet"
        ) from error


def _open_directory(source: str, directory: Path, dtype: Dtype, mesh: Mesh | None) -> LanguageModel:
    raw = _read_json(directory / "config.json", f"{source}: has no config.json: name a model's directory or hub id")
    config = huggingface.read_config(raw, f"{source}/config.json")
    files = weight_files.weight_files(source, directory, raw)
    tensors, tied = weight_files.tie(weight_files.read_headers(files), config.tied_embeddings)
    config = dataclasses.replace(config, tied_embeddings=tied)
    check_tensors(config, {name: tensor.shape for name, tensor in tensors.items()}, source)
    tokenizer = Tokenizer.from_directory(directory)
    return LanguageModel(
        source=source,
        config=config,
        tokenizer=tokenizer,
        dtype=dtype,
        fingerprint=fingerprint(config, files),
        end_ids=_end_ids(directory, raw, tokenizer),
        arrays=lambda: weight_files.stored(config, tensors, dtype),
        mesh=mesh,
    )


def _end_ids(directory: Path, raw: Mapping[str, Any], tokenizer: Tokenizer | None) -> tuple[int, ...]:
    """What generation_config.json ends a generation with, or else config.json, and the tokenizer's end of turn."""
    generation = directory / "generation_config.json"
    said = _read_json(generation, "").get("eos_token_id") if generation.is_file() else None
    said = raw.get("eos_token_id") if said is None else said
    ids = list(said) if isinstance(said, list) else [] if said is None else [said]
    if tokenizer is not None:
        with contextlib.suppress(UserError):  # a tokenizer without one can still score text
            ids.append(tokenizer.end_of_turn_id)
    return tuple(dict.fromkeys(ids))


def _read_json(path: Path, missing: str) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(missing)
    return read_object(path, "mend it, or fetch the model again")
