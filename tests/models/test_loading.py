"""Opening models: which weights are read, when, what is refused and how."""

import functools
import json
import shutil
from types import SimpleNamespace

import huggingface_hub
import jax
import numpy as np
import pytest
import tokenizers
import torch
import transformers
from safetensors.numpy import load_file, save_file

from remid_jax import parallel
from remid_jax.errors import UserError
from remid_jax.learning.policy_training import write
from remid_jax.models import loading, saving, weight_files
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.loading import open_model
from remid_jax.models.saving import save_model

transformers.logging.set_verbosity_error()

# ------------------------------------------------------------------------------------------------------------- directories

CONFIG = DecoderConfig("llama", 50, 32, 3, 4, 2, 8, 48, 1e-5, Rope(), 512, tied_embeddings=False)


@functools.cache
def torch_model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        rms_norm_eps=1e-5, max_position_embeddings=512, eos_token_id=[1, 4],
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


@pytest.fixture
def folder(tmp_path):
    torch_model().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert jax.tree.all(jax.tree.map(lambda x, y: bool((np.asarray(x) == np.asarray(y)).all()), a, b))


def error_of(source):
    with pytest.raises(UserError) as raised:
        open_model(str(source), "float32")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(folder, **changes):
    path = folder / "model.safetensors"
    tensors = {name: array for name, array in (load_file(path) | changes).items() if array is not None}
    save_file(tensors, path, metadata={"format": "pt"})


def test_every_number_arrives_where_it_belongs(folder):
    model = open_model(str(folder), "float32")
    assert model.config == CONFIG
    assert model.tokenizer is None
    assert model.end_ids == (1, 4)
    theirs = {name: value.numpy() for name, value in torch_model().state_dict().items()}
    np.testing.assert_array_equal(model.params["embedding"][...], theirs["model.embed_tokens.weight"])
    np.testing.assert_array_equal(model.params["head"][...], theirs["lm_head.weight"])
    for layer in range(3):
        found = model.params["layers"]["attention"]["key"]["kernel"][layer]
        np.testing.assert_array_equal(found, theirs[f"model.layers.{layer}.self_attn.k_proj.weight"].T)


def test_weights_are_read_at_first_use_and_only_once(folder, monkeypatch):
    reads = []
    read = weight_files.read
    monkeypatch.setattr(weight_files, "read", lambda tensor, *rows: reads.append(tensor.name) or read(tensor, *rows))
    model = open_model(str(folder), "float32")
    assert not model.loaded
    assert reads == []
    assert model.params is model.params
    assert model.loaded
    assert sorted(reads) == sorted(torch_model().state_dict())


def test_shards_equal_one_file(folder, tmp_path):
    torch_model().save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 3
    assert_equal(open_model(str(tmp_path / "shards"), "float32").params, open_model(str(folder), "float32").params)


def test_large_models_are_saved_in_shards(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(saving, "SHARD_BYTES", 20_000)
    model = open_model(str(folder), "float32")
    save_model(tmp_path / "shards", model.config, model.params, None)
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 2
    assert_equal(open_model(str(tmp_path / "shards"), "float32").params, model.params)
    opened = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "shards").state_dict()
    assert all(torch.equal(opened[name], value) for name, value in torch_model().state_dict().items())
    monkeypatch.setattr(saving, "SHARD_BYTES", 2**30)
    save_model(tmp_path / "shards", model.config, model.params, None)  # over the shards, none of which may stay
    assert [path.name for path in (tmp_path / "shards").glob("model*")] == ["model.safetensors"]
    assert_equal(open_model(str(tmp_path / "shards"), "float32").params, model.params)


def test_parameters_are_sharded_by_the_rules_in_the_dtype_asked_for(folder):
    mesh = parallel.make_mesh()
    model = open_model(str(folder), "bfloat16", mesh)
    assert all(leaf.dtype == "bfloat16" for leaf in jax.tree.leaves(model.params))
    shardings = parallel.parameter_shardings(model.params, mesh)
    assert jax.tree.all(jax.tree.map(lambda leaf, sharding: leaf.sharding == sharding, model.params, shardings))


