"""What PEFT puts beside LoRA on the layers: copies of the base's weights, of any name, and LoRA on its vocabulary."""

import json

import gguf_files
import numpy as np
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tiny_adapters import logits

from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter

IDS = np.random.default_rng(0).integers(2, 40, (2, 11))
SIZES = {"vocab_size": 40, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 48, "max_position_embeddings": 512, "initializer_range": 0.3}  # fmt: skip


def make_base(directory, tied=False, dtype=torch.float32, **save):
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**SIZES, tie_word_embeddings=tied)
    transformers.LlamaForCausalLM(config).to(dtype).save_pretrained(directory, **save)
    return directory


@pytest.fixture(scope="module", params=["untied", "tied", "sharded"])
def base(request, tmp_path_factory):
    kind = request.param
    return make_base(tmp_path_factory.mktemp(kind), kind == "tied", **{"max_shard_size": "20KB"} if kind == "sharded" else {})


def wrapped(base, **settings):
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    lora = {"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "target_modules": ["q_proj", "up_proj"]} | settings
    model = peft.get_peft_model(model, peft.LoraConfig(**lora))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.3)
    return model


def torch_logits(model):
    with torch.no_grad():
        return model.eval()(torch.tensor(IDS)).logits.numpy()


def ours(base, adapter, dtype="float32"):
    model = open_model(str(base), dtype)
    return logits(adapted(model, read_adapter(adapter, model)), IDS)


def refusal(base, adapter, dtype="float32"):
    with pytest.raises(UserError) as raised:
        read_adapter(adapter, open_model(str(base), dtype))
    assert "\n" not in str(raised.value)
    assert "name the base it was trained on" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("modules", [None, ["lm_head"], ["embed_tokens"], ["lm_head", "embed_tokens"], ["norm", "o_proj"]])
