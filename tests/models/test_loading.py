"""Opening models: what config.json means (transformers is the judge), what is refused and how, what is read when."""

import dataclasses
import functools
import importlib
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
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from remid_jax import parallel
from remid_jax.errors import UserError
from remid_jax.models import huggingface, loading, saving
from remid_jax.models.config import DecoderConfig, Rope
from remid_jax.models.loading import open_model
from remid_jax.models.rope import frequencies
from remid_jax.models.saving import save_model

transformers.logging.set_verbosity_error()

# ---------------------------------------------------------------------------------------------------- what config.json means

# The keys of published models' files that bear on the architecture.
PUBLISHED = {
    "SmolLM2-135M-Instruct": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "hidden_act": "silu",
        "hidden_size": 576, "intermediate_size": 1536, "max_position_embeddings": 8192, "num_attention_heads": 9,
        "num_hidden_layers": 30, "num_key_value_heads": 3, "rms_norm_eps": 1e-05, "rope_scaling": None, "rope_theta": 100000,
        "tie_word_embeddings": True, "vocab_size": 49152, "mlp_bias": False,
    },
    "Llama-3.1-8B": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 131072, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "vocab_size": 128256,
        "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "rope_type": "llama3",
                         "original_max_position_embeddings": 8192},
    },
    "Mistral-7B-v0.1": {
        "architectures": ["MistralForCausalLM"], "model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
        "max_position_embeddings": 32768, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "vocab_size": 32000,
    },
    "Qwen2.5-7B-Instruct": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
        "max_position_embeddings": 32768, "max_window_layers": 28, "num_attention_heads": 28, "num_hidden_layers": 28,
        "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "sliding_window": 131072,
        "tie_word_embeddings": False, "use_sliding_window": False, "vocab_size": 152064,
        "rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"},
    },
    "Qwen3-8B": {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "attention_bias": False, "head_dim": 128,
        "hidden_size": 4096, "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 36,
        "num_attention_heads": 32, "num_hidden_layers": 36, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": False,
        "use_sliding_window": False, "vocab_size": 151936,
    },
    "gemma-3-1b-it": {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "attn_logit_softcapping": None,
        "final_logit_softcapping": None, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152,
        "intermediate_size": 6912, "max_position_embeddings": 32768, "num_attention_heads": 4, "num_hidden_layers": 26,
        "num_key_value_heads": 1, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
        "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6, "vocab_size": 262144,
    },
    "gemma-3-4b-it": {
        "architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
        "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
                        "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024},
    },
}  # fmt: skip
SIZES = {"vocab_size": 64, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 5, "num_attention_heads": 4}


def assert_means_the_same(raw):
    """Our reading of `raw` against the attributes of transformers' config and the tables of its rotary embedding."""
    ours = huggingface.read_config(raw, "config.json")
    theirs = transformers.AutoConfig.for_model(**json.loads(json.dumps(raw)))
    theirs = getattr(theirs, "text_config", theirs)
    assert (ours.vocab_size, ours.width, ours.layers, ours.heads, ours.kv_heads, ours.mlp_width, ours.tied_embeddings) == (
        theirs.vocab_size, theirs.hidden_size, theirs.num_hidden_layers, theirs.num_attention_heads,
        theirs.num_key_value_heads, theirs.intermediate_size, theirs.tie_word_embeddings,
    )  # fmt: skip
    head_size = getattr(theirs, "head_dim", None) or theirs.hidden_size // theirs.num_attention_heads
    assert (ours.head_size, ours.norm_eps, ours.max_positions) == (
        head_size, theirs.rms_norm_eps, theirs.max_position_embeddings,
    )  # fmt: skip
    if ours.family == "mistral":
        windows = [theirs.sliding_window] * ours.layers
    else:
        kinds = getattr(theirs, "layer_types", None) or ["full_attention"] * ours.layers
        windows = [theirs.sliding_window if kind == "sliding_attention" else None for kind in kinds]
    assert [ours.sliding_window if slides else None for slides in ours.sliding_layers or [False] * ours.layers] == windows
    package = ours.family.removesuffix("_text")
    module = importlib.import_module(f"transformers.models.{package}.modeling_{package}")
    rotary = next(kind for name, kind in vars(module).items() if name.endswith("RotaryEmbedding"))(theirs)
    if ours.family == "gemma3_text":
        assert ours.attention_scale == theirs.query_pre_attn_scalar**-0.5
        assert ours.final_softcap == theirs.final_logit_softcapping
        for kind, rope in (("sliding_attention", ours.local_rope), ("full_attention", ours.rope)):
            if kind in theirs.layer_types:
                table, factor = (getattr(rotary, f"{kind}_{what}") for what in ("inv_freq", "attention_scaling"))
                assert_same_rope(rope, head_size, table, factor)
    else:
        assert_same_rope(ours.rope, head_size, rotary.inv_freq, rotary.attention_scaling)
    assert huggingface.read_config(huggingface.write_config(ours, "float32", 1, "here"), "config.json") == ours


