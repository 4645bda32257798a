"""Models of Qwen3's shapes with random weights, made on the devices: what speed and memory need, without a download."""

from __future__ import annotations

import zlib
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.decoder import structure
from remid_jax.parallel import Devices, parameter_shardings, path_name

# width, layers, heads, key-value heads, MLP width, tied embeddings: Qwen3's, and one that a laptop can run
SIZES = {
    "toy": (256, 4, 4, 2, 768, True),
    "0.6b": (1024, 28, 16, 8, 3072, True),
    "1.7b": (2048, 28, 16, 8, 6144, True),
    "4b": (2560, 36, 32, 8, 9728, True),
    "8b": (4096, 36, 32, 8, 12_288, False),
}


def qwen3(size: str) -> DecoderConfig:
    width, layers, heads, kv_heads, mlp_width, tied = SIZES[size]
    return DecoderConfig(
        "qwen3", 151_936, width, layers, heads, kv_heads, 128, mlp_width, 1e-6, Rope(1e6), 40_960, tied, qk_norm=True
    )


def random_params(config: DecoderConfig, devices: Devices) -> nnx.State:
    """Made on the devices, in bfloat16, each leaf where it belongs."""

    def leaf(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct, sharding: jax.sharding.NamedSharding) -> jax.Array:
        name = path_name(path)
        if name.endswith("scale"):
            return jax.jit(lambda: jnp.ones(shape.shape, jnp.bfloat16), out_shardings=sharding)()
        key = jax.random.key(zlib.crc32(name.encode()))
        return jax.jit(lambda key: 0.02 * jax.random.normal(key, shape.shape, jnp.bfloat16), out_shardings=sharding)(key)

    shapes = structure(config)[1]
    return jax.tree_util.tree_map_with_path(leaf, shapes, parameter_shardings(shapes, devices.mesh))
