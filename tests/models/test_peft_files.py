"""PEFT's files in both directions, logits against torch; faults are named."""

import dataclasses
import json

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny import CONFIG, tiny_model
from tiny_adapters import IDS, SOME, logits, trained

from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted
from remid_jax.models.config import TARGETS, LoRAConfig
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter, save_adapter
from remid_jax.models.saving import save_model


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
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": "all-linear"},
        {"use_rslora": True},
        {"init_lora_weights": "mica"},
        {"rank_pattern": {"q_proj": 2, r"1.self_attn.v_proj": 9}, "alpha_pattern": {r".*v_proj": 3}},
        {"rank_pattern": {"v_proj": 3}, "alpha_pattern": {r"layers\.0\.self_attn.q_proj": 2}, "use_rslora": True},
        {"target_modules": ["up_proj", "o_proj"], "layers_to_transform": 1},
        {"target_modules": r".*\.0\.mlp\.(up|down)_proj"},
        {"target_modules": ["layers.0.self_attn.k_proj", "layers.1.mlp.gate_proj"]},
        {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*layers\.1.*q_proj", "init_lora_weights": "gaussian"},
    ],
    ids=["some", "all", "rank-stabilised", "mica", "ranks", "stabilised ranks", "a layer", "regex", "by layer", "all but one"],
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
        (lambda raw: raw.update(init_lora_weights="pissa_niter_4"), "init_lora_weights='pissa_niter_4': only plain LoRA"),
        (lambda raw: raw.update(alora_invocation_tokens=[5, 7]), r"alora_invocation_tokens=\[5, 7\]: only plain LoRA"),
        (
            lambda raw: raw.update(rank_pattern={"q_proj": 2}),
            r"of another rank: .*\.q_proj\.lora_A\.weight of 4, not 2,",
        ),
        (lambda raw: raw.update(rank_pattern={"q_proj": 0}), "rank 0"),
        (lambda raw: raw.update(alpha_pattern={"(": 2}), r"or no regex \(missing \)"),
        (lambda raw: raw.pop("r"), "has no number for r"),
        (lambda raw: raw.update(r=0), "rank must be at least 1"),
        (lambda raw: raw.update(r=3), r"do not fit its adapter_config.json: of another rank: .*: save the adapter again"),
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