def test_a_tied_head_repeated_in_the_file_is_dropped_and_a_different_one_is_used(folder):
    tensors = load_file(folder / "model.safetensors")
    edit_config(folder, tie_word_embeddings=True)
    other = open_model(str(folder), "float32")
    assert not other.config.tied_embeddings
    np.testing.assert_array_equal(other.params["head"][...], tensors["lm_head.weight"])
    edit_tensors(folder, **{"lm_head.weight": tensors["model.embed_tokens.weight"]})
    same = open_model(str(folder), "float32")
    assert same.config.tied_embeddings
    assert "head" not in same.params


def test_the_text_half_of_a_multimodal_gemma3_is_the_text_model(tmp_path):
    text = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 5, "num_attention_heads": 4,
            "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "sliding_window_pattern": 2}  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28}
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    whole = transformers.Gemma3ForConditionalGeneration(config)
    whole.save_pretrained(tmp_path / "whole")
    half = transformers.Gemma3ForCausalLM(config.text_config)
    half.model.load_state_dict(whole.model.language_model.state_dict())
    half.save_pretrained(tmp_path / "half")
    found, expected = (open_model(str(tmp_path / name), "float32") for name in ("whole", "half"))
    assert found.config == expected.config
    assert_equal(found.params, expected.params)


def test_the_fingerprint_is_of_weights_and_config(folder, tmp_path):
    first = open_model(str(folder), "float32").fingerprint
    shutil.copytree(folder, tmp_path / "copy")
    assert open_model(str(tmp_path / "copy"), "bfloat16").fingerprint == first
    edit_config(tmp_path / "copy", rope_theta=5.0, rope_parameters=None)
    assert open_model(str(tmp_path / "copy"), "float32").fingerprint != first
    edit_tensors(folder, **{"model.norm.weight": np.full(32, 2, np.float32)})
    assert open_model(str(folder), "float32").fingerprint != first


# ---------------------------------------------------------------------------------------------------------------- refusals


def test_all_faulty_tensors_are_named_at_once(folder):
    wrong = np.zeros((3, 32), np.float32)
    edit_tensors(
        folder,
        **{"model.norm.weight": None, "model.layers.1.mlp.up_proj.weight": None, "model.layers.7.mlp.up_proj.weight": wrong,
           "score.weight": wrong, "lm_head.weight": wrong, "model.layers.2.self_attn.q_proj.weight": wrong},
    )  # fmt: skip
    said = error_of(folder)
    assert "missing: model.norm.weight, model.layers.1.mlp.up_proj.weight;" in said
    assert "unknown: model.layers.7.mlp.up_proj.weight, score.weight;" in said
    assert "lm_head.weight is [3, 32], not [50, 32]" in said
    assert "model.layers.2.self_attn.q_proj.weight is [3, 32], not [32, 32]" in said


