"""The score table: what is read is what was written, and every fault of a file is named at once."""

import numpy as np
import pytest
from score_arrays import score_arrays, with_shifts, without

from remid_jax.errors import UserError
from remid_jax.evaluation.score_files import read_scores, write_scores
from remid_jax.information.score_arrays import flatten, parse


@pytest.fixture
def arrays():
    return with_shifts(score_arrays({"IDTest": 4, "Film & Television": 3}))


def faults(arrays):
    with pytest.raises(UserError) as caught:
        parse(arrays, "SCORES.npz")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("SCORES.npz: ")
    return message


def test_a_table_comes_back_as_it_was_written(arrays, tmp_path):
    write_scores(tmp_path / "scores.npz", arrays)
    again = flatten(read_scores(tmp_path / "scores.npz"))
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.npz"]


@pytest.mark.parametrize(
    "parts",
    [
        ["/plain"], ["/reasoned"], ["/self", "/of_id/", "/in_id/"], ["/of_id/", "/in_id/"], ["constant", "golden_half"],
        ["marginal/plain/constant"], ["/embedding/"], ["/identity/user"],
    ],
)  # fmt: skip
def test_what_is_optional_may_be_missing(arrays, parts):
    fewer = without(arrays, *parts)
    assert set(flatten(parse(fewer))) == set(fewer)


def test_numbers_of_other_widths_are_read_in_double_precision(arrays):
    arrays = {name: array.astype(np.float32) if "loglik" in name else array for name, array in arrays.items()}
    table = parse({name: array.astype(np.int32) if "/tokens/" in name else array for name, array in arrays.items()})
    golden = table.categories["IDTest"].replies["golden"]
    assert (golden.loglik["plain"].dtype, golden.tokens.dtype) == (np.float64, np.int64)


def test_all_faults_are_named_at_once(arrays):
    missing = ("IDTest/loglik/plain/golden", "IDTest/tokens/policy", "Film & Television/marginal/reasoned/golden")
    broken = {name: array for name, array in arrays.items() if name not in missing}
    broken["IDTest/loglik/reasoned/golden"] = np.full((4, 3), -1.0)
    broken["IDTest/loglik/reasoned/policy"] = np.where(np.eye(4) == 1, np.nan, -1.0)
    broken["IDTest/chars/golden"] = np.array([1.0, 2.0, 3.0, 4.0])
    broken["IDTest/self/truncated"] = np.zeros((4, 9), bool)
    broken["IDTest/loglick/reasoned/golden"] = np.zeros(1)
    broken["Film & Television/tokens/golden"] = np.array([5, 0, 7])
    broken["Film & Television/record"] = np.array(["a", "b", "b"])
    broken["Film & Television/of_id/self"] = np.zeros((3, 3, 2))
    broken["Film & Television/in_id/golden/plain"] = np.zeros((3, 4))
    broken["IDTest/embedding/user"] = np.full((4, 5), np.inf)
    broken["IDTest/identity/character"] = np.arange(4)
    del broken["IDTest/embedding/dialogue"]
    message = faults(broken)
    for fault in (
        "IDTest/loglik/plain/golden is missing",
        "IDTest/tokens/policy is missing",
        "Film & Television/marginal/reasoned/golden is missing",
        "IDTest/loglik/reasoned/golden has shape [4, 3], expected [4, 4]",
        "IDTest/loglik/reasoned/policy has 4 values that are not finite",
        "IDTest/chars/golden has type float64, expected int",
        "IDTest/self/truncated has shape [4, 9], expected [4, 2]",
        "IDTest/loglick/reasoned/golden is not a name of the layout",
        "Film & Television/tokens/golden has a value below 1",
        "Film & Television/record names a record twice",
        "Film & Television/of_id/self has shape [3, 3, 2], expected [3, 4, 2]",
        "Film & Television/in_id/golden/plain has shape [3, 4], expected [4, 3]",
        "IDTest/embedding/user has 20 values that are not finite",
        "IDTest/embedding/dialogue is missing",
        "IDTest/identity/character has type int64, expected str",
    ):
        assert fault in message
    assert "15 faults" in message


@pytest.mark.parametrize("n", [0, 1])
def test_a_category_needs_two_records(n):
    german = score_arrays({"german": 1}) if n else {"german/record": np.array([], "U1")}
    message = faults(score_arrays({"IDTest": 4}) | german)
    assert f"german/record has {n} record{'s' * (n != 1)}: mutual information needs at least 2" in message


def test_a_table_without_scores_says_so():
    assert "holds no arrays" in faults({})
    assert "no loglik/reasoned/... or loglik/plain/... in any category" in faults({"IDTest/record": np.array(["a", "b"])})


def test_a_category_may_not_lack_a_scorer_that_another_has(arrays):
    fewer = {name: array for name, array in arrays.items() if not name.startswith("IDTest/loglik/plain")}
    assert "IDTest/loglik/plain/golden is missing" in faults(fewer)


def test_files_that_are_no_score_table_are_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        read_scores(tmp_path / "missing.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    np.save(tmp_path / "single.npy", np.zeros(3))
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("text.npz", "single.npy", "empty.npz"):
        with pytest.raises(UserError, match=r"not an \.npz of arrays"):
            read_scores(tmp_path / name)


def test_a_truncated_file_and_pickled_objects_are_refused(arrays, tmp_path):
    np.savez(tmp_path / "pickled.npz", **arrays, **{"german/record": np.array([{"a": 1}], object)})
    with pytest.raises(UserError, match="german/record cannot be read"):
        read_scores(tmp_path / "pickled.npz")
    whole = (tmp_path / "pickled.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"half\.npz"):
        read_scores(tmp_path / "half.npz")
