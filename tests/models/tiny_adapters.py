"""Adapters of the tiny model that change much, and what it says with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from tiny import CONFIG, NEVER

from remid_jax.models.adapters import fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.models.decoder import TokenTree, bind

IDS = np.random.default_rng(0).integers(2, 97, (2, 11))
SOME = LoRAConfig(4, 8.0, ("query", "value", "down"))


def logits(model, ids=IDS):
    decoder = bind(model.config, model.params)
    tree = TokenTree(jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape), jnp.full(ids.shape, NEVER))
    return np.asarray(decoder.logits(decoder(jnp.array(ids), tree)))


def trained(config, seed=0):
    """A fresh adapter moved far from zero."""
    adapter = fresh(CONFIG, config, seed)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda a: a + jnp.asarray(rng.normal(0, 0.3, a.shape), a.dtype), adapter.params)
    return dataclasses.replace(adapter, params=moved)
