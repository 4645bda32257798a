"""Rounding to bfloat16 by the bits: the same as by the book, for every kind of number."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.models.matrices import as_bits, of_bits, rounded

PATTERNS = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=64)
TIES = [0x3F808000, 0x3F818000, 0xBF808000, 0x00008000, 0x7F7F8000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x80000000, 1, 0x7FFF]


@given(PATTERNS)
def test_nearest_and_ties_to_even(patterns):
    values = np.array([*patterns, *TIES], np.uint32).view(np.float32)
    values = values[~np.isnan(values)]
    found = np.asarray(rounded(jnp.asarray(values), jnp.dtype("bfloat16")))
    np.testing.assert_array_equal(found.view(np.uint16), values.astype(ml_dtypes.bfloat16).view(np.uint16))


@given(st.integers(1, 2**23 - 1), st.booleans())
def test_what_is_no_number_stays_none(payload, negative):
    value = np.array([0x7F800000 + payload + (negative << 31)], np.uint32).view(np.float32)
    assert jnp.isnan(rounded(jnp.asarray(value), jnp.dtype("bfloat16"))).all()


def test_gradients_pass_as_through_any_conversion():
    values, weights = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)

    def loss(convert):
        return jax.grad(lambda x: (convert(x).astype(jnp.float32) * weights).sum())(values)

    expected = loss(lambda x: x.astype(jnp.bfloat16))
    np.testing.assert_array_equal(loss(lambda x: rounded(x, jnp.dtype("bfloat16"))), expected)


def test_bits_and_back():
    values = jnp.asarray(np.random.default_rng(0).normal(size=50), jnp.bfloat16)
    assert as_bits(values).dtype == jnp.uint16
    np.testing.assert_array_equal(of_bits(as_bits(values), values.dtype), values)
