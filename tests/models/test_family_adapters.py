"""LoRA on every new family, fused modules too: what PEFT saves here, what we save there, and gradients, against torch."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
from family_models import CONFIGS, VOCAB, gap, ours, reference
from tiny import NEVER
from tiny_adapters import logits

from remid_jax.models.adapters import Adapter, adapted, fresh
from remid_jax.models.config import TARGETS, LoRAConfig
from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.peft_files import read_adapter, save_adapter

IDS = np.random.default_rng(1).integers(0, VOCAB, (2, 23))
NEW = [name for name in CONFIGS if name.startswith(("smollm3", "olmo", "granite", "phi3"))]
PHI = "phi3, grouped, partial, longrope, window"


def in_torch(name, adapter):
    """The torch model with the adapter on it, which is taken off again by whoever calls `unload`."""
    return peft.PeftModel.from_pretrained(reference(name), adapter, is_trainable=True).eval()


def torch_logits(model):
    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.numpy()


def trained(name, lora, seed=0):
    adapter = fresh(ours(name).config, lora, seed)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda a: a + jnp.asarray(rng.normal(0, 0.1, a.shape), a.dtype), adapter.params)
    return dataclasses.replace(adapter, params=moved)


@pytest.mark.parametrize("name", NEW)
def test_we_open_what_peft_saves(name, tmp_path):
    torch.manual_seed(0)
    config = peft.LoraConfig(r=3, lora_alpha=5, target_modules="all-linear", task_type="CAUSAL_LM")
    wrapped = peft.get_peft_model(reference(name), config).eval()
    try:
        with torch.no_grad():
            for key, parameter in wrapped.named_parameters():
                if "lora_" in key:
                    parameter.normal_(0, 0.1)
        wrapped.save_pretrained(tmp_path)
        expected = torch_logits(wrapped)
    finally:
        wrapped.unload()
    found = logits(adapted(ours(name), read_adapter(tmp_path, ours(name))), IDS)
    assert gap(found, expected) < 1e-4
    assert gap(logits(ours(name), IDS), expected) > 1e-2


@pytest.mark.parametrize("targets", [TARGETS, ("query", "value", "up")])
@pytest.mark.parametrize("name", NEW)
def test_peft_opens_what_we_save_and_so_do_we(name, targets, tmp_path):
    adapter = trained(name, LoRAConfig(2, 3.0, targets))
    found = logits(adapted(ours(name), adapter), IDS)
    save_adapter(tmp_path / "one", adapter, ours(name))
    wrapped = in_torch(name, tmp_path / "one")
    try:
        assert gap(torch_logits(wrapped), found) < 1e-4
    finally:
        wrapped.unload()
    again = read_adapter(tmp_path / "one", ours(name))
    assert again.config.rank == 2  # fused modules do not grow from save to save
    assert set(again.config.targets) == set(targets)
    assert gap(logits(adapted(ours(name), again), IDS), found) == 0


def test_an_untrained_adapter_of_fused_modules_survives(tmp_path):
    """All its B are zero, so nothing tells whose ranks are whose."""
    save_adapter(tmp_path, fresh(ours(PHI).config, LoRAConfig(2, 3.0), 0), ours(PHI))
    again = read_adapter(tmp_path, ours(PHI))
    assert gap(logits(adapted(ours(PHI), again), IDS), logits(ours(PHI), IDS)) == 0
    assert set(again.config.targets) == set(TARGETS)


@pytest.mark.parametrize("name", NEW)
def test_gradients_are_those_of_torch(name, tmp_path):
    """Of the mean log-probability of the next tokens, by A and B of the output and down projections."""
    adapter = trained(name, LoRAConfig(2, 3.0, ("output", "down")))
    save_adapter(tmp_path, adapter, ours(name))
    wrapped = in_torch(name, tmp_path)
    try:
        loss = torch.nn.functional.cross_entropy(
            wrapped(torch.tensor(IDS)).logits[:, :-1].reshape(-1, VOCAB), torch.tensor(IDS[:, 1:]).reshape(-1)
        )
        loss.backward()
        theirs = {key: parameter.grad.numpy() for key, parameter in wrapped.named_parameters() if "lora_" in key}
    finally:
        wrapped.unload()
    model = adapted(ours(name), Adapter(adapter.config, adapter.params))

    def nll(added):
        decoder = bind(model.config, dataclasses.replace(model, added=added).params)
        tree = TokenTree(jnp.broadcast_to(jnp.arange(IDS.shape[1]), IDS.shape), jnp.full(IDS.shape, NEVER))
        scores = jax.nn.log_softmax(decoder.logits(decoder(jnp.array(IDS), tree))[:, :-1])
        return -jnp.take_along_axis(scores, jnp.array(IDS[:, 1:, None]), axis=2).mean()

    found = jax.jit(jax.grad(nll))(adapter.params)["layers"]
    for key, expected in theirs.items():
        module, kind = ("attention", "output") if "o_proj" in key else ("mlp", "down")
        layer, ab = int(key.split(".layers.")[1].split(".")[0]), "a" if "lora_A" in key else "b"
        np.testing.assert_allclose(found[module][kind]["lora"][ab][layer].T, expected, atol=1e-5, rtol=1e-3)
