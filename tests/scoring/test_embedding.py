"""Embeddings are the hidden states of each text alone, whatever shares its row; a headless torch encoder agrees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers
from tiny import CONFIG, NEVER, tiny_model, tokens

from remid_jax.errors import UserError
from remid_jax.models.decoder import TokenTree, bind
from remid_jax.models.loading import open_model
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.store import Store

SHARED = tokens(30)
TEXTS = [tokens(1), tokens(9), [*SHARED, *tokens(5)], [*SHARED, *tokens(12)], SHARED, tokens(100), tokens(63), tokens(9)]


def engine(tmp_path, model=None, tokens_per_step=256):
    return ScoringEngine(model or tiny_model(), Devices(), Store(tmp_path / "store"), tokens_per_step, 256)


def alone(ids):
    """Hidden states of one sequence, padded behind its end, where nothing can change what stands before."""
    padded = jnp.array([[*ids] + [0] * (128 - len(ids))])
    return np.asarray(_hidden(tiny_model().params, padded))[0, : len(ids)]


@jax.jit
def _hidden(params, ids):
    return bind(CONFIG, params)(ids, TokenTree(jnp.arange(128)[None], jnp.full((1, 128), NEVER)))


@pytest.mark.parametrize("group", [(), list("aabbabab")])
def test_the_mean_is_over_the_texts_own_tokens_behind_one_start(tmp_path, group):
    found = engine(tmp_path).embed(TEXTS, group=group)
    for vector, ids in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(vector, alone([0, *ids])[1:].mean(0), atol=1e-4)
    assert found.dtype == np.float32


def test_the_last_is_the_last_tokens(tmp_path):
    texts = [*TEXTS, TEXTS[1][:1], SHARED[:1]]  # of one token alone, and of one that others begin with
    found = engine(tmp_path).embed(texts, "last")
    for vector, ids in zip(found, texts, strict=True):
        np.testing.assert_allclose(vector, alone(ids)[-1], atol=1e-4)


def test_they_are_stored_and_told_apart(tmp_path):
    first = engine(tmp_path)
    mean = first.embed(TEXTS)
    again = engine(tmp_path)
    np.testing.assert_array_equal(again.embed(TEXTS), mean)
    assert (again.counts.store_misses, again.counts.device_steps) == (0, 0)
    assert np.abs(engine(tmp_path).embed(TEXTS[1:], "last") - mean[1:]).max() > 0.1
    # The same tree of tokens holds other texts: a beginning of one text alone is another text.
    np.testing.assert_allclose(engine(tmp_path).embed([TEXTS[3], SHARED])[0], mean[3], atol=1e-4)
    np.testing.assert_allclose(engine(tmp_path).embed([TEXTS[3]])[0], mean[3], atol=1e-4)
    assert engine(tmp_path).embed([]).shape == (0, CONFIG.width)


def test_texts_that_cannot_be_embedded_are_refused(tmp_path):
    with pytest.raises(UserError, match="no token"):
        engine(tmp_path).embed([tokens(3), []])
    with pytest.raises(UserError, match="vocabulary"):
        engine(tmp_path).embed([[CONFIG.vocab_size]])


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_torch_encoder_saved_without_a_head_agrees(tmp_path, pooling):
    torch.manual_seed(0)
    config = transformers.Qwen3Config(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, max_position_embeddings=512, tie_word_embeddings=True, eos_token_id=1,
    )  # fmt: skip
    encoder = transformers.Qwen3Model(config).eval()
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.normal_(0.5 if parameter.ndim == 1 else 0, 0.3)
    encoder.save_pretrained(tmp_path / "encoder")
    model = open_model(str(tmp_path / "encoder"), "float32")
    found = engine(tmp_path, model).embed(TEXTS[1:], pooling)
    for vector, ids in zip(found, TEXTS[1:], strict=True):
        with torch.no_grad():
            hidden = encoder(torch.tensor([ids if pooling == "last" else [0, *ids]])).last_hidden_state[0].numpy()
        np.testing.assert_allclose(vector, hidden[-1] if pooling == "last" else hidden[1:].mean(0), atol=1e-4)
