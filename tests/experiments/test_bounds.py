"""The bounds script: worlds in, exact EMID and every bound out, and what is no world refused with its slice."""

import numpy as np
import plain_worlds
import pytest
from scripts import ROOT

from remid_jax.theory.bounds.on_worlds import BOUNDS, CERTIFIED

CONFIG = f"--config={ROOT}/configs/bounds.py"
FILES = ("--config.worlds=worlds.npz", "--config.output=bounds.npz")


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    worlds = [plain_worlds.random_world(rng) for _ in range(5)]
    return {name: np.stack([world[name] for world in worlds]) for name in ("p_x", "q_x", "p_y", "q_y", "theta")}


def emid(arrays, i):
    total = 0.0
    for sign, law, golden in ((1, "p_x", "p_y"), (-1, "q_x", "q_y")):
        for factor, kernel in ((1, "theta"), (-1, golden)):
            total += sign * factor * plain_worlds.information(plain_worlds.joint(arrays[law][i], arrays[kernel][i]))
    return total


@pytest.mark.parametrize("parallel", ["mesh", "pmap"])
def test_every_world_has_its_emid_and_every_bound(run, tmp_path, arrays, parallel):
    np.savez(tmp_path / "worlds.npz", **arrays)
    done = run("bounds", CONFIG, *FILES, "--config.block=2", f"--config.parallel={parallel}")
    assert done.code == 0, done.err
    found = dict(np.load(tmp_path / "bounds.npz"))
    assert set(found) == {"emid", *BOUNDS}
    np.testing.assert_allclose(found["emid"], [emid(arrays, i) for i in range(5)], atol=1e-12)
    for name in CERTIFIED:
        assert found[name].shape == (5,)
        assert np.all(found["emid"] <= found[name] + 1e-9 + 1e-9 * abs(found[name])), name
    assert "5 worlds" in done.out
    for name in BOUNDS:
        assert name in done.out


def test_terms_are_written_when_asked_for(run, tmp_path, arrays):
    np.savez(tmp_path / "worlds.npz", **arrays)
    assert run("bounds", CONFIG, *FILES, "--config.terms=True").code == 0
    found = dict(np.load(tmp_path / "bounds.npz"))
    terms = [name for name in found if name.startswith("information/")]
    assert "information/output" in terms
    np.testing.assert_allclose(found["information"], found["information/shift"] + found["information/output"], atol=1e-12)


def test_what_is_no_world_is_refused_with_its_slice_and_nothing_is_written(refused, tmp_path, arrays):
    files = {"worlds": "worlds.npz", "output": "bounds.npz"}

    def of(**changed):
        np.savez(tmp_path / "worlds.npz", **(arrays | changed))
        return refused("bounds", files)

    p_y, p_x = arrays["p_y"].copy(), arrays["p_x"].copy()
    p_y[3, 0, 1, 1] *= 0.5
    assert "p_y[3, 0, 1, 1]" in of(p_y=p_y)
    p_x[2, 1, 0, 0] = -0.1
    assert "p_x[2]" in of(p_x=p_x)
    p_x[2] = np.nan
    assert "p_x[2]" in of(p_x=p_x)
    assert "theta has shape [5, 2, 3, 2, 3]" in of(theta=arrays["theta"][..., :3])
    (tmp_path / "worlds.npz").write_text("not an archive")
    assert "not an .npz of arrays" in refused("bounds", files)
    np.save(tmp_path / "worlds.npy", arrays["theta"])
    assert "not an .npz of arrays" in refused("bounds", files | {"worlds": "worlds.npy"})
    assert "no such file" in refused("bounds", files | {"worlds": "missing.npz"})
    assert "config.worlds is not set" in refused("bounds", {})
    assert "config.block=0" in refused("bounds", files | {"block": 0})
    assert not (tmp_path / "bounds.npz").exists()
