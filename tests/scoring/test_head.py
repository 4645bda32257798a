"""The head in tiles against dense logits: values, gradients, words that do not part evenly, and what nobody has scored."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import CONFIG

from remid_jax.models.decoder import logits_of
from remid_jax.scoring import head
from remid_jax.scoring.head import ask, tiles_of

ROWS, LENGTH, WIDTH = 3, 21, 16
SIZES = (
    50,
    64,
    128,
    129,
    191,
    1009,
)  # one tile of 64 or fewer, two, and more with a last one that begins among the words before


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(head, "WORDS", 64)
    monkeypatch.setattr(head, "POSITIONS", 8)


def case(size, **changes):
    config = dataclasses.replace(CONFIG, vocab_size=size, width=WIDTH, **changes)
    rng = np.random.default_rng(size)
    hidden, words = rng.normal(size=(ROWS, LENGTH, WIDTH)), rng.normal(size=(size, WIDTH))
    targets = rng.integers(0, size, (ROWS, LENGTH))
    targets[:, :2] = 0, size - 1
    return config, hidden, words, jnp.asarray(targets, jnp.int32)


def dense(config, hidden, words, targets):
    """(log-probabilities, entropies, log-probability and id of the likeliest), in float64 where the arguments are."""
    logits = jnp.einsum("bmd,vd->bmv", hidden, words) / config.logit_divisor
    if config.final_softcap is not None:
        logits = config.final_softcap * jnp.tanh(logits / config.final_softcap)
    log_p = jax.nn.log_softmax(logits)
    own = jnp.take_along_axis(log_p, targets[..., None], axis=-1)[..., 0]
    return own, -(jnp.exp(log_p) * log_p).sum(axis=-1), log_p.max(axis=-1), log_p.argmax(axis=-1)


def exact(*given):
    with jax.enable_x64(True):
        return [np.asarray(a) for a in dense(*given)]


@pytest.mark.parametrize("changes", [{}, {"logit_divisor": 3.0}, {"final_softcap": 20.0}], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_values(size, changes):
    config, hidden, words, targets = case(size, **changes)
    given = jnp.asarray(hidden, jnp.float32), jnp.asarray(words, jnp.float32), targets, jnp.full(ROWS, LENGTH)
    logprobs, entropies, best, ids = exact(config, hidden, words, targets)
    np.testing.assert_allclose(ask(config, "logprobs", *given)[0], logprobs, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ask(config, "entropies", *given), (logprobs, entropies), rtol=0, atol=1e-5)
    found = ask(config, "best", *given)
    np.testing.assert_allclose(found[:2], (logprobs, best), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(found[2], ids)


@pytest.mark.parametrize("changes", [{}, {"final_softcap": 20.0}], ids=str)
@pytest.mark.parametrize("size", SIZES)
def test_gradients(size, changes):
    config, hidden, words, targets = case(size, **changes)
    of_logprobs, of_entropies = np.random.default_rng(0).normal(size=(2, ROWS, LENGTH))

    def exact_loss(hidden, words):
        logprobs, entropies, *_ = dense(config, hidden, words, targets)
        return (logprobs * of_logprobs + entropies * of_entropies).sum()

    def loss(hidden, words):
        logprobs, entropies = ask(config, "entropies", hidden, words, targets, jnp.full(ROWS, LENGTH))
        return (logprobs * of_logprobs.astype(np.float32) + entropies * of_entropies.astype(np.float32)).sum()

    with jax.enable_x64(True):
        expected = jax.grad(exact_loss, (0, 1))(jnp.array(hidden), jnp.array(words))
    found = jax.grad(loss, (0, 1))(jnp.asarray(hidden, jnp.float32), jnp.asarray(words, jnp.float32))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-5 * np.abs(b).max())


def test_frozen_words_cost_no_product():
    """Logits, logits again, and the gradients of hidden states; those of words are one more, and as large as the words."""
    config, hidden, words, targets = case(1009)

    def loss(hidden, words):
        return sum(a.sum() for a in ask(config, "entropies", hidden, words, targets, jnp.full(ROWS, LENGTH)))

    def products(*learned):
        given = jnp.asarray(hidden, jnp.float32), jnp.asarray(words, jnp.float32)
        return len(re.findall(r" dot\(", jax.jit(jax.grad(loss, learned)).lower(*given).compile().as_text()))

    assert (products(0), products(0, 1)) == (3, 4)


@pytest.mark.parametrize("asked", ["logprobs", "entropies", "best"])
def test_what_no_row_has_scored_is_not_computed(asked):
    config, hidden, words, targets = case(191)
    hidden[:, 8:] = np.nan  # the first tile alone is needed
    given = jnp.asarray(hidden, jnp.float32), jnp.asarray(words, jnp.float32), targets, jnp.array([5, 0, 8])
    found = np.array(ask(config, asked, *given))
    assert np.isfinite(found).all()
    assert not found[:, :, 8:].any()
    assert found[0, :, :8].all()


def test_the_first_of_equal_words_is_the_likeliest():
    config, hidden, words, targets = case(191)
    words[[7, 70, 140]] = 10 * hidden[0, 0]
    given = jnp.asarray(hidden, jnp.float32), jnp.asarray(words, jnp.float32), targets, jnp.full(ROWS, LENGTH)
    assert ask(config, "best", *given)[2][0, 0] == 7


def test_gradients_of_a_model_in_bfloat16_are_rounded_as_its_products():
    """Against the dense head by the same product."""
    config, hidden, words, targets = case(191)
    words = jnp.asarray(words, jnp.bfloat16)

    def dense_loss(hidden, words):
        log_p = jax.nn.log_softmax(logits_of(config, hidden, words))
        return jnp.take_along_axis(log_p, targets[..., None], axis=-1).sum() - (jnp.exp(log_p) * log_p).sum()

    def loss(hidden, words):
        return sum(a.sum() for a in ask(config, "entropies", hidden, words, targets, jnp.full(ROWS, LENGTH)))

    pairs = zip(*(jax.grad(f, (0, 1))(jnp.asarray(hidden, jnp.float32), words) for f in (loss, dense_loss)), strict=True)
    for a, b in pairs:
        assert a.dtype == b.dtype
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.linalg.norm(a - b) <= 2**-8 * np.linalg.norm(b)


def test_tiles_stay_small():
    head.WORDS, head.POSITIONS = 4096, 128
    for rows in (1, 4, 64, 10_000):
        for size in (500, 49_152, 151_936, 262_144):
            positions, words = tiles_of(rows, size)
            assert positions == 8 or positions * words * rows <= head.ELEMENTS
            assert words <= size
            assert words == size or (words <= 4096 and words % 64 == 0)
    assert tiles_of(1, 49_152) == (128, 4096)


@pytest.mark.parametrize(("kind", "words"), [("cpu", 64), ("TPU v5 lite", 1009), ("NVIDIA H100", 1009)])
def test_words_are_parted_on_cpus_alone(kind, words):
    device = jax.sharding.AbstractDevice(kind, None, kind.split()[0].lower())
    with jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("data",), abstract_device=device)):
        assert tiles_of(ROWS, 1009).words == words
