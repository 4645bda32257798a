"""GGUF files: configs, weights and rotary embeddings against torch's, faults in one line.

The files are written here as llama.cpp's converter would; transformers' own reader has to find the torch model in each
before ours is compared.
"""

import dataclasses
import math

import numpy as np
import pytest
import torch
import transformers
from gguf_files import CONFIGS, SIZES, contents, torch_model, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from remid_jax.errors import UserError
from remid_jax.models import huggingface
from remid_jax.models.config import Rope
from remid_jax.models.gguf import read_gguf
from remid_jax.models.rope import frequencies
from remid_jax.models.tensor_names import layout


@pytest.fixture
def changed(tmp_path):
    """Writes a file of the tiny llama with some metadata and tensors changed, or, where None, left out."""

    def change(fields=(), tensors=(), name="llama"):
        path = tmp_path / "changed.gguf"
        parts = [{**old, **dict(new)} for old, new in zip(contents(name), (fields, tensors), strict=True)]
        return write(path, *({key: value for key, value in part.items() if value is not None} for part in parts))

    return change


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_gguf(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("name", CONFIGS)
def test_config_and_weights_are_those_of_the_torch_model(name, tmp_path):
    path, model = write(tmp_path / "m.gguf", *contents(name)), torch_model(name)
    shell = torch_model("llama") if "mistral" in name else model  # both have the same names; their reader knows only llama's
    theirs = load_gguf_checkpoint(path, return_tensors=True, model_to_load=shell)["tensors"]
    for key, weights in theirs.items():
        torch.testing.assert_close(weights, model.state_dict()[key], rtol=0, atol=0)

    found = read_gguf(path)
    expected = huggingface.read_config(model.config.to_dict(), "torch")
    assert found.config == expected
    arrays, state = dict(found.arrays()), model.state_dict()
    names = layout(expected)
    assert arrays.keys() == names.keys()
    for key, parts in names.items():
        wanted = np.stack([state[part].numpy().T if parts.transposed else state[part].numpy() for part in parts.names])
        assert arrays[key].dtype == np.float32
        np.testing.assert_array_equal(arrays[key], wanted if parts.stacked else wanted[0])
    assert (found.tokenizer, found.end_ids) == (None, ())


def test_gemma_of_62_layers_scales_attention_by_its_width(changed):
    """Gemma 3 27B is the one that does; its files do not say so."""
    tensors = contents("gemma3")[1]
    deep = {f"blk.{n}.{key[6:]}": array for n in range(62) for key, array in tensors.items() if key.startswith("blk.0.")}
    found = read_gguf(changed({"gemma3.block_count": 62}, deep, "gemma3")).config
    assert found.attention_scale == pytest.approx((32 / 4) ** -0.5)
    assert found.sliding_layers == tuple(n % 6 != 5 for n in range(62))
    assert read_gguf(changed(name="gemma3")).config.attention_scale == pytest.approx(16**-0.5)


def test_gemma_windows_can_be_named_by_layer(changed):
    pattern = [True, False, True, True, False, True, True]
    path = changed({"gemma3.attention.sliding_window_pattern": pattern, "gemma3.rope.freq_base_swa": 77.0}, name="gemma3")
    found = read_gguf(path).config
    assert found.sliding_layers == tuple(pattern)
    assert found.local_rope == Rope(77.0)


# ------------------------------------------------------------------------------------------------------------------- rope


def torch_frequencies(kind, **parameters):
    """transformers' angular frequencies of a stretched rotary embedding, and its factor on cosines and sines."""
    config = transformers.LlamaConfig(**SIZES, rope_parameters={"rope_type": kind, "rope_theta": 500_000.0, **parameters})
    found, factor = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
    return found.numpy(), factor


def scaled(**keys):
    return {"llama.rope.freq_base": 500_000.0} | {f"llama.rope.scaling.{key}": value for key, value in keys.items()}


def test_linear_stretch(changed):
    rope = read_gguf(changed(scaled(type="linear", factor=8.0))).config.rope
    np.testing.assert_allclose(frequencies(rope, 8), torch_frequencies("linear", factor=8.0)[0], rtol=1e-6)
    assert read_gguf(changed(scaled(type="none"))).config.rope == Rope(500_000.0)


@pytest.mark.parametrize("betas", [{}, {"beta_fast": 16.0, "beta_slow": 0.5}])
def test_yarn(changed, betas):
    keys = {f"yarn_{key}": value for key, value in betas.items()}
    rope = read_gguf(changed(scaled(type="yarn", factor=4.0, original_context_length=4096, **keys))).config.rope
    wanted, factor = torch_frequencies("yarn", factor=4.0, original_max_position_embeddings=4096, **betas)
    np.testing.assert_allclose(frequencies(rope, 8), wanted, rtol=1e-6)
    assert rope.attention_factor == pytest.approx(factor) == pytest.approx(1 + 0.1 * math.log(4))


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_llama3_divisors_become_its_four_parameters(changed, factor):
    """Llama 3.1 and 3.2; the wavelengths of four pairs lie on both sides of the blend and in it."""
    parameters = {"factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
    wanted, _ = torch_frequencies("llama3", **parameters)
    plain = 500_000.0 ** -(np.arange(4) / 4)
    path = changed({"llama.rope.freq_base": 500_000.0}, {"rope_freqs.weight": (plain / wanted).astype(np.float32)})
    rope = read_gguf(path).config.rope
    assert rope == Rope(500_000.0, "llama3", factor, 1.0, 4.0, 8192)
    np.testing.assert_allclose(frequencies(rope, 8), wanted, rtol=1e-6)


def test_divisors_of_one_change_nothing_and_others_are_refused(changed):
    ones = np.ones(4, np.float32)
    assert read_gguf(changed(tensors={"rope_freqs.weight": ones})).config.rope == Rope(50_000.0)
    for other in (ones * 2, ones[:3], -ones):
        assert "rope_freqs.weight" in refusal(changed(tensors={"rope_freqs.weight": other}))


# ----------------------------------------------------------------------------------------------------------------- faults


def test_all_faulty_tensors_are_named_at_once(changed):
    tensors = {
        "blk.1.ffn_up.weight": None,
        "output_norm.weight": None,
        "blk.0.ffn_gate_inp.weight": np.ones((2, 2), np.float32),
        "blk.0.attn_k.weight": np.ones((32, 16), np.float32),
        "blk.0.attn_norm.weight": np.ones(32, np.int32),
    }
    message = refusal(changed(tensors=tensors))
    for part in (
        "missing: output_norm.weight, blk.1.ffn_up.weight;",
        "unknown: blk.0.ffn_gate_inp.weight;",
        "blk.0.attn_k.weight is [32, 16], not [16, 32];",
        "blk.0.attn_norm.weight is I32",
    ):
        assert part in message, message


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"llama.embedding_length": None, "llama.context_length": None},
            ["embedding_length is null", "context_length is null"],
        ),
        ({"llama.expert_count": 8, "llama.logit_scale": 0.5}, ["expert_count=8 is not supported", "logit_scale=0.5"]),
        ({"llama.attention.head_count": [4, 2]}, ["attention.head_count is [4, 2]"]),
        ({"llama.rope.dimension_count": 4}, ["rope.dimension_count=4"]),
        ({"llama.attention.head_count_kv": 3}, ["num_attention_heads=4 is not a multiple of num_key_value_heads=3"]),
        ({"llama.block_count": 2**31}, ["2147483648 layers"]),
        ({"llama.rope.scaling.type": "longrope"}, ['rope.scaling.type="longrope"']),
        (scaled(type="yarn", factor=4.0), ["rope.scaling.original_context_length is null"]),
        (scaled(type="yarn", factor=4.0, original_context_length=64, attn_factor=1.5), ["rope.scaling.attn_factor=1.5"]),
        ({"tokenizer.ggml.tokens": [str(i) for i in range(25)]}, ["more tokens than"]),
        ({"split.count": 3}, ["one of 3 parts", "llama-gguf-split"]),
    ],
)
def test_metadata_that_cannot_be_met_are_named(changed, fields, said):
    message = refusal(changed(fields))
    for part in said:
        assert part in message


