"""Adapters in the files of the PEFT library: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from remid_jax.disk import replacing
from remid_jax.errors import UserError
from remid_jax.files import read_object, write_text
from remid_jax.models.adapters import Adapter, check_config, named
from remid_jax.models.base_copies import LORA, other_faults, vocabulary_of
from remid_jax.models.config import TARGETS, DecoderConfig, LoRAConfig
from remid_jax.models.decoder import structure
from remid_jax.models.loading import LanguageModel
from remid_jax.models.lora import LoRAParam
from remid_jax.models.peft_modules import Module, Pair, fuse, modules_of, split
from remid_jax.models.tensor_names import canonical
from remid_jax.models.weight_files import check_finite
from remid_jax.parallel import path_name

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# What these keys of adapter_config.json must say for W x + scale B A x to be all there is; absent they say so.
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "use_dora": (False,),
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
    are filled up with zeros, and B takes what its scale is more than the common one. Copies of the base's own weights, which
    PEFT may put beside, must be unchanged.

    Raises:
      UserError: if a file is missing or broken, if the adapter is of a kind that is more than W x + scale B A x on the layers,
        or if its tensors are not those of this model's layers: all are named.
    """
    directory = Path(directory)
    raw, tensors = _read_config(directory / CONFIG), _read_tensors(directory / WEIGHTS)
    modules = modules_of(model.config)
    lora = {name: tensor for name, tensor in tensors.items() if LORA.search(name) and vocabulary_of(name) is None}
    _check_base(directory, model, modules, lora, _selective(raw))
    odd = [f"LoRA on {of}" for of in dict.fromkeys(vocabulary_of(name) for name in tensors if LORA.search(name)) if of]
    odd += other_faults({name: tensor for name, tensor in tensors.items() if not LORA.search(name)}, model)
    if odd:
        raise UserError(
            f"{directory}: holds {_few(odd, '; ')}: only LoRA on the linear modules of the layers is read: merge it all into "
            "the base (peft's merge_and_unload, then save_pretrained) and name the result as the model"
        )
    own = {module: _parse_config(raw, directory / CONFIG, module) for module in dict.fromkeys(map(_module, lora))}
    common = _parse_config(raw, directory / CONFIG, "")
    for config in (common, *own.values()):
        check_config(config, str(directory / CONFIG))
    _check_own(directory, own, lora)
    pairs: dict[tuple[str, int], Pair] = {}
    for name, config in own.items():
        a, b = (lora[f"{name}.lora_{kind}.weight"].astype(np.float32) for kind in "AB")
        for part, pair in split(modules[name], a, b * (_scale(config) / _scale(common))):
            pairs[part.target, part.layer] = pair
    rank = max(len(a) for a, _ in pairs.values())
    targets = tuple(target for target in TARGETS if any(target == of for of, _ in pairs))
    widest = dataclasses.replace(common, rank=rank, alpha=common.alpha * (rank / common.rank), targets=targets)

    def filled(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> jax.Array:
        target, _, kind = path_name(path).split("/")[-3:]
        whole = np.zeros(leaf.shape, np.float32)
        for layer in range(model.config.layers):
            if (target, layer) in pairs:
                part = pairs[target, layer][kind == "b"].T
                whole[layer, : part.shape[0], : part.shape[1]] = part
        return jnp.asarray(whole)

    return Adapter(widest, jax.tree_util.tree_map_with_path(filled, _shapes(model.config, widest)))


def _check_base(
    directory: Path, model: LanguageModel, modules: Mapping[str, Module], lora: Mapping[str, np.ndarray], selective: bool
) -> None:
    """Raises UserError where the layers that the adapter was trained on are not this model's."""
    empty = [name for name, tensor in lora.items() if tensor.ndim != 2 or not tensor.size]
    if empty:
        raise UserError(
            f"{directory / WEIGHTS}: tensors are empty: {_few(empty)}: so they are where training was in shards (DeepSpeed, "
            "FSDP): gather the weights, then save"
        )
    fits = {name: modules[_module(name)] for name in lora if _module(name) in modules}
    layers = {part.layer for module in fits.values() for part in module.parts}
    kinds = {name.rpartition(".")[2] for name in map(_module, fits)}
    absent = [
        f"{name}.lora_A.weight"
        for name, module in modules.items()
        if name.rpartition(".")[2] in kinds and module.parts[0].layer not in layers and not selective
    ]
    sides = {name: (1, module.inputs) if ".lora_A." in name else (0, module.outputs) for name, module in fits.items()}
    faults = {
        "missing": absent,
        "unknown": [name for name in lora if name not in fits],
        "of another shape": [
            f"{name} is {list(lora[name].shape)}, not {[size, 'rank'] if axis == 0 else ['rank', size]}".replace("'", "")
            for name, (axis, size) in sides.items()
            if lora[name].shape[axis] != size
        ],
    }
    listed = "; ".join(f"{kind}: {_few(names)}" for kind, names in faults.items() if names)
    if listed:
        raise UserError(f"{directory}: is no adapter of {model.source}: tensors {listed}: name the base it was trained on")


def _check_own(directory: Path, own: Mapping[str, LoRAConfig], lora: Mapping[str, np.ndarray]) -> None:
    """Raises UserError where the tensors are not all there, or not of the ranks that adapter_config.json names."""
    if not own:
        raise UserError(f"{directory / WEIGHTS}: holds no LoRA on the layers: save the adapter again")
    names = {f"{module}.lora_{kind}.weight": config.rank for module, config in own.items() for kind in "AB"}
    ranks = {name: tensor.shape[".lora_B." in name] for name, tensor in lora.items()}
    faults = {
        "missing": [name for name in names if name not in ranks],
        "of another rank": [
            f"{name} of {ranks[name]}, not {rank}" for name, rank in names.items() if ranks.get(name, rank) != rank
        ],
    }
    listed = "; ".join(f"{kind}: {_few(found)}" for kind, found in faults.items() if found)
    if listed:
        raise UserError(f"{directory}: tensors do not fit its {CONFIG}: {listed}: save the adapter again, both files")


def save_adapter(directory: str | Path, adapter: Adapter, model: LanguageModel, dtype: str = "float32") -> None:
    """Writes what `peft.PeftModel.from_pretrained` and `read_adapter` open; an adapter already there is replaced."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    config = adapter.config
    matrices = {tuple(path.split("/")[-3::2]): np.asarray(leaf) for path, leaf in named(adapter.params).items()}
    tensors: dict[str, np.ndarray] = {}
    ranks: dict[str, int] = {}
    for name, module in modules_of(model.config).items():
        pairs = {
            part.target: (matrices[part.target, "a"][part.layer].T, matrices[part.target, "b"][part.layer].T)
            for part in module.parts
            if part.target in config.targets
        }
        if pairs:
            for kind, array in zip("AB", fuse(module, pairs), strict=True):
                tensors[f"{PREFIX}{name}.lora_{kind}.weight"] = np.ascontiguousarray(array.astype(jnp.dtype(dtype)))
            ranks[name.rpartition(".")[2]] = config.rank * len(pairs)
    with replacing(directory / WEIGHTS) as whole:
        save_file(tensors, whole, metadata={"format": "pt"})
    fused = {module: rank for module, rank in ranks.items() if rank != config.rank}
    raw = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": model.source,
        "r": config.rank,
        "lora_alpha": config.alpha,
        "lora_dropout": config.dropout,
        "target_modules": list(ranks),
        "bias": "none",
        "inference_mode": True,
    }
    if fused:
        scale = _scale(config)
        raw |= {"rank_pattern": fused, "alpha_pattern": {module: scale * rank for module, rank in fused.items()}}
    write_text(directory / CONFIG, json.dumps(raw, indent=1) + "\n")


def _shapes(config: DecoderConfig, lora: LoRAConfig) -> nnx.State:
    return nnx.split_state(structure(dataclasses.replace(config, adapter=lora))[1], LoRAParam, ...)[0]


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
    for name, tensor in found.items():
        check_finite(tensor, str(path), name)
    known = {canonical(name.removeprefix(PREFIX)): tensor for name, tensor in found.items()}
    return {name: tensor for name, tensor in known.items() if name is not None}


def _few(names: list[str], between: str = ", ", most: int = 6) -> str:
    return between.join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
