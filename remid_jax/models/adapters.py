"""Adapters: made anew, put on a model, and read from and written to the files of the PEFT library."""

from __future__ import annotations

import dataclasses
import hashlib
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
from remid_jax.files import read_text, write_text
from remid_jax.models import huggingface
from remid_jax.models.config import TARGETS, DecoderConfig, LoRAConfig
from remid_jax.models.decoder import Decoder, structure
from remid_jax.models.loading import LanguageModel
from remid_jax.models.lora import LoRAParam
from remid_jax.parallel import parameter_shardings, path_name

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
# What these keys of adapter_config.json must say for W x + scale B A x to be all there is; absent they say so.
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "use_dora": (False,),
    "modules_to_save": (None, []),
    "rank_pattern": (None, {}),
    "alpha_pattern": (None, {}),
    "layer_replication": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    "lora_bias": (False,),
}


@dataclasses.dataclass(frozen=True)
class Adapter:
    """Trained matrices: `params` holds "layers/attention/query/lora/a" [L, in, rank], ".../b" [L, rank, out] and so on."""

    config: LoRAConfig
    params: nnx.State

    @property
    def fingerprint(self) -> str:
        """sha256 over the config and every matrix."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self.config), sort_keys=True).encode())
        for name, leaf in sorted(named(self.params).items()):
            digest.update(name.encode() + np.asarray(leaf).tobytes())
        return digest.hexdigest()


def named(params: nnx.State) -> dict[str, jax.Array]:
    """The leaves by their paths."""
    return {path_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def check_config(config: LoRAConfig, where: str) -> None:
    """Raises UserError, naming what `where` says, for a rank, a dropout or a target that there cannot be."""
    unknown = [target for target in config.targets if target not in TARGETS]
    if unknown or not config.targets:
        raise UserError(f"{where}: targets {', '.join(unknown) or 'none'} do not exist: choose among {', '.join(TARGETS)}")
    if config.rank < 1 or config.alpha <= 0 or not 0 <= config.dropout < 1:
        raise UserError(
            f"{where}: rank {config.rank}, alpha {config.alpha}, dropout {config.dropout}: rank must be at least 1, alpha "
            "positive, dropout within [0, 1)"
        )


def fresh(config: DecoderConfig, lora: LoRAConfig, seed: int) -> Adapter:
    """An adapter that changes nothing yet: A uniform in +-1/sqrt(inputs), B zero, float32."""
    whole = dataclasses.replace(config, adapter=lora)

    @jax.jit  # what is not returned, the base, is never drawn
    def draw(key: jax.Array) -> nnx.State:
        return nnx.split(Decoder(whole, nnx.Rngs(params=key)), LoRAParam, ...)[1]

    return Adapter(lora, draw(jax.random.key(seed)))


def adapted(model: LanguageModel, adapter: Adapter) -> LanguageModel:
    """The model with the adapter beside its weights, which are shared, not copied; fingerprint of both."""
    config = dataclasses.replace(model.config, adapter=adapter.config)
    params = adapter.params
    if model.mesh is not None:
        params = jax.device_put(params, parameter_shardings(params, model.mesh))
    fingerprint = hashlib.sha256(f"{model.fingerprint} {adapter.fingerprint}".encode()).hexdigest()
    return dataclasses.replace(model, config=config, fingerprint=fingerprint, base=model, added=params)


def read_adapter(directory: str | Path, model: LanguageModel) -> Adapter:
    """A LoRA adapter as `peft.save_pretrained` writes it, float32.

    Raises:
      UserError: if a file is missing or broken, if the adapter is of a kind that is more than W x + scale B A x, or if its
        tensors are not those of this model's layers: all are named.
    """
    directory = Path(directory)
    raw = _read_config(directory / CONFIG)
    config = _parse_config(raw, directory / CONFIG)
    tensors = _read_tensors(directory / WEIGHTS)
    modules = {name.rpartition(".lora_")[0].rpartition(".")[2] for name in tensors}
    short = {target: name for target, name in _peft_targets().items() if name in modules}
    config = dataclasses.replace(config, targets=tuple(short))
    check_config(config, str(directory / CONFIG))
    wanted = _tensor_names(model.config, config)
    expected = {name: shape for names, shape in wanted.values() for name in names}
    faults = {
        "missing": [name for name in expected if name not in tensors],
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
    stacked = {
        path: np.stack([np.asarray(tensors[name], np.float32).T for name in names]) for path, (names, _) in wanted.items()
    }

    def of(path: tuple[Any, ...], _: Any) -> jax.Array:
        return jnp.asarray(stacked[path_name(path)])

    return Adapter(config, jax.tree_util.tree_map_with_path(of, _shapes(model.config, config)))


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
    try:
        raw = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: broken JSON (line {error.lineno}, {error.msg}): save the adapter again") from error
    if not isinstance(raw, dict):
        raise UserError(f"{path}: is not a JSON object: save the adapter again")
    return raw


def _parse_config(raw: dict[str, Any], path: Path) -> LoRAConfig:
    odd = [f"{key}={raw[key]!r}" for key, allowed in PLAIN.items() if key in raw and raw[key] not in allowed]
    if odd:
        raise UserError(f"{path}: {', '.join(odd)}: only plain LoRA on linear layers is read: merge or retrain it as such")
    try:
        rank, alpha, dropout = int(raw["r"]), float(raw["lora_alpha"]), float(raw.get("lora_dropout", 0.0))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: has no number for r, lora_alpha or lora_dropout ({error}): save the adapter again") from error
    # Rank-stabilised LoRA scales by alpha / sqrt(rank), which is alpha sqrt(rank) / rank.
    return LoRAConfig(rank, alpha * rank**0.5 if raw.get("use_rslora") else alpha, dropout=dropout)


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
