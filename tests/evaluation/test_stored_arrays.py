"""Arrays read where they lie in an .npz file, against numpy's own reader; files that are none of ours."""

import numpy as np
import pytest
from score_arrays import score_arrays

from remid_jax.evaluation.stored_arrays import StoredArrays

ODD = {
    "empty text": np.array(""),
    "texts": np.array(["Zoë", "日本語", "a/b"]),
    "number": np.array(7),
    "none": np.empty((0, 3)),
    "in columns": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "flags": np.array([[True], [False]]),
    "small": np.arange(5, dtype=np.int16),
    "Film & Television/record": np.arange(3),
}


def test_arrays_are_those_that_numpy_reads(tmp_path):
    arrays = ODD | score_arrays({"IDTest": 4, "german": 3})
    np.savez(tmp_path / "scores.npz", **arrays)
    stored = StoredArrays(tmp_path / "scores.npz")
    assert list(stored.entries) == list(arrays)
    found = stored.read(arrays, stored)
    with np.load(tmp_path / "scores.npz") as expected:
        for name in arrays:
            assert found[name].dtype == expected[name].dtype
            assert found[name].flags.f_contiguous == expected[name].flags.f_contiguous
            np.testing.assert_array_equal(found[name], expected[name])


def test_what_another_file_holds_alike_is_its_own_and_nothing_else(tmp_path):
    arrays = score_arrays({"IDTest": 4})
    other = dict(arrays) | {"IDTest/loglik/plain/policy": arrays["IDTest/loglik/plain/policy"] + 1e-12}
    np.savez(tmp_path / "one.npz", **arrays, alone=np.ones(2))
    np.savez(tmp_path / "other.npz", later=np.zeros(2), **dict(reversed(other.items())))
    one, two = StoredArrays(tmp_path / "one.npz"), StoredArrays(tmp_path / "other.npz")
    kept, found = one.read(one.entries, one), two.read(two.entries, one)
    assert {name for name in found if found[name] is kept.get(name)} == set(arrays) - {"IDTest/loglik/plain/policy"}
    for name, array in other.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_flipped_bit_is_found(tmp_path):
    np.savez(tmp_path / "scores.npz", a=np.arange(50.0), b=np.ones(3))
    stored = StoredArrays(tmp_path / "scores.npz")
    content = bytearray((tmp_path / "scores.npz").read_bytes())
    content[content.index(np.arange(50.0).tobytes()) + 100] ^= 1
    (tmp_path / "scores.npz").write_bytes(content)
    stored = StoredArrays(tmp_path / "scores.npz")
    np.testing.assert_array_equal(stored.read(["b"], stored)["b"], np.ones(3))
    with pytest.raises(ValueError, match="a is broken"):
        stored.read(["a"], stored)


def test_other_files_are_left_to_numpy(tmp_path):
    np.savez_compressed(tmp_path / "packed.npz", a=np.zeros(100))
    np.savez(tmp_path / "pickled.npz", a=np.array([{}], object))
    np.save(tmp_path / "single.npy", np.zeros(3))
    np.savez(tmp_path / "whole.npz", a=np.zeros(3))
    (tmp_path / "half.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:250])
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("packed.npz", "single.npy", "half.npz", "empty.npz"):
        with pytest.raises(ValueError, match=r"archive|compressed|empty"):
            StoredArrays(tmp_path / name)
    pickled = StoredArrays(tmp_path / "pickled.npz")
    with pytest.raises(ValueError, match="pickled"):
        pickled.read(["a"], pickled)
    with pytest.raises(OSError, match="missing"):
        StoredArrays(tmp_path / "missing.npz")