def test_old_files_may_hold_rotary_tables(folder):
    edit_tensors(folder, **{"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)})
    assert open_model(str(folder), "float32").config == CONFIG


@pytest.mark.parametrize("kept", [0, 5, 1000, -1])
def test_a_truncated_file_is_named(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    assert f"{path}: is not a whole safetensors file" in error_of(folder)


def test_quantised_tensors_are_refused(folder):
    edit_tensors(folder, **{"lm_head.weight": np.zeros((50, 32), np.int8)})
    assert "lm_head.weight is I8" in error_of(folder)


def test_a_missing_shard_is_named(tmp_path):
    torch_model().save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model-00002-of-00006.safetensors").unlink()
    assert "are missing: model-00002-of-00006.safetensors" in error_of(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert "has no weight_map" in error_of(tmp_path)


def test_a_directory_without_a_model_is_refused(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in error_of(tmp_path / "empty")
    (folder / "model.safetensors").rename(folder / "other.safetensors")
    assert "has no model.safetensors" in error_of(folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    assert "only pickled weights (pytorch_model.bin)" in error_of(folder)
    assert "save_pretrained" in error_of(folder)
    (folder / "config.json").write_text("{broken")
    assert "line 1, column 2: broken JSON" in error_of(folder)


def test_a_source_that_is_nothing_is_refused(tmp_path, monkeypatch):
    assert "no such directory" in error_of(tmp_path / "nowhere")
    assert "no such file" in error_of(tmp_path / "nowhere.gguf")
    assert "no Python package no_such_package is installed" in error_of("package:no_such_package")
    assert "holds 0 .gguf files" in error_of("package:json")
    with pytest.raises(UserError, match="dtype='float16'"):
        open_model(str(tmp_path), "float16")


def test_a_hub_id_is_opened_from_the_cache_when_offline(folder, tmp_path, monkeypatch):
    cache = tmp_path / "hub"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    assert "some/model: neither a directory nor a model that the hub gave" in error_of("some/model")
    (cache / "models--some--model" / "refs").mkdir(parents=True)
    (cache / "models--some--model" / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, cache / "models--some--model" / "snapshots" / ("0" * 40))
    assert_equal(open_model("some/model", "float32").params, open_model(str(folder), "float32").params)


def test_neither_pickles_nor_code_are_fetched_from_the_hub():
    wanted = ["config.json", "generation_config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
              "tokenizer.json", "chat_template.jinja"]  # fmt: skip
    unwanted = ["pytorch_model.bin", "modeling_llama.py", "consolidated.safetensors", "original/consolidated.00.pth"]
    filtered = huggingface_hub.utils.filter_repo_objects(wanted + unwanted, allow_patterns=loading.HUB_FILES)
    assert list(filtered) == wanted


# ---------------------------------------------------------------------------------------------------- packages, tokenizers


def test_the_gguf_of_a_package_is_found_without_importing_the_package(tmp_path, monkeypatch):
    (tmp_path / "some_package" / "data").mkdir(parents=True)
    (tmp_path / "some_package" / "__init__.py").write_text("raise RuntimeError")
    path = tmp_path / "some_package" / "data" / "tiny.gguf"
    path.write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    opened = SimpleNamespace(config=CONFIG, tokenizer=None, end_ids=(3,), arrays=None)
    monkeypatch.setattr(loading, "read_gguf", {path: opened}.__getitem__)
    model = open_model("package:some_package", "float32")
    assert (model.config, model.end_ids, model.loaded) == (CONFIG, (3,), False)
    path.with_name("other.gguf").write_bytes(b"weights")
    assert "holds 2 .gguf files, not one (other.gguf, tiny.gguf)" in error_of("package:some_package")


def test_a_generation_ends_where_the_files_or_the_chat_template_say(folder, tmp_path):
    words = {"<unk>": 0, "</s>": 1, "hello": 2, "<|im_end|>": 7, "<|im_start|>": 8}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens(["</s>", "<|im_end|>", "<|im_start|>"])
    backend.save(str(folder / "tokenizer.json"))
    template = "{% for m in messages %}<|im_start|> {{ m.content }} <|im_end|>{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template, "eos_token": "</s>"}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [9, 1]}))
    model = open_model(str(folder), "float32")
    assert model.end_ids == (9, 1, 7)
    save_model(tmp_path / "saved", model.config, model.params, model.tokenizer)
    assert open_model(str(tmp_path / "saved"), "float32").end_ids == (7,)
    assert transformers.AutoConfig.from_pretrained(tmp_path / "saved").eos_token_id == 7
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    found = theirs.apply_chat_template([{"role": "user", "content": "hello"}], return_dict=False)
    assert found == model.tokenizer.encode_chat([{"role": "user", "content": "hello"}]) == [8, 2, 7]


def test_a_fully_trained_policy_ends_where_its_base_does_whatever_stood_in_its_folder(folder, tmp_path, monkeypatch):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 5]}))
    base, target = open_model(str(folder), "float32"), tmp_path / "policy"
    target.mkdir()
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (target / name).write_text('{"eos_token_id": 9}')
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (target / name).write_text("another model's")
    write(target, base, base)
    assert sorted(path.name for path in target.iterdir()) == ["config.json", "model.safetensors"]
    policy = open_model(str(target), "float32")
    assert (policy.end_ids, policy.tokenizer) == ((2, 5), None)
    assert transformers.AutoModelForCausalLM.from_pretrained(target).generation_config.eos_token_id == [2, 5]

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_file", full)
    with pytest.raises(UserError, match="the disk is full"):
        write(target, base, base)
    assert not (target / "config.json").exists()  # nobody takes what is left for a model