def test_a_number_repeated_for_every_layer_is_that_number(changed):
    plain = read_gguf(changed()).config
    assert read_gguf(changed({"llama.attention.head_count_kv": [2, 2], "llama.feed_forward_length": [40, 40]})).config == plain


def test_windows_of_qwen_are_refused_for_want_of_their_layers(changed):
    assert "not for which layers" in refusal(changed({"qwen2.attention.sliding_window": 64}, name="qwen2"))


def test_unknown_architectures_are_named(tmp_path):
    fields, tensors = contents("llama")
    message = refusal(write(tmp_path / "m.gguf", fields | {"general.architecture": "mamba"}, tensors))
    assert "mamba" in message
    assert "llama, qwen2, qwen3, gemma3" in message


@pytest.mark.parametrize("architecture", ["smollm3", "olmo2", "granite", "phi3"])
def test_architectures_that_are_read_as_safetensors_say_so(tmp_path, architecture):
    fields, tensors = contents("llama")
    message = refusal(write(tmp_path / "m.gguf", fields | {"general.architecture": architecture}, tensors))
    assert f"architecture {architecture} is read as safetensors only: name its directory or hub id" in message


TOKENS = [*"ĠabcdefghijklmnopqrsT", "Ġa", "<|end|>"]
TOKENIZER = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm", "tokenizer.ggml.tokens": TOKENS,
             "tokenizer.ggml.token_type": [1] * 22 + [3], "tokenizer.ggml.merges": ["Ġ a"],
             "tokenizer.ggml.eos_token_id": 22, "tokenizer.ggml.eot_token_id": 21}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    fields, tensors = contents("llama")
    return write(tmp_path_factory.mktemp("gguf") / "whole.gguf", fields | TOKENIZER, tensors).read_bytes()