@pytest.mark.parametrize("save", [True, "auto"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_unchanged_copies_of_the_base_change_nothing(base, tmp_path, modules, save):
    model = wrapped(base, modules_to_save=modules)
    model.save_pretrained(tmp_path, save_embedding_layers=save)
    held = [name for name in load_file(tmp_path / "adapter_model.safetensors") if "lora_" not in name]
    assert bool(held) == bool(modules or save is True)
    np.testing.assert_allclose(ours(base, tmp_path), torch_logits(model), atol=1e-4)


@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_trained_vocabularies_are_refused_by_that_name(base, tmp_path, module):
    model = wrapped(base, modules_to_save=[module])
    with torch.no_grad():
        copy = model.get_output_embeddings() if module == "lm_head" else model.get_input_embeddings()
        copy.modules_to_save["default"].weight[7] += 0.01
    model.save_pretrained(tmp_path, save_embedding_layers=False)
    said = refusal(base, tmp_path)
    name = {"embed_tokens": "trained embeddings (model.embed_tokens.weight", "lm_head": "trained head (lm_head.weight"}[module]
    assert f"{name} differs from the base's)" in said
    assert "merge it all into the base (peft's merge_and_unload" in said


def test_other_trained_weights_are_refused_by_name(base, tmp_path):
    model = wrapped(base, modules_to_save=["input_layernorm"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layers.1.input_layernorm.modules_to_save" in name:
                parameter[3] *= 2
    model.save_pretrained(tmp_path)
    assert "trained weights (model.layers.1.input_layernorm.weight differs from the base's)" in refusal(base, tmp_path)


@pytest.mark.parametrize("module", ["embed_tokens", "lm_head"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lora_on_the_vocabulary_is_refused_for_what_it_is(base, tmp_path, module):
    wrapped(base, target_modules=["q_proj", module]).save_pretrained(tmp_path / "some")
    name = {"embed_tokens": "model.embed_tokens", "lm_head": "lm_head"}[module]
    assert f"holds LoRA on {name}: only LoRA on the linear modules" in refusal(base, tmp_path / "some")
    wrapped(base, target_modules=[module]).save_pretrained(tmp_path / "alone")
    assert f"holds LoRA on {name}: only LoRA on the linear modules" in refusal(base, tmp_path / "alone")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_vocabulary_that_was_resized_is_named(base, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.resize_token_embeddings(44)
    settings = peft.LoraConfig(r=4, lora_alpha=8, task_type="CAUSAL_LM", target_modules=["q_proj"])
    peft.get_peft_model(model, settings).save_pretrained(tmp_path, save_embedding_layers=True)
    said = refusal(base, tmp_path)
    assert "model.embed_tokens.weight for a vocabulary that was resized, of 44 tokens where the base has 40" in said


def edit(adapter, change):
    path = adapter / "adapter_model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("wrapper", ["base_layer.", "modules_to_save.", "original_module.", "modules_to_save.default.", ""])
def test_copies_may_bear_the_names_of_any_wrapper(base, tmp_path, wrapper):
    model = wrapped(base)
    model.save_pretrained(tmp_path)
    embedding = model.get_input_embeddings().weight.detach()
    edit(tmp_path, lambda t: t.update({f"base_model.model.model.embed_tokens.{wrapper}weight": embedding.clone()}))
    np.testing.assert_allclose(ours(base, tmp_path), torch_logits(model), atol=1e-4)


@pytest.mark.parametrize(
    ("stored", "opened"),
    [(torch.float32, "float32"), (torch.bfloat16, "float32"), (torch.float16, "float32"), (torch.float32, "bfloat16"),
     (torch.bfloat16, "bfloat16")],
)  # fmt: skip
def test_copies_may_be_of_another_type(base, tmp_path, stored, opened):
    model = wrapped(base)
    model.save_pretrained(tmp_path)
    embedding = model.get_input_embeddings().weight.detach().to(stored)
    edit(tmp_path, lambda t: t.update({"base_model.model.model.embed_tokens.weight": embedding}))
    assert np.isfinite(ours(base, tmp_path, opened)).all()
    edit(tmp_path, lambda t: t.update({"base_model.model.model.embed_tokens.weight": embedding * 1.25}))
    assert "trained embeddings" in refusal(base, tmp_path, opened)


def test_the_base_may_be_a_gguf_file(tmp_path):
    path = gguf_files.write(tmp_path / "m.gguf", *gguf_files.contents("llama"))
    gguf_files.torch_model("llama").save_pretrained(tmp_path / "base")
    model = wrapped(tmp_path / "base")
    model.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    base = open_model(str(path), "float32")
    found = logits(adapted(base, read_adapter(tmp_path / "adapter", base)), IDS % 24)
    with torch.no_grad():
        expected = model.eval()(torch.tensor(IDS % 24)).logits.numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


# ------------------------------------------------------------------------------------------------- who is to blame, and who not


def drop(kept):
    return lambda tensors: [tensors.pop(name) for name in list(tensors) if not kept(name)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            drop(lambda name: "1.self_attn.q_proj.lora_B" not in name),
            "missing: model.layers.1.self_attn.q_proj.lora_B.weight: save",
        ),
        (drop(lambda name: False), "adapter_model.safetensors: holds no LoRA on the layers"),
        (
            lambda t: t.update({"score.weight": torch.ones(2, 32)}),
            "score.weight, which is neither LoRA nor a weight of the base",
        ),
        (lambda t: [t.update({n: torch.zeros(0)}) for n in list(t)], "are empty: model.layers.0.mlp.up_proj.lora_A.weight,"),
        (
            lambda t: [v.fill_(np.nan) for n, v in t.items() if "1.mlp.up_proj.lora_B" in n],
            "1.mlp.up_proj.lora_B.weight holds 192",
        ),
    ],
)
def test_a_broken_file_is_not_blamed_on_the_base(base, tmp_path, change, said):
    wrapped(base).save_pretrained(tmp_path)
    edit(tmp_path, change)
    assert said in refusal(base, tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": 1}, r"unknown: model\.layers\.1\.mlp\.up_proj\.lora_A\.weight"),
        ({"num_hidden_layers": 3}, r"missing: model\.layers\.2\.self_attn\.q_proj\.lora_A\.weight"),
        ({"intermediate_size": 40}, r"model\.layers\.0\.mlp\.up_proj\.lora_B\.weight is \[48, 4\], not \[40, rank\]"),
        ({"hidden_size": 64, "head_dim": 8}, r"model\.layers\.0\.mlp\.up_proj\.lora_A\.weight is \[4, 32\], not \[rank, 64\]"),
    ],
)
def test_another_base_is(base, tmp_path, change, said):
    wrapped(base).save_pretrained(tmp_path / "adapter")
    transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES | change)).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=f"is no adapter of .*/other: tensors .*{said}.*: name the base it was trained on"):
        read_adapter(tmp_path / "adapter", open_model(str(tmp_path / "other"), "float32"))


def test_lora_on_the_eyes_of_a_model_read_as_text_is_left_out(base, tmp_path):
    model = wrapped(base)
    model.save_pretrained(tmp_path)
    edit(tmp_path, lambda t: t.update({"base_model.model.model.vision_tower.fc1.lora_A.weight": torch.ones(4, 8)}))
    np.testing.assert_allclose(ours(base, tmp_path), torch_logits(model), atol=1e-4)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["r"] == 4
