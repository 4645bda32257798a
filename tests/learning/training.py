"""What tests of training share: completions of a tiny model, and an adapter that is far from zero."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from tiny import CONFIG, tiny_model

from remid_jax.models.adapters import Adapter, adapted, fresh
from remid_jax.models.config import LoRAConfig
from remid_jax.scoring.requests import Continuation, Request

LORA = LoRAConfig(3, 6.0)


def moved_adapter(config: LoRAConfig = LORA, model=CONFIG, seed: int = 0) -> Adapter:
    adapter = fresh(model, config, seed)
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda a: a + jnp.asarray(rng.normal(0, 0.2, a.shape), a.dtype), adapter.params)
    return dataclasses.replace(adapter, params=params)


def learner(lora: LoRAConfig = LORA, mesh=None):
    """The tiny model with an adapter to train."""
    return adapted(dataclasses.replace(tiny_model(), mesh=mesh), moved_adapter(lora))


def groups(seed: int = 0, prompts=(30, 9, 17, 50), completions: int = 4) -> list[Request]:
    """Prompts with completions of 3 to 12 tokens; two completions of a prompt begin alike, two are equal."""
    rng = np.random.default_rng(seed)

    def tokens(length):
        return rng.integers(2, CONFIG.vocab_size, length).tolist()

    requests = []
    for length in prompts:
        said = [tokens(int(rng.integers(3, 13))) for _ in range(completions)]
        said[1] = said[0][:2] + said[1]
        said[3] = list(said[2])
        requests.append(Request(tokens(length), [Continuation(ids) for ids in said]))
    return requests
