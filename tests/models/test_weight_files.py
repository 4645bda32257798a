"""Which of several weight files are meant, and what tied weights end up as: as transformers has it, by its logits."""

import functools
import itertools
import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file, save_file
from tiny_adapters import logits

from remid_jax.errors import UserError
from remid_jax.models.loading import open_model

transformers.logging.set_verbosity_error()

IDS = np.random.default_rng(0).integers(2, 50, (1, 9))
INDEX = "model.safetensors.index.json"


@functools.cache
def torch_model(seed, tied=False):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48,
        max_position_embeddings=512, tie_word_embeddings=tied, initializer_range=0.3,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def save(folder, kind, seed):
    """Weights of the model of this seed, beside what is there, as one file, in shards, as a variant, or as a pickle."""
    apart, model = folder / "apart", torch_model(seed)
    if kind == "bin":
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        return
    options = {"one": {}, "shards": {"max_shard_size": "20KB"}, "variant": {"variant": "fp16"}}[kind]
    model.save_pretrained(apart, **options)
    for path in apart.iterdir():
        shutil.move(path, folder / path.name)


def theirs(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(torch.tensor(IDS)).logits.numpy()


def ours(folder):
    return logits(open_model(str(folder), "float32"), IDS)


def refusal(folder):
    with pytest.raises(UserError) as raised:
        open_model(str(folder), "float32")
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize(
    "kinds", [k for n in (1, 2, 3, 4) for k in itertools.combinations(["one", "shards", "variant", "bin"], n)]
)
def test_of_several_weights_those_of_transformers_are_opened(tmp_path, kinds):
    for seed, kind in enumerate(kinds):
        save(tmp_path, kind, seed)
    if "one" in kinds or "shards" in kinds:
        np.testing.assert_allclose(ours(tmp_path), theirs(tmp_path), atol=1e-4)
    elif "bin" in kinds:
        assert "holds only pickled weights (pytorch_model.bin)" in refusal(tmp_path)
    else:
        assert "has no model.safetensors and no index of shards, only model.fp16.safetensors: rename" in refusal(tmp_path)
        with pytest.raises(OSError, match=r"no file named model\.safetensors"):
            theirs(tmp_path)


def test_shards_may_be_gone_where_the_whole_file_is_there(tmp_path):
    save(tmp_path, "shards", 0)
    for shard in tmp_path.glob("model-*.safetensors"):
        shard.unlink()
    assert "shards named in model.safetensors.index.json are missing: model-00001" in refusal(tmp_path)
    save(tmp_path, "one", 1)
    np.testing.assert_allclose(ours(tmp_path), theirs(tmp_path), atol=1e-4)


def test_shards_without_an_index_are_no_model(tmp_path):
    save(tmp_path, "shards", 0)
    (tmp_path / INDEX).unlink()
    assert "no index of shards, only model-00001-of-0000" in refusal(tmp_path)


@pytest.mark.parametrize("named", ["model.fp16.safetensors", INDEX])
def test_weights_that_config_json_names_go_first(tmp_path, named):
    for seed, kind in enumerate(["one", "shards", "variant"]):
        save(tmp_path, kind, seed)
    edit(tmp_path, transformers_weights=named)
    found = ours(tmp_path)
    np.testing.assert_allclose(found, theirs(tmp_path), atol=1e-4)
    edit(tmp_path, transformers_weights=None)
    assert np.abs(found - ours(tmp_path)).max() > 0.1


@pytest.mark.parametrize("named", ["../model.safetensors", "gone.safetensors"])
def test_weights_named_elsewhere_are_refused(tmp_path, named):
    (tmp_path / "model").mkdir()
    save(tmp_path / "model", "one", 0)
    shutil.copy(tmp_path / "model" / "model.safetensors", tmp_path)
    edit(tmp_path / "model", transformers_weights=named)
    assert f"config.json names weights that are not in its folder ({named})" in refusal(tmp_path / "model")


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


# ----------------------------------------------------------------------------------------------------------- tied weights


@pytest.mark.parametrize("kept", ["embedding", "head", "both", "both, unlike"])
def test_tied_weights_are_what_transformers_makes_of_them(tmp_path, kept):
    torch_model(0).save_pretrained(tmp_path)
    edit(tmp_path, tie_word_embeddings=True)

    def change(tensors):
        if kept == "embedding":
            del tensors["lm_head.weight"]
        elif kept == "head":
            del tensors["model.embed_tokens.weight"]
        elif kept == "both":
            tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]

    change_tensors(tmp_path, change)
    np.testing.assert_allclose(ours(tmp_path), theirs(tmp_path), atol=1e-4)
    assert open_model(str(tmp_path), "float32").config.tied_embeddings == (kept != "both, unlike")


@pytest.mark.parametrize(("tied", "missing"), [(True, "model.embed_tokens.weight"), (False, "lm_head.weight")])
def test_a_model_without_what_it_needs_is_refused(tmp_path, tied, missing):
    torch_model(0).save_pretrained(tmp_path)
    edit(tmp_path, tie_word_embeddings=tied)
    change_tensors(tmp_path, lambda tensors: [tensors.pop(n) for n in list(tensors) if n in (missing, "lm_head.weight")])
    assert f"missing: {missing}" in refusal(tmp_path)


# ------------------------------------------------------------------------------------------------------------- not finite


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_tensor_with_a_number_that_is_not_finite_is_named(tmp_path, number, dtype):
    torch_model(0).save_pretrained(tmp_path)
    change_tensors(tmp_path, lambda tensors: tensors["model.layers.1.mlp.up_proj.weight"].__setitem__((3, 4), number))
    model = open_model(str(tmp_path), dtype)
    with pytest.raises(
        UserError, match=r"model\.safetensors: tensor model\.layers\.1\.mlp\.up_proj\.weight holds 1 of 1536 numbers"
    ):
        _ = model.params
