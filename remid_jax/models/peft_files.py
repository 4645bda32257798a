"""Adapters in the files of the PEFT library: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.models import huggingface
from remid_jax.models.adapters import Adapter, check_config, named
from remid_jax.models.config import TARGETS, DecoderConfig, LoRAConfig
from remid_jax.models.decoder import structure
from remid_jax.models.loading import LanguageModel
from remid_jax.models.lora import LoRAParam
from remid_jax.parallel import path_name

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# What these keys of adapter_config.json must say for W x + scale B A x to be all there is; absent they say so.
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "use_dora": (False,),
    "modules_to_save": (None, []),
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal", "mica"),  # the others change the base's own weights
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None,),
    "lora_bias": (False,),
    **dict.fromkeys(("use_qalora", "use_bdlora", "arrow_config", "kasa_config", "monteclora_config"), (None, False)),
}


def read_adapter(directory: str | Path, model: LanguageModel) -> Adapter:
    """A LoRA adapter as `peft.save_pretrained` writes it, float32.

    Modules with a rank or alpha of their own, and layers without an adapter, get the widest rank and the common scale: matrices
    are filled up with zeros, and B takes what its scale is more than the common one.

    Raises:
      UserError: if a file is missing or broken, if the adapter is of a kind that is more than W x + scale B A x, or if its
        tensors are not those of this model's layers: all are named.
    """
    directory = Path(directory)
    raw, tensors = _read_config(directory / CONFIG), _read_tensors(directory / WEIGHTS)
    own = {module: _parse_config(raw, directory / CONFIG, module) for module in {_module(name) for name in tensors}}
    targets = tuple(target for target, name in _peft_targets().items() if any(of.endswith(f".{name}") for of in own))
    common = dataclasses.replace(_parse_config(raw, directory / CONFIG, ""), targets=targets)
    for config in (common, *own.values()):
        check_config(dataclasses.replace(config, targets=targets), str(directory / CONFIG))
    rank = max(config.rank for config in own.values())
    widest = dataclasses.replace(common, rank=rank, alpha=common.alpha * (rank / common.rank))
    wanted = _tensor_names(model.config, widest)
    expected = {
        name: _with_rank(name, shape, own.get(_module(name), common).rank) for names, shape in wanted.values() for name in names
    }
    selective = _selective(raw)
    faults = {
        "missing": [name for name in expected if name not in tensors and (_module(name) in own or not selective)],
        "unknown": [name for name in tensors if name not in expected],
        "of another shape": [
            f"{name} is {list(tensors[name].shape)}, not {list(shape)}"
            for name, shape in expected.items()
            if name in tensors and tensors[name].shape != shape
        ],
    }
    listed = "; ".join(f"{kind}: {_few(names)}" for kind, names in faults.items() if names)
    if listed:
        raise UserError(f"{directory}: is no adapter of {model.source}: tensors {listed}: name the base it was trained on")

    def filled(name: str, shape: tuple[int, ...]) -> np.ndarray:
        found = np.zeros(shape, np.float32)
        if name in tensors:
            rows, columns = tensors[name].shape
            found[:rows, :columns] = tensors[name]
            if ".lora_B." in name:
                found *= _scale(own[_module(name)]) / _scale(common)
        return found.T

    stacked = {path: np.stack([filled(name, shape) for name in names]) for path, (names, shape) in wanted.items()}

    def of(path: tuple[Any, ...], _: Any) -> jax.Array:
        return jnp.asarray(stacked[path_name(path)])

    return Adapter(widest, jax.tree_util.tree_map_with_path(of, _shapes(model.config, widest)))


def save_adapter(directory: str | Path, adapter: Adapter, model: LanguageModel, dtype: str = "float32") -> None:
    """Writes what `peft.PeftModel.from_pretrained` and `read_adapter` open; an adapter already there is replaced."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config, targets = adapter.config, _peft_targets()
    leaves, tensors = named(adapter.params), {}
    for path, (names, _) in _tensor_names(model.config, config).items():
        for name, layer in zip(names, np.asarray(leaves[path]), strict=True):
            tensors[PREFIX + name] = np.ascontiguousarray(layer.T.astype(jnp.dtype(dtype)))
    whole = directory / f".{WEIGHTS}.part"
    save_file(tensors, whole, metadata={"format": "pt"})
    whole.replace(directory / WEIGHTS)
    raw = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.source,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": [targets[target] for target in config.targets],
        "bias": "none",
        "inference_mode": True,
    }
    write_text(directory / CONFIG, json.dumps(raw, indent=1) + "\n")


