"""The matrix product: values and gradients against float64, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.models.matrices import contract

CASES = [
    ("bti,io->bto", (2, 5, 7), (7, 3)),
    ("bkmh,bksh->bkms", (2, 3, 4, 5), (2, 3, 6, 5)),
    ("bkms,bksh->bkmh", (2, 3, 4, 6), (2, 3, 6, 5)),
    ("bti,ir->btr", (2, 50, 7), (7, 2)),
    ("btr,ro->bto", (2, 50, 2), (2, 7)),
    ("...d,vd->...v", (2, 4, 7), (9, 7)),
    ("...d,vd->...v", (4, 7), (9, 7)),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("bfloat16", 2**-8)])
@pytest.mark.parametrize(("subscripts", "x", "w"), CASES)
def test_values_and_gradients(subscripts, x, w, dtype, tolerance):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=x), np.asarray(jnp.asarray(rng.normal(size=w), dtype), np.float64)
    weights = rng.normal(size=np.einsum(subscripts, x, w).shape)

    def loss(x, w):
        return (contract(subscripts, x, w) * jnp.asarray(weights, jnp.float32)).sum()

    found = jax.grad(loss, (0, 1))(jnp.asarray(x, jnp.float32), jnp.asarray(w, dtype))
    with jax.enable_x64(True):
        exact = jax.grad(lambda x, w: (jnp.einsum(subscripts, x, w) * weights).sum(), (0, 1))(jnp.array(x), jnp.array(w))
    value = contract(subscripts, jnp.asarray(x, jnp.float32), jnp.asarray(w, dtype))
    pairs = [(value, np.einsum(subscripts, x, w)), *zip(found, exact, strict=True)]
    assert [a.dtype for a, _ in pairs] == [jnp.float32, jnp.float32, jnp.dtype(dtype)]
    for a, b in pairs:
        a, b = np.asarray(a, np.float64), np.asarray(b)
        error = np.linalg.norm(a - b) / np.linalg.norm(b)
        assert error <= tolerance
