"""A tiny random language model, made in the test process: what the engines need of a `LanguageModel`, without files."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
from flax import nnx

from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import Decoder

CONFIG = DecoderConfig("llama", 97, 32, 2, 4, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=False)


@functools.cache
def tiny_model(dtype: str = "float32", seed: int = 0, config: DecoderConfig = CONFIG) -> SimpleNamespace:
    """A model whose next-token distributions are far from flat (kernels scaled up fourfold), ending with id 1."""
    params = nnx.split(Decoder(config, nnx.Rngs(seed)))[1]
    params = jax.tree_util.tree_map_with_path(
        lambda path, a: (a * (4 if "kernel" in str(path) else 10 if "head" in str(path) else 1)).astype(jnp.dtype(dtype)), params
    )
    return SimpleNamespace(
        source="tiny", config=config, params=params, tokenizer=None, dtype=dtype, fingerprint=f"tiny-{seed}", end_ids=(1,)
    )
