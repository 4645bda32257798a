"""Adapters: PEFT's files in both directions, logits against torch; a fresh one changes nothing; faults are named."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import peft
import pytest
import torch
import transformers
from tiny import CONFIG, tiny_model

from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted, fresh, named, read_adapter, save_adapter
from remid_jax.models.config import TARGETS, LoRAConfig
from remid_jax.models.decoder import NEVER, TokenTree, bind
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model

IDS = np.random.default_rng(0).integers(2, 97, (2, 11))
SOME = LoRAConfig(4, 8.0, ("query", "value", "down"))


def logits(model, ids=IDS):
    decoder = bind(model.config, model.params)
    tree = TokenTree(jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape), jnp.full(ids.shape, NEVER))
    return np.asarray(decoder.logits(decoder(jnp.array(ids), tree)[0]))


def trained(config, seed=0):
    """A fresh adapter moved far from zero."""
    adapter = fresh(CONFIG, config, seed)
    rng = np.random.default_rng(seed)
    moved = jax.tree.map(lambda a: a + jnp.asarray(rng.normal(0, 0.3, a.shape), a.dtype), adapter.params)
    return dataclasses.replace(adapter, params=moved)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    directory = tmp_path_factory.mktemp("base")
    save_model(directory, CONFIG, tiny_model().params, None)
    return directory


def in_torch(base, adapter=None):
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = model if adapter is None else peft.PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        return model.eval()(torch.tensor(IDS)).logits.numpy()


def test_a_fresh_adapter_changes_nothing():
    model = tiny_model()
    np.testing.assert_array_equal(logits(adapted(model, fresh(CONFIG, LoRAConfig(4, 8.0), 0))), logits(model))


def test_a_fresh_adapter_is_drawn_as_said():
    leaves = named(fresh(CONFIG, SOME, 3).params)
    a, b = leaves["layers/mlp/down/lora/a"], leaves["layers/mlp/down/lora/b"]
    assert (a.shape, b.shape) == ((2, 48, 4), (2, 4, 32))
    assert not b.any()
    assert np.abs(a).max() < 48**-0.5
    np.testing.assert_allclose(np.var(a), 1 / (3 * 48), rtol=0.2)
    assert sorted({name.split("/")[2] for name in leaves}) == ["down", "query", "value"]


@pytest.mark.parametrize("config", [SOME, LoRAConfig(3, 1.0, TARGETS)], ids=["some", "all"])
def test_peft_opens_what_we_save(base, tmp_path, config):
    model = open_model(str(base), "float32")
    adapter = trained(config)
    save_adapter(tmp_path, adapter, model)
    ours = logits(adapted(model, adapter))
    np.testing.assert_allclose(in_torch(base, tmp_path), ours, atol=1e-4)
    assert np.abs(ours - logits(model)).max() > 0.1
    again = read_adapter(tmp_path, model)
    assert again.fingerprint == dataclasses.replace(adapter, config=again.config).fingerprint
    assert dataclasses.replace(again.config, targets=config.targets) == config


@pytest.mark.parametrize(
    "settings",
    [{"target_modules": ["q_proj", "v_proj"]}, {"target_modules": "all-linear"}, {"use_rslora": True}],
    ids=["some", "all-linear", "rank-stabilised"],
)
def test_we_open_what_peft_saves(base, tmp_path, settings):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    wrapped = peft.get_peft_model(model, peft.LoraConfig(r=5, lora_alpha=7, task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    wrapped.save_pretrained(tmp_path)
    ours = open_model(str(base), "float32")
    np.testing.assert_allclose(logits(adapted(ours, read_adapter(tmp_path, ours))), in_torch(base, tmp_path), atol=1e-4)


def test_two_adapters_stand_on_one_base_at_once(base):
    model = open_model(str(base), "float32")
    one, two = (adapted(model, trained(SOME, seed)) for seed in (1, 2))
    embeddings = {id(of.params["embedding"][...]) for of in (model, one, two)}
    assert len(embeddings) == 1
    assert len({of.fingerprint for of in (model, one, two)}) == 3
    assert np.abs(logits(one) - logits(two)).max() > 0.1


def broken(tmp_path, base, edit):
    model = open_model(str(base), "float32")
    save_adapter(tmp_path, trained(SOME), model)
    path = tmp_path / "adapter_config.json"
    raw = json.loads(path.read_text())
    edit(raw)
    path.write_text(json.dumps(raw))
    return model


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda raw: raw.update(use_dora=True), "use_dora=True: only plain LoRA"),
        (lambda raw: raw.update(peft_type="IA3"), "peft_type='IA3': only plain LoRA"),
        (lambda raw: raw.update(rank_pattern={"q_proj": 2}), "rank_pattern"),
        (lambda raw: raw.pop("r"), "has no number for r"),
        (lambda raw: raw.update(r=0), "rank must be at least 1"),
        (lambda raw: raw.update(r=3), r"q_proj.lora_A.weight is \[4, 32\], not \[3, 32\]"),
    ],
)
def test_faults_of_the_config_are_named(base, tmp_path, edit, said):
    model = broken(tmp_path, base, edit)
    with pytest.raises(UserError, match=said):
        read_adapter(tmp_path, model)


def test_an_adapter_of_another_base_is_refused(base, tmp_path):
    save_adapter(tmp_path, trained(SOME), tiny_model())
    deeper = tiny_model(config=dataclasses.replace(CONFIG, layers=3))
    with pytest.raises(UserError, match=r"is no adapter of tiny: tensors missing: model.layers.2.self_attn.q_proj.lora_A"):
        read_adapter(tmp_path, deeper)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match=r"adapter_config\.json: cannot be read"):
        read_adapter(tmp_path, tiny_model())