def _shapes(config: DecoderConfig, lora: LoRAConfig) -> nnx.State:
    return nnx.split_state(structure(dataclasses.replace(config, adapter=lora))[1], LoRAParam, ...)[0]


def _peft_targets() -> dict[str, str]:
    """{"query": "q_proj", ...}."""
    modules = huggingface.MODULES.items()
    return {path.rpartition("/")[2]: name.rpartition(".")[2] for path, name in modules if path.rpartition("/")[2] in TARGETS}


def _tensor_names(config: DecoderConfig, lora: LoRAConfig) -> dict[str, tuple[list[str], tuple[int, ...]]]:
    """For every parameter of the adapter the names that PEFT gives its layers' tensors, and the shape of each."""
    found = {}
    for path, leaf in named(_shapes(config, lora)).items():
        module, _, kind = path.rpartition("/lora/")
        name = f"{huggingface.MODULES[module]}.lora_{kind.upper()}.weight"
        found[path] = ([name.format(layer=layer) for layer in range(config.layers)], leaf.shape[:0:-1])
    return found


def _read_config(path: Path) -> dict[str, Any]:
    raw = read_object(path, "save the adapter again")
    odd = [f"{key}={raw[key]!r}" for key, allowed in PLAIN.items() if key in raw and raw[key] not in allowed]
    if odd:
        raise UserError(f"{path}: {', '.join(odd)}: only plain LoRA on linear layers is read: merge or retrain it as such")
    return raw


def _parse_config(raw: dict[str, Any], path: Path, module: str) -> LoRAConfig:
    """Rank, alpha and dropout of one module."""
    try:
        rank = int(_pattern(raw.get("rank_pattern"), module, raw["r"]))
        alpha = float(_pattern(raw.get("alpha_pattern"), module, raw["lora_alpha"]))
        dropout = float(raw.get("lora_dropout", 0.0))
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise UserError(
            f"{path}: has no number for r, lora_alpha or lora_dropout, or no regex ({error}): save the adapter again"
        ) from error
    # Rank-stabilised LoRA scales by alpha / sqrt(rank), which is alpha sqrt(rank) / rank.
    return LoRAConfig(rank, alpha * max(rank, 0) ** 0.5 if raw.get("use_rslora") else alpha, dropout=dropout)


def _pattern(patterns: dict[str, Any] | None, module: str, default: Any) -> Any:
    """What the first pattern that fits the end of a module's name says, as PEFT reads them."""
    return next((value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _selective(raw: dict[str, Any]) -> bool:
    """Whether the adapter may stand on some of the layers only."""
    targets = raw.get("target_modules")
    chosen = isinstance(targets, str) or any("." in target for target in targets or ())
    return chosen or raw.get("layers_to_transform") is not None or bool(raw.get("exclude_modules"))


def _module(name: str) -> str:
    """model.layers.0.mlp.up_proj.lora_A.weight -> model.layers.0.mlp.up_proj."""
    return name.rpartition(".lora_")[0]


def _with_rank(name: str, shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return (rank, shape[1]) if ".lora_A." in name else (shape[0], rank)


def _scale(config: LoRAConfig) -> float:
    return config.alpha / config.rank


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise UserError(f"{path}: no such file: an adapter's weights are safetensors; save it again with safe_serialization")
    try:
        with safe_open(path, framework="np") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: is not a whole safetensors file ({error}): save the adapter again") from error
    bare = {re.sub(r"^base_model\.model\.", "", name): tensor for name, tensor in found.items()}
    return {huggingface.canonical(name) or name: tensor for name, tensor in bare.items()}


def _few(names: list[str], most: int = 6) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
