"""What config.json means, transformers being the judge, and what in it is refused."""

import dataclasses
import importlib
import json

import numpy as np
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.models import huggingface
from remid_jax.models.config import DecoderConfig, Rope, description
from remid_jax.models.rope import frequencies

transformers.logging.set_verbosity_error()

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
    assert huggingface.read_config(huggingface.write_config(ours, "float32", [1], "here"), "config.json") == ours


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
    config = DecoderConfig("llama", 50, 32, 3, 4, 2, 8, 48, 1e-5, Rope(), 512, tied_embeddings=False, qk_norm=True)
    with pytest.raises(UserError, match=r"llama config\.json cannot express this model's qk_norm"):
        huggingface.write_config(config, "float32", [], "here")


@pytest.mark.parametrize(
    ("model_type", "why", "near"),
    [
        ("qwen3_moe", "a mixture of experts", "Qwen3ForCausalLM (qwen3)"),
        ("llama4", "a mixture of experts", "LlamaForCausalLM (llama)"),
        ("gemma3n", "embeddings for each layer", "Gemma3ForCausalLM (gemma3_text)"),
        ("gemma4_text", "embeddings and heads that differ by layer", "Gemma3ForCausalLM (gemma3_text)"),
        ("granitemoe", "a mixture of experts", "GraniteForCausalLM (granite)"),
        ("phi", "layer norms and one norm a layer", "Phi3ForCausalLM (phi3)"),
    ],
)
def test_a_family_that_is_not_read_is_told_what_it_is_and_which_is_nearest(model_type, why, near):
    with pytest.raises(UserError) as caught:
        huggingface.read_config({"model_type": model_type, "architectures": ["X"]}, "here")
    told = f"here: architecture X (model_type {model_type}) is not supported, being {why}"
    assert str(caught.value) == f"{told}: choose a model of {near}, the nearest that is"


def test_traits_that_came_later_do_not_change_what_describes_a_known_model():
    """Fingerprints of models that were read before are the same: a store goes on."""
    config = huggingface.read_config(PUBLISHED["SmolLM2-135M-Instruct"], "here")
    told = description(config)
    later = {"turned_layers", "pre_norms", "whole_qk_norm", "residual_scale", "logit_divisor"}
    assert not later & told.keys()
    assert set(told["rope"]) == {f.name for f in dataclasses.fields(Rope) if not f.metadata.get("later")}
    assert description(dataclasses.replace(config, logit_divisor=2.0))["logit_divisor"] == 2.0
