"""Saving a language model so that Hugging Face transformers, and `loading.open_model`, can open it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from safetensors.numpy import save_file

from remid_jax.disk import replacing, writing
from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.models.config import DecoderConfig
from remid_jax.models.huggingface import write_config
from remid_jax.models.tensor_names import Tensors, layout
from remid_jax.models.tokenizer import Tokenizer, remove_tokenizer
from remid_jax.parallel import path_name

SHARD_BYTES = 4 * 2**30


def save_model(
    directory: str | Path, config: DecoderConfig, params: nnx.State, tokenizer: Tokenizer | None, end_ids: Sequence[int] = ()
) -> None:
    """Writes safetensors in the parameters' dtype (in shards if large), the tokenizer's files, and at last config.json.

    `end_ids` end a generation, as the tokenizer's end of turn does. A model already in the directory is replaced: its
    config.json goes first, without which there is none.

    Raises:
      UserError: if the architecture has a trait that its family's config.json cannot express.
    """
    directory = Path(directory)
    leaves = {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    ends = list(end_ids)
    if tokenizer is not None:
        with contextlib.suppress(UserError):  # a tokenizer without one
            ends.append(tokenizer.end_of_turn_id)
    raw = write_config(config, str(leaves["embedding"].dtype), list(dict.fromkeys(ends)), str(directory))
    with writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    tensors_of = layout(config)
    shards = _plan_shards(tensors_of, leaves)
    names = [
        "model.safetensors" if len(shards) == 1 else f"model-{n:05d}-of-{len(shards):05d}.safetensors"
        for n in range(1, len(shards) + 1)
    ]
    for stale in (directory / "config.json", directory / "generation_config.json", *directory.glob("model*.safetensors*")):
        stale.unlink(missing_ok=True)
    weight_map: dict[str, str] = {}
    for name, paths in zip(names, shards, strict=True):
        tensors: dict[str, np.ndarray] = {}
        for path in paths:
            _unstack(np.asarray(leaves[path]), tensors_of[path], tensors)
        with replacing(directory / name) as whole:
            save_file(tensors, whole, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    if len(shards) > 1:
        total = sum(leaf.nbytes for leaf in leaves.values())
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        write_text(directory / "model.safetensors.index.json", json.dumps(index, indent=1) + "\n")
    if tokenizer is None:
        remove_tokenizer(directory)
    else:
        tokenizer.save(directory)
    write_text(directory / "config.json", json.dumps(raw, indent=1) + "\n")


def _plan_shards(tensors_of: Mapping[str, Tensors], leaves: Mapping[str, jax.Array]) -> list[list[str]]:
    """Parameter paths, in groups of at most SHARD_BYTES or of one: what is on the host at a time.

    Parameters that share tensors stay together.
    """
    together: dict[str, list[str]] = {}
    for path, parts in tensors_of.items():
        together.setdefault(parts.names[0], []).append(path)
    shards: list[list[str]] = []
    room = 0
    for paths in together.values():
        size = sum(leaves[path].nbytes for path in paths)
        if not shards or size > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1] += paths
        room -= size
    return shards


def _unstack(array: np.ndarray, parts: Tensors, tensors: dict[str, np.ndarray]) -> None:
    """Writes each layer of a parameter to its rows of its tensor."""
    layers = array if parts.stacked else array[None]
    for name, layer in zip(parts.names, layers, strict=True):
        whole = tensors.setdefault(name, np.empty((parts.rows, *parts.shape[1:]), layer.dtype))
        whole[parts.first : parts.first + parts.shape[0]] = layer.T if parts.transposed else layer
