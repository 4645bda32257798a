"""The weights in a model's folder: which files count, which tensors they hold, and reading one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open

from remid_jax.errors import UserError
from remid_jax.files import read_object
from remid_jax.models.config import DecoderConfig
from remid_jax.models.tensor_names import EMBEDDING, HEAD, Tensors, canonical, layout

FLOATS = ("F64", "F32", "F16", "BF16")


class Tensor(NamedTuple):
    """Where a tensor lies: `name` is what its file calls it."""

    file: Path
    name: str
    shape: tuple[int, ...]


def weight_files(source: str, directory: Path, raw: Mapping[str, Any]) -> list[Path]:
    """The files that transformers would open: `raw` is what config.json says.

    The file or index that config.json names as `transformers_weights`; else model.safetensors, also where the index of an
    earlier, sharded save lies beside it; else the shards of model.safetensors.index.json. Variants, such as
    model.fp16.safetensors, are opened only where they are named.

    Raises:
      UserError: if there are none, or only some of the shards, or only pickles.
    """
    named = raw.get("transformers_weights")
    if named is not None:
        chosen = Path(os.path.abspath(directory / str(named)))
        if not chosen.is_file() or not chosen.is_relative_to(os.path.abspath(directory)):
            raise UserError(
                f"{source}: config.json names weights that are not in its folder ({named}): mend or remove transformers_weights"
            )
        return _shards(source, directory, chosen) if chosen.suffix == ".json" else [chosen]
    if (directory / "model.safetensors").is_file():
        return [directory / "model.safetensors"]
    if (directory / "model.safetensors.index.json").is_file():
        return _shards(source, directory, directory / "model.safetensors.index.json")
    pickled = sorted(path.name for kind in ("*.bin", "*.pt", "*.pth") for path in directory.glob(kind))
    if pickled:
        raise UserError(
            f"{source}: holds only pickled weights ({', '.join(pickled)}), which run code when opened and are refused: "
            "convert them once, where you trust them, with transformers' from_pretrained and save_pretrained"
        )
    others = sorted(path.name for path in directory.glob("*.safetensors"))
    if others:
        raise UserError(
            f"{source}: has no model.safetensors and no index of shards, only {', '.join(others)}: rename the one that is "
            "meant, or fetch the index, too"
        )
    raise UserError(f"{source}: has no model.safetensors: name a model with safetensors weights, or a .gguf file")


def _shards(source: str, directory: Path, index: Path) -> list[Path]:
    names = read_object(index, "mend it, or fetch the model again").get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
        raise UserError(f"{index}: has no weight_map from tensors to files: fetch the model again")
    files = [directory / name for name in sorted(set(names.values()))]
    missing = [path.name for path in files if not path.is_file()]
    if missing:
        raise UserError(f"{source}: shards named in {index.name} are missing: {', '.join(missing)}: fetch the model again")
    return files


def read_headers(files: list[Path]) -> dict[str, Tensor]:
    """Every tensor of the files that a language model may want, by the name that transformers gives it."""
    found, faults = {}, []
    for path in files:
        try:
            with safe_open(path, framework="np") as file:
                for name in file.keys():  # noqa: SIM118 (it is no dict)
                    part, known = file.get_slice(name), canonical(name)
                    if known is None:
                        continue
                    if part.get_dtype() not in FLOATS:
                        faults.append(f"{name} is {part.get_dtype()}")
                    found[known] = Tensor(path, name, tuple(part.get_shape()))
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: is not a whole safetensors file ({error}): fetch it again") from error
    if faults:
        raise UserError(
            f"{files[0].parent}: tensors are not of type {', '.join(FLOATS)}: {', '.join(faults)}: name a model that is not "
            "quantised, or a .gguf file"
        )
    return found


def tie(tensors: Mapping[str, Tensor], tied: bool) -> tuple[dict[str, Tensor], bool]:
    """The tensors that count where config.json ties head and embedding, and whether they are tied, as transformers ends up.

    The one of the two that the file holds is both; of two that are equal one is left out; two that differ are not tied.
    """
    found, head, embedding = dict(tensors), f"{HEAD}.weight", f"{EMBEDDING}.weight"
    if tied and head in found and embedding not in found:
        found[embedding] = found.pop(head)
    elif tied and head in found:
        tied = np.array_equal(read(found[head]), read(found[embedding]))
        if tied:
            del found[head]
    return found, tied


def read(tensor: Tensor, *part: slice) -> np.ndarray:
    """The part of a tensor that slices along its first axes cut out; all of it without any."""
    with safe_open(tensor.file, framework="np") as file:
        return file.get_slice(tensor.name)[part or slice(None)]


@dataclasses.dataclass(frozen=True)
class Stored:
    """A parameter in the files of its tensors, of which any part can be read by slices, as of an array in `dtype`."""

    parts: Tensors
    tensors: Sequence[Tensor]
    dtype: str

    @property
    def shape(self) -> tuple[int, ...]:
        of_tensor = self.parts.shape[::-1] if self.parts.transposed else self.parts.shape
        return (len(self.tensors), *of_tensor) if self.parts.stacked else of_tensor

    def __getitem__(self, index: slice | tuple[slice, ...]) -> np.ndarray:
        """Reads one tensor after the other, so that beside what is returned no more than a tensor's part is in memory.

        Raises:
          UserError: naming the first tensor whose part holds a number that is not finite.
        """
        given = index if isinstance(index, tuple) else (index,)
        whole = (slice(None),) * (len(self.shape) - len(given))
        spans = [slice(*of.indices(size)) for of, size in zip((*given, *whole), self.shape, strict=True)]
        layers, within = (spans[0], spans[1:]) if self.parts.stacked else (slice(0, 1), spans)
        found = np.empty((layers.stop - layers.start, *(of.stop - of.start for of in within)), self.dtype)
        rows, *others = within[::-1] if self.parts.transposed else within
        rows = slice(rows.start + self.parts.first, rows.stop + self.parts.first)
        for layer, tensor in zip(found, self.tensors[layers], strict=True):
            part = read(tensor, rows, *others)
            layer[...] = part.T if self.parts.transposed else part
            del part  # before the next is read
            check_finite(layer, str(tensor.file), tensor.name)
        return found if self.parts.stacked else found[0]


def stored(config: DecoderConfig, tensors: Mapping[str, Tensor], dtype: str) -> Iterator[tuple[str, Stored]]:
    """Every parameter by its path, e.g. ("layers/mlp/up/kernel", of shape [L, in, out])."""
    for path, parts in layout(config).items():
        yield path, Stored(parts, [tensors[name] for name in parts.names], dtype)


def check_finite(array: np.ndarray, place: str, name: str) -> None:
    """Raises UserError, naming the file and its tensor, for a number that is not finite."""
    wrong = array.size - int(np.isfinite(array).sum())
    if wrong:
        raise UserError(
            f"{place}: tensor {name} holds {wrong} of {array.size} numbers that are not finite (NaN or infinite, "
            f"read as {array.dtype}): fetch or export the model again"
        )
