"""Adapters: made anew, and put on a model. Their files are in peft_files.py."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import jax
import numpy as np
from flax import nnx

from remid_jax.errors import UserError
from remid_jax.models.config import TARGETS, DecoderConfig, LoRAConfig
from remid_jax.models.decoder import Decoder
from remid_jax.models.loading import LanguageModel
from remid_jax.models.lora import LoRAParam
from remid_jax.parallel import parameter_shardings, path_name


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


def adapter_of(model: LanguageModel) -> Adapter:
    """Returns the adapter of a model that has one."""
    assert model.config.adapter is not None
    assert model.added is not None
    return Adapter(model.config.adapter, model.added)