def assert_same_rope(rope, head_size, inverse_frequencies, attention_scaling):
    # Both powers are float32 and may round differently, by 3e-6 in all. Transformers also blends in float32: a rounding of the
    # share that is kept counts `factor` times where next to nothing is kept, and llama3's share is a difference of turns.
    blend = 0.0
    if rope.scaling in ("llama3", "yarn"):
        low, high = rope.low_frequency_factor, rope.high_frequency_factor
        blend = 3e-7 * rope.factor * (high / (high - low) if rope.scaling == "llama3" else 1.0)
    np.testing.assert_allclose(frequencies(rope, head_size), inverse_frequencies.numpy(), rtol=3e-6 + blend)
    assert rope.attention_factor == pytest.approx(attention_scaling, rel=1e-12)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_mean_what_transformers_reads(name):
    assert_means_the_same(PUBLISHED[name])


@st.composite
def ropes(draw, gemma=False):
    """Rope parameters, of every kind and with every optional key, under the old or the new name of the kind.

    Transformers' Gemma 3 drops a kind under its old name, and `truncate`; no file has either.
    """
    kind = draw(st.sampled_from(["default", "linear", "llama3", "yarn"]))
    found = {"rope_type" if gemma else draw(st.sampled_from(["rope_type", "type"])): kind}
    if draw(st.booleans()):
        found["rope_theta"] = draw(st.floats(10, 1e6))
    if kind != "default":
        found["factor"] = draw(st.floats(1, 64))
    if kind in ("llama3", "yarn") and draw(st.booleans()):
        found["original_max_position_embeddings"] = draw(st.integers(16, 8192))
    if kind == "llama3":
        found["low_freq_factor"], found["high_freq_factor"] = draw(st.floats(0.5, 2)), draw(st.floats(2.5, 8))
    if kind == "yarn":
        optional = {
            "attention_factor": st.floats(0.5, 2), "beta_fast": st.floats(8, 64), "beta_slow": st.floats(0.5, 4),
            "mscale": st.floats(0.5, 2), "mscale_all_dim": st.floats(0.5, 2),
        }  # fmt: skip
        found |= draw(st.fixed_dictionaries({}, optional=optional | ({} if gemma else {"truncate": st.booleans()})))
    return found


LAYER_TYPES = st.lists(st.sampled_from(["full_attention", "sliding_attention"]), min_size=5, max_size=5)
OPTIONAL = {
    "rope_theta": st.floats(10, 1e6), "num_key_value_heads": st.sampled_from([1, 2, 4, None]),
    "tie_word_embeddings": st.booleans(), "max_position_embeddings": st.integers(64, 9000),
    "rms_norm_eps": st.floats(1e-8, 1e-2), "original_max_position_embeddings": st.integers(32, 5000),
    "rope_scaling": st.one_of(st.none(), ropes()), "rope_parameters": st.one_of(st.none(), ropes()),
}  # fmt: skip
QWEN = {
    "use_sliding_window": st.booleans(), "sliding_window": st.one_of(st.none(), st.integers(2, 50)),
    "max_window_layers": st.integers(0, 6), "layer_types": st.one_of(st.none(), LAYER_TYPES),
}  # fmt: skip
BY_FAMILY = {
    "llama": {"head_dim": st.sampled_from([None, 8, 32])},
    "mistral": {
        "head_dim": st.sampled_from([None, 8, 32]), "sliding_window": st.one_of(st.none(), st.integers(2, 50)),
        "num_key_value_heads": st.sampled_from([1, 2, 4]),
    },
    "qwen2": QWEN,
    "qwen3": QWEN | {"head_dim": st.sampled_from([8, 32])},
    "gemma3_text": {
        "rope_parameters": st.fixed_dictionaries({"full_attention": ropes(True)}, optional={"sliding_attention": ropes(True)}),
        "rope_scaling": st.one_of(st.none(), ropes(True)), "num_key_value_heads": st.sampled_from([1, 2, 4]),
        "rope_local_base_freq": st.floats(10, 1e6), "sliding_window_pattern": st.integers(1, 6),
        "layer_types": st.one_of(st.none(), LAYER_TYPES), "query_pre_attn_scalar": st.integers(8, 300),
        "final_logit_softcapping": st.one_of(st.none(), st.floats(1, 50)), "sliding_window": st.integers(2, 50),
    },
}  # fmt: skip