def open_all(path):
    found = read_gguf(path)
    return found.tokenizer, found.end_ids, dict(found.arrays())


def test_end_ids_are_those_of_sequence_turn_and_message(changed):
    assert read_gguf(changed(TOKENIZER)).end_ids == (22, 21)
    assert read_gguf(changed(TOKENIZER | {"tokenizer.ggml.eos_token_id": None})).end_ids == (21,)


def test_cut_off_files_are_refused(whole, tmp_path):
    path = tmp_path / "cut.gguf"
    for length in [*range(0, 64, 7), *np.linspace(64, len(whole) - 1, 60).astype(int)]:
        path.write_bytes(whole[:length])
        assert "fetch it again" in refusal(path)


def test_counts_beyond_the_file_are_refused_before_anything_is_counted(whole, tmp_path):
    path, broken, key = tmp_path / "broken.gguf", bytearray(whole), b"tokenizer.ggml.token_type"
    count = broken.index(key) + len(key) + 8  # behind the types of the value and of its items
    assert int.from_bytes(broken[count : count + 8], "little") == len(TOKENS)
    broken[count : count + 8] = (10**6).to_bytes(8, "little")
    path.write_bytes(broken)
    assert f"ends at byte {len(whole)}" in refusal(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2400), st.integers(0, 255)), min_size=1, max_size=4))
def test_broken_files_open_or_are_refused_in_one_line(whole, tmp_path, changes):
    """Metadata and tensor descriptions take the first 2,400 bytes."""
    path, broken = tmp_path / "broken.gguf", bytearray(whole)
    for place, byte in changes:
        broken[place] = byte
    path.write_bytes(broken)
    said = f"{path}: opened"
    try:
        with np.errstate(all="ignore"):
            open_all(path)
    except UserError as error:
        said = str(error)
    assert "\n" not in said
    assert str(path) in said


def test_no_file_and_no_gguf_file(tmp_path):
    assert "No such file" in refusal(tmp_path / "none.gguf")
    for content in (b"", b"GGUF", b"PK\x03\x04" * 99):
        (tmp_path / "m.gguf").write_bytes(content)
        assert "not a whole GGUF file" in refusal(tmp_path / "m.gguf")


def test_files_of_the_other_byte_order_are_refused(whole, tmp_path):
    swapped = bytearray(whole[:24])
    for start, end in ((4, 8), (8, 16), (16, 24)):
        swapped[start:end] = swapped[start:end][::-1]
    swapped[8:24] = bytes(16)
    (tmp_path / "m.gguf").write_bytes(swapped)
    assert "byte order" in refusal(tmp_path / "m.gguf")


# -------------------------------------------------------------------------------------------------------------- tokenizer


def test_a_tokenizer_that_metadata_do_not_determine_is_taken_from_beside_the_file(changed, tmp_path):
    ours = read_gguf(changed(TOKENIZER)).tokenizer
    path = changed(TOKENIZER | {"tokenizer.ggml.model": "llama"})
    with pytest.raises(UserError, match=r"model llama, pre-tokenizer smollm cannot be rebuilt exactly.*tokenizer\.json"):
        _ = read_gguf(path).tokenizer
    ours.save(tmp_path)
    assert read_gguf(path).tokenizer.encode("a bad  a") == ours.encode("a bad  a")

    untyped = TOKENIZER | {"tokenizer.ggml.model": "llama", "tokenizer.ggml.token_type": None}
    assert read_gguf(changed(untyped)).tokenizer.fingerprint == read_gguf(path).tokenizer.fingerprint
    path = changed(TOKENIZER | {"tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": [*TOKENS[:3], "z", *TOKENS[4:]]})
    with pytest.raises(UserError, match="token 3 is 'z', but 'c' in the tokenizer"):
        _ = read_gguf(path).tokenizer


def test_arrays_can_be_read_twice_and_config_says_what_is_stored(changed):
    found = read_gguf(changed())
    first, second = dict(found.arrays()), dict(found.arrays())
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key])
    assert dataclasses.asdict(found.config)["vocab_size"] == len(first["embedding"]) == 24
