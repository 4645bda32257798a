"""Bounds, layers and risk of a cross-fitted estimator: those of each fold's contexts alone, averaged by their share."""

import numpy as np
import pytest
from score_arrays import score_arrays, with_shifts, without

from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import jackknife
from remid_jax.information.measurement import drawn
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices
from remid_jax.shifts.fold_blocks import fold_blocks, unbounded

FOLDS = {"IDTest": [0, 1, 1, 0, 0, 1, 0, 1], "german": [0, 1, 1, 0, 0, 1, 0, 1]}
NAMES = ("emid", "shift", "variance")


def bounds_of(arrays):
    return estimates(parse(arrays), Settings(bootstrap=0), Devices())["bounds"]


def in_folds(arrays, folds):
    """The arrays with folds, and NaN wherever two of them meet."""
    found = dict(arrays)
    for category, fold in folds.items():
        mine, there = np.array(fold), np.array(folds["IDTest"])
        found[f"{category}/fold"] = mine
        rows = {"loglik": (mine, mine), "self/loglik": (mine, mine), "of_id": (mine, there), "in_id": (there, mine)}
        for name, array in arrays.items():
            for block, (contexts, replies) in rows.items():
                if name.startswith(f"{category}/{block}") and array.ndim > 1:
                    apart = contexts[:, None] != replies
                    found[name] = np.where(apart if array.ndim == 2 else apart[..., None], np.nan, array)
    return found


def of_fold(arrays, folds, fold, left_out=None):
    """The table of the records of one fold, less one lineage."""
    kept = {
        category: np.array([
            i for i, of in enumerate(own) if of == fold and arrays[f"{category}/lineage"][i] != left_out
        ])
        for category, own in folds.items()
    }  # fmt: skip
    found = {}
    for name, array in arrays.items():
        category, _, quantity = name.partition("/")
        mine, there = kept[category], kept["IDTest"]
        if quantity.startswith(("loglik", "self/loglik")):
            array = array[np.ix_(mine, mine)]
        elif quantity.startswith("of_id"):
            array = array[np.ix_(mine, there)]
        elif quantity.startswith("in_id"):
            array = array[np.ix_(there, mine)]
        elif array.ndim:
            array = array[mine]
        found[name] = array
    return found


@pytest.fixture(scope="module")
def arrays():
    return with_shifts(score_arrays({"IDTest": 8, "german": 8}, samples=4))


@pytest.fixture(scope="module")
def plain(arrays):
    """What measuring bounds without attribution needs, under one scorer."""
    return without(arrays, "/embedding/", "reasoned", "golden_half", "constant")


@pytest.fixture(scope="module")
def found(arrays):
    return bounds_of(in_folds(arrays, FOLDS))


@pytest.fixture(scope="module")
def alone(arrays):
    """What the tables of either fold alone tell."""
    return [bounds_of(of_fold(arrays, FOLDS, fold)) for fold in (0, 1)]


def test_bounds_are_the_mean_over_folds_and_divergences_are_of_all_contexts(arrays, found, alone):
    german = found["categories"]["german"]
    assert german["divergence"] == bounds_of(arrays)["categories"]["german"]["divergence"]
    for scorer in ("reasoned", "plain"):
        bounds, parts = german["bounds"][scorer], [of["categories"]["german"]["bounds"][scorer] for of in alone]
        assert bounds["blocks"] == 2
        for name in NAMES:
            assert bounds[name]["value"] == pytest.approx(np.mean([part[name]["value"] for part in parts]), abs=1e-9)
        unknown = [part["unknown_shift"]["bound"]["value"] for part in parts]
        assert bounds["unknown_shift"]["bound"]["value"] == pytest.approx(np.mean(unknown), abs=1e-9)
        output = bounds["output"]["sum"]["value"]
        assert bounds["emid"]["value"] == pytest.approx(bounds["shift"]["value"] + output, abs=1e-9)
        assert bounds["plug_in"]["bound"]["value"] == pytest.approx(bounds["plug_in"]["shift"]["value"] + output, abs=1e-9)
        assert bounds["plug_in"]["divergence"]["n"] == bounds["emid"]["n"] == 4
        signed = sum(bounds["layered"][factor]["signed"]["value"] for factor in ("user", "character", "dialogue"))
        assert signed == pytest.approx(bounds["shift"]["value"], abs=1e-9)