@pytest.mark.parametrize("family", BY_FAMILY)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_config_means_what_transformers_reads(family, data):
    said = data.draw(st.fixed_dictionaries({}, optional=OPTIONAL | BY_FAMILY[family]))
    raw = {"model_type": family, **SIZES, "num_key_value_heads": 2, **said}
    has_window = raw.get("sliding_window", 4096) is not None and (raw.get("use_sliding_window") or "qwen" not in family)
    if "sliding_attention" in (raw.get("layer_types") or ()) and not has_window:
        with pytest.raises(UserError, match="no sliding_window is in use"):
            huggingface.read_config(raw, "config.json")
    else:
        assert_means_the_same(raw)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"model_type": "mamba", "architectures": ["MambaForCausalLM"]}, r"MambaForCausalLM \(model_type mamba\).*Qwen3For"),
        ({}, r"unnamed \(model_type None\)"),
        ({"rope_scaling": {"rope_type": "longrope"}}, "longrope is not one of default, linear, llama3, yarn"),
        ({"rope_scaling": [1]}, r"rope_scaling is \[1\], not a dict"),
        ({"rope_parameters": {"rope_type": "linear"}}, "rope: factor is null"),
        ({"hidden_size": "64", "vocab_size": 0}, 'hidden_size is "64".*vocab_size is 0'),
        ({"num_key_value_heads": 3}, "num_attention_heads=4 is not a multiple of num_key_value_heads=3"),
        ({"head_dim": 7}, "head_dim=7 is odd"),
        ({"hidden_act": "relu"}, "activation relu is not one of silu"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantization_config=.*awq.* is not supported"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor=0.5 is not supported"),
        ({"model_type": "qwen2", "use_sliding_window": True, "layer_types": ["full_attention"]}, "each of the 5 layers"),
        ({"model_type": "gemma3_text", "use_bidirectional_attention": True}, "use_bidirectional_attention=true"),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused_in_one_line(raw, says):
    base = {"model_type": "llama", **SIZES} if raw and "architectures" not in raw else {}
    with pytest.raises(UserError, match=says) as raised:
        huggingface.read_config({**base, **raw}, "config.json")
    assert "\n" not in str(raised.value)


def test_a_trait_that_the_family_cannot_express_is_not_saved():
    config = dataclasses.replace(CONFIG, qk_norm=True)
    with pytest.raises(UserError, match=r"llama config\.json cannot express this model's qk_norm"):
        huggingface.write_config(config, "float32", None, "here")


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


@pytest.fixture(autouse=True)
def digests(tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "DIGESTS", tmp_path / "cache" / "digests.json")


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
    monkeypatch.setattr(loading, "_read", lambda tensor, read=loading._read: reads.append(tensor.name) or read(tensor))
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
    text = {**SIZES, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8, "sliding_window_pattern": 2}
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


def test_a_file_is_hashed_once_and_again_when_it_changes(folder, monkeypatch):
    first = open_model(str(folder), "float32").fingerprint
    monkeypatch.setattr(loading.hashlib, "file_digest", lambda *_: pytest.fail("hashed again"))
    assert open_model(str(folder), "float32").fingerprint == first
    loading.DIGESTS.write_text("broken")
    with pytest.raises(pytest.fail.Exception):
        open_model(str(folder), "float32")


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
    assert "broken JSON (line 1" in error_of(folder)


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
