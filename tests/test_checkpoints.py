"""A checkpoint that the disk has no room for is told at the next save or at the end, and nothing of it is left."""

import resource

import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.checkpoints import Checkpoints
from remid_jax.errors import UserError

STATE = {"a": jnp.asarray(np.random.default_rng(0).normal(size=(300, 300)), jnp.float32)}  # what compression cannot shrink


def test_a_save_without_room_is_told_and_the_last_whole_one_stays(tmp_path):
    folder = tmp_path / "checkpoints"
    first = Checkpoints(folder)
    first.save(1, STATE, {"place": 1})
    first.close()
    again, limits = Checkpoints(folder), resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_and_close():
        again.save(2, STATE, {"place": 2})
        again.close()

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        with pytest.raises(UserError) as caught:
            save_and_close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"{folder}: the disk is full (File too large): make room and run the same command again"
    assert [path.name for path in folder.iterdir()] == ["1"]
    last = Checkpoints(folder)
    assert (last.latest, last.beside(1)) == (1, {"place": 1})
    last.save(2, STATE, {"place": 2})
    last.close()
    assert Checkpoints(folder).latest == 2