def test_the_interval_is_the_jackknife_over_the_lineages_of_all_folds(plain, found, alone):
    bounds = found["categories"]["german"]["bounds"]["plain"]["emid"]
    value = [of["categories"]["german"]["bounds"]["plain"]["emid"]["value"] for of in alone]
    reruns = []
    for number, fold in enumerate(FOLDS["IDTest"]):  # record i of either category is of lineage i
        part = bounds_of(of_fold(plain, FOLDS, fold, f"dialogue {number}"))["categories"]["german"]["bounds"]["plain"]
        reruns.append((part["emid"]["value"] + value[1 - fold]) / 2)
    assert bounds["interval"]["clusters"] == 8
    expected = jackknife(np.array(reruns), bounds["value"], 0.95)
    assert (bounds["interval"]["low"], bounds["interval"]["high"]) == pytest.approx(expected, abs=1e-8)


def test_risk_is_the_mean_over_folds(found, alone):
    risk, parts = found["risk"]["plain"], [of["risk"]["plain"] for of in alone]
    assert risk["blocks"] == 2
    assert risk["emi"]["value"] == pytest.approx(np.mean([part["emi"]["value"] for part in parts]), abs=1e-9)
    for ball, of_ball in risk["balls"].items():
        for k, number in enumerate(of_ball["risk"]):
            whole = [part["balls"][ball]["risk"][k]["value"] for part in parts]
            assert number["value"] == pytest.approx(np.mean(whole), abs=1e-7)
            attacks = [part["balls"][ball]["attack"][k] for part in parts]
            expected = None if None in attacks else pytest.approx(np.mean(attacks), abs=1e-6)
            assert of_ball["attack"][k] == expected


def test_only_what_a_block_of_fewer_than_four_contexts_needs_is_null(arrays):
    small = {"IDTest": [0, 0, 0, 0, 1, 1, 1, 1], "german": [0, 0, 0, 0, 0, 0, 1, 1]}
    bounds = bounds_of(in_folds(arrays, small))
    german = bounds["categories"]["german"]["bounds"]["plain"]
    assert (german["emid"]["n"], german["blocks"]) == (2, 2)  # two contexts a side make a block of four
    assert german["emid"]["value"] is not None
    assert bounds["risk"] == {"reason": "IDTest: 2 contexts in the smallest fold of the cross-fitted estimator: risk needs 4"}
    apart = bounds_of(in_folds(arrays, {"IDTest": [0] * 8, "german": [1] * 8}))
    reason = "fold 0 of the cross-fitted estimator holds 8 contexts of IDTest and 0 of the category: a block needs 2 of each"
    assert apart["categories"]["german"]["bounds"] == {"reason": reason}
    assert apart["risk"]["plain"]["blocks"] == 1  # one estimator scored all of IDTest


def test_folds_of_unequal_size_count_by_their_contexts_at_the_size_of_the_smallest(plain):
    folds = {"IDTest": [0, 0, 0, 1, 1, 1, 1, 1], "german": [1, 0, 1, 0, 1, 0, 1, 1]}
    kept = {name: np.full(8, 2) for name in folds}  # fold 2: what the draws leave out
    for name, own in folds.items():
        for fold, block in enumerate(drawn(name, [np.flatnonzero(np.array(own) == f) for f in (0, 1)], 3, 1, 0)):
            kept[name][block.draws[0]] = fold
    assert sum((own == 2).sum() for own in kept.values()) == 4
    parts = [bounds_of(of_fold(plain, kept, fold))["categories"]["german"]["bounds"]["plain"] for fold in (0, 1)]
    bounds = bounds_of(in_folds(plain, folds))["categories"]["german"]["bounds"]["plain"]
    assert (bounds["emid"]["n"], bounds["blocks"]) == (3, 2)
    for name in NAMES:
        expected = 6 / 16 * parts[0][name]["value"] + 10 / 16 * parts[1][name]["value"]
        assert bounds[name]["value"] == pytest.approx(expected, abs=1e-9)


def test_blocks_hold_the_contexts_and_the_replies_of_one_fold():
    blocks = [(fold, *map(list, sides)) for fold, *sides in fold_blocks(np.array([1, 0, 1]), np.array([2, 1, 0, 1]))]
    assert blocks == [(0, [1], [2]), (1, [0, 2], [1, 3])]
    assert unbounded("IDTest", np.array([0, 0, 1, 1]), np.array([1, 0, 1, 0])) is None
