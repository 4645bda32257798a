"""What is traced for devices that are not there is as they want it, not as this machine does."""

import jax
import jax.numpy as jnp
import pytest
from tiny import CONFIG

from remid_jax.models.decoding import cache_dtype, empty_cache
from remid_jax.models.matrices import on_cpu, turned


def mesh_of(kind):
    device = jax.sharding.AbstractDevice(kind, None, kind.split()[0].lower())
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((1,), ("data",), abstract_device=device))


@pytest.mark.parametrize(
    ("kind", "kept", "is_turned"),
    [("cpu", "float32", False), ("TPU v5 lite", "bfloat16", True), ("NVIDIA H100", "bfloat16", True)],
)
def test_caches_and_matrices_of_bfloat16_are_as_the_devices_of_the_mesh_want_them(kind, kept, is_turned):
    with mesh_of(kind):
        assert on_cpu() == (kind == "cpu")
        assert cache_dtype(jnp.dtype("bfloat16")) == kept
        assert {a.dtype.name for a in jax.tree.leaves(empty_cache(CONFIG, 2, 8, jnp.bfloat16))} == {kept}
        assert turned(jnp.bfloat16) == is_turned
        assert turned(jnp.float32)


def test_without_a_mesh_the_devices_of_this_machine_count():
    assert on_cpu()
