"""The whole table at once: every section against loops over the raw arrays, and what must be null, equal or refused."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from scipy import stats
from score_arrays import score_arrays, without

from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimates
from remid_jax.information import emi
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import Replicates
from remid_jax.information.measurement import make_plan
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices

COUNTS = {"IDTest": 8, "german": 8, "korean": 8, "Gaming": 8, "TurnLevelComposition": 8}


@functools.cache
def table():
    return score_arrays(COUNTS)


@functools.cache
def results():
    return estimates(parse(table()), Settings(), Devices())


def club_by_loops(arrays, category, replies, scorer="reasoned", rate=True):
    loglik, n = arrays[f"{category}/loglik/{scorer}/{replies}"], COUNTS[category]
    scores = loglik / arrays[f"{category}/tokens/{replies}"] if rate else loglik
    return np.mean([scores[i, i] for i in range(n)]) - np.mean([scores[i, j] for i in range(n) for j in range(n) if i != j])


def emi_by_loops(category, scorer="reasoned"):
    return club_by_loops(table(), category, "policy", scorer) - club_by_loops(table(), category, "golden", scorer)


def numbers(tree):
    if isinstance(tree, dict) and "value" in tree:
        yield tree
    elif isinstance(tree, dict):
        for branch in tree.values():
            yield from numbers(branch)


def test_every_number_carries_its_unit_estimator_n_and_interval_and_the_whole_is_json():
    found = list(numbers(results()))
    assert len(found) > 1000
    for number in found:
        assert {"value", "unit", "estimator", "n", "interval"} <= set(number)
        assert number["n"] == 8
        if number["value"] is None:
            assert number["reason"]
        else:
            assert {"low", "high", "level", "method", "clusters", "validated"} <= set(number["interval"])
    assert json.loads(json.dumps(results(), allow_nan=False)) == results()
    assert results()["version"] == 1


@pytest.mark.parametrize("scorer", ["reasoned", "plain"])
def test_emi_and_emid_of_the_headline_are_those_of_loops(scorer):
    for category in COUNTS:
        section = results()["categories"][category][scorer]
        assert section["emi"]["club"]["token_rate"]["value"] == pytest.approx(emi_by_loops(category, scorer), rel=1e-10)
        if category == "IDTest":
            assert "emid" not in section
            continue
        expected = emi_by_loops("IDTest", scorer) - emi_by_loops(category, scorer)
        assert section["emid"]["club"]["token_rate"]["value"] == pytest.approx(expected, rel=1e-9)
        shift = club_by_loops(table(), "IDTest", "golden", scorer) - club_by_loops(table(), category, "golden", scorer)
        assert section["estimator_shift"]["club"]["token_rate"]["value"] == pytest.approx(shift, rel=1e-9)


def test_per_token_and_per_char_are_ratios_of_totals_each_side_by_its_own_lengths():
    sides = {}
    for replies in ("policy", "golden"):
        nats = club_by_loops(table(), "german", replies, rate=False)
        sides[replies] = [nats / table()[f"german/{length}/{replies}"].mean() for length in ("tokens", "chars")]
        reported = results()["categories"]["german"]["reasoned"][replies]["club"]
        assert [reported[unit]["value"] for unit in ("per_token", "per_char")] == pytest.approx(sides[replies], rel=1e-10)
    got = results()["categories"]["german"]["reasoned"]["emi"]["club"]
    expected = [policy - golden for policy, golden in zip(sides["policy"], sides["golden"], strict=True)]
    assert [got[unit]["value"] for unit in ("per_token", "per_char")] == pytest.approx(expected, rel=1e-9)


def test_a_shift_row_is_the_mean_of_its_categories_and_its_interval_keeps_the_shared_lineages():
    assert results()["shifts"]["user"]["categories"] == ["german", "korean"]
    row = results()["shifts"]["user"]["reasoned"]["emid"]["club"]["token_rate"]
    each = {name: emi_by_loops(name) for name in ("IDTest", "german", "korean")}
    assert row["value"] == pytest.approx(each["IDTest"] - (each["german"] + each["korean"]) / 2, rel=1e-9)
    assert row["interval"]["clusters"] == 8  # the same eight dialogues in all three categories
    without_one = []
    for g in range(8):
        kept = np.delete(np.arange(8), g)
        arrays = {k: v[np.ix_(kept, kept)] if "loglik" in k and "self" not in k else v[kept] for k, v in table().items()}
        value = {}
        for name in each:
            sides = []
            for replies in ("policy", "golden"):
                rate = arrays[f"{name}/loglik/reasoned/{replies}"] / arrays[f"{name}/tokens/{replies}"]
                sides.append(np.trace(rate) / 7 - (rate.sum() - np.trace(rate)) / 42)
            value[name] = sides[0] - sides[1]
        without_one.append(value["IDTest"] - (value["german"] + value["korean"]) / 2)
    half = stats.t.ppf(0.975, 7) * np.sqrt(7 * np.var(without_one))
    assert row["interval"]["high"] - row["value"] == pytest.approx(half, rel=1e-6)
    assert results()["headline"]["shifts"]["user"] == row
    assert set(results()["headline"]["categories"]) == set(COUNTS) - {"IDTest"}


def test_controls_run_without_a_model_and_golden_is_exactly_zero():
    for controls in results()["controls"].values():
        assert set(controls) == {"golden", "golden_other", "constant", "golden_half"}
        for category in COUNTS:
            golden = controls["golden"][category]
            values = [number["value"] for estimator in ("club", "mixture") for number in numbers(golden[estimator])]
            assert values == [0.0] * 7
            assert controls["golden_other"][category]["club"]["response"]["value"] < -3
    loglik, tokens = table()["german/loglik/reasoned/golden"], table()["german/tokens/golden"]
    order = np.roll(np.arange(8), 4)
    moved = {"german/loglik/reasoned/golden": loglik[:, order], "german/tokens/golden": tokens[order]}
    expected = club_by_loops(moved, "german", "golden") - club_by_loops(table(), "german", "golden")
    other = results()["controls"]["reasoned"]["golden_other"]["german"]
    assert other["club"]["token_rate"]["value"] == pytest.approx(expected, rel=1e-9)
    constant = results()["controls"]["reasoned"]["constant"]["german"]
    assert constant["retrieval"]["value"] == pytest.approx(1 / 8)  # every context fits a constant reply equally well


def test_a_golden_control_that_is_not_zero_fails_the_run(monkeypatch):
    import remid_jax.information.estimates as module

    measure, drift = module.measure, iter(range(1000))

    def drifting(*arguments):
        measured = measure(*arguments)
        moved = {key: q._replace(values=q.values + 1e-12 * next(drift)) for key, q in measured.estimates.items()}
        return dataclasses.replace(measured, estimates=moved)

    monkeypatch.setattr(module, "measure", drifting)
    with pytest.raises(RuntimeError, match="IDTest: the EMI of the golden control is not 0"):
        estimates(parse(score_arrays({"IDTest": 8, "german": 8})), Settings(), Devices())


def test_reasoning_gain_is_the_paired_t_interval_of_golden_log_likelihoods():
    gained = np.diagonal(table()["Gaming/loglik/reasoned/golden"] - table()["Gaming/loglik/plain/golden"])
    got = results()["categories"]["Gaming"]["reasoning_gain"]
    assert got["response"]["value"] == pytest.approx(gained.mean(), rel=1e-10)
    bounds = stats.t.interval(0.95, 7, loc=gained.mean(), scale=stats.sem(gained))
    assert (got["response"]["interval"]["low"], got["response"]["interval"]["high"]) == pytest.approx(bounds, rel=1e-9)
    assert got["per_token"]["value"] == pytest.approx(gained.mean() / table()["Gaming/tokens/golden"].mean(), rel=1e-10)


def test_relative_needs_a_golden_estimate_that_is_known_not_to_be_zero():
    def quantity(value, spread):
        return Replicates(np.array([value, value - spread, value, value + spread]), np.ones(3, bool), 3)

    known, reason = emi.relative(quantity(3.0, 0.0), quantity(4.0, 0.1), "club", 0.95)
    assert (known.values[0], reason) == (-0.25, "")
    unknown, reason = emi.relative(quantity(3.0, 0.0), quantity(4.0, 2.0), "club", 0.95)
    assert np.isnan(unknown.values).all()
    assert reason == "the interval of the golden estimate includes 0"
    for category in results()["categories"].values():
        sides = {side: category["reasoned"][side]["club"]["response"]["value"] for side in ("policy", "golden")}
        assert category["reasoned"]["relative"]["club"]["value"] == pytest.approx(sides["policy"] / sides["golden"] - 1)


def test_self_information_minus_the_golden_estimate_is_named_for_its_two_scorers():
    section = results()["categories"]["german"]
    nats = section["self"]["self_information"]["response"]["value"]
    loglik, terms = table()["german/self/loglik"], []
    for j in range(8):
        terms += [loglik[j, j, s] - np.log(np.mean(np.exp(loglik[:, j, s]))) for s in range(2)]
    assert nats == pytest.approx(np.mean(terms), rel=1e-10)
    golden = section["plain"]["golden"]["mixture"]["response"]["value"]
    assert section["self"]["self_emi_mixed_scorers"]["plain"]["value"] == pytest.approx(nats - golden, rel=1e-10)
    assert section["self"]["leave_one_out"]["value"] > nats


def test_tables_with_fewer_parts_give_fewer_sections_and_reasons():
    arrays = without(table(), "/plain/", "IDTest/", "korean/self", "constant")
    arrays["german/self/truncated"] = np.ones((8, 2), bool)
    got = estimates(parse(arrays), Settings(), Devices())
    assert got["estimators"] == ["reasoned"]
    assert got["headline"]["reason"] == "the table holds no shift: it needs a category with a reference"
    assert "constant" not in got["controls"]["reasoned"]
    german = got["categories"]["german"]
    assert not {"plain", "reasoning_gain"} & set(german)
    assert not {"emid", "estimator_shift"} & set(german["reasoned"])
    assert german["self"] == {
        "self_information": None, "reason": "100% of the policy's samples are truncated, more than 10%"
    }  # fmt: skip
    assert got["categories"]["korean"]["self"]["reason"] == "no samples scored under the policy's own kernel"
    assert german["reasoned"]["emi"]["club"] == results()["categories"]["german"]["reasoned"]["emi"]["club"]


def test_categories_of_other_sizes_are_measured_at_the_smallest_n():
    arrays = score_arrays({"IDTest": 12, "german": 8}, shared_lineages=False)
    got = estimates(parse(arrays), Settings(subsamples=6), Devices())
    assert (got["n"], got["categories"]["IDTest"]["subsamples"], got["categories"]["german"]["subsamples"]) == (8, 6, 1)
    [block] = make_plan(parse(arrays), Devices(), subsamples=6, pairs=1, bootstrap=0, seed=0).blocks["IDTest"]
    chosen = block.draws
    assert len({tuple(indices) for indices in chosen}) == 6
    loglik = arrays["IDTest/loglik/reasoned/golden"]
    each = [np.trace(part) / 8 - (part.sum() - np.trace(part)) / 56 for part in (loglik[np.ix_(i, i)] for i in chosen)]
    club = got["categories"]["IDTest"]["reasoned"]["golden"]["club"]["response"]
    assert club["value"] == pytest.approx(np.mean(each), rel=1e-10)
    assert club["interval"]["clusters"] == len(np.unique(chosen))
    assert estimates(parse(arrays), Settings(subsamples=6), Devices()) == got
    assert estimates(parse(arrays), Settings(subsamples=6, seed=1), Devices()) != got


def test_two_records_give_values_without_intervals_and_no_calibrated_mixture():
    got = estimates(parse(score_arrays({"IDTest": 2, "german": 2})), Settings(), Devices())
    golden = got["categories"]["german"]["reasoned"]["golden"]
    assert golden["club"]["response"]["value"] is not None
    assert golden["club"]["response"]["interval"]["reason"] == "the estimate does not exist without one of the lineages"
    assert golden["mixture"]["response"]["reason"] == "the critic needs 3 records in each fold of lineages"
    assert got["calibration"]["reasoned"] == {"scale": [None, None]}


def test_a_saturated_mixture_is_no_headline():
    arrays = score_arrays({"IDTest": 8, "german": 8}, signal=60.0)
    saturated = estimates(parse(arrays), Settings(headline="mixture response"), Devices())["headline"]
    assert saturated["categories"] is None
    assert saturated["reason"] == "mixture is saturated on over 10% of IDTest/golden"
    club = estimates(parse(arrays), Settings(headline="club per_char"), Devices())["headline"]
    assert club["categories"]["german"]["unit"] == "per_char"


def test_settings_out_of_range_are_refused_together():
    with pytest.raises(UserError, match=r"level=1\.5 .*; pairs=0 .*; seed=-1 .*; headline='nonsense' "):
        Settings(level=1.5, pairs=0, seed=-1, headline="nonsense").check()
