"""Tables of cross-fitted estimators, in blocks: every estimate by loops over records of one fold; nothing else is read."""

import functools

import numpy as np
import pytest
from scipy import stats
from score_arrays import score_arrays, with_shifts, without

from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.results import contributions
from remid_jax.evaluation.score_files import read_scores, write_scores
from remid_jax.information.calibration import FEWEST_REPLIES
from remid_jax.information.estimates import NO_CRITIC, Settings
from remid_jax.information.measurement import make_plan
from remid_jax.information.score_arrays import flatten, parse
from remid_jax.parallel import Devices


def in_folds(arrays, folds):
    """The arrays with `folds` {category: [n]}, and NaN wherever two folds meet."""
    found = dict(arrays)
    for category, fold in folds.items():
        found[f"{category}/fold"] = fold = np.array(fold)
        for name, array in arrays.items():
            here, there = fold, np.array(folds["IDTest"])
            apart = {
                "loglik/": here[:, None] != here,
                "self/loglik": here[:, None] != here,
                "of_id/": here[:, None] != there,
                "in_id/": there[:, None] != here,
            }
            for block, between in apart.items():
                if name.startswith(f"{category}/{block}"):
                    found[name] = np.where(between if array.ndim == 2 else between[..., None], np.nan, array)
    return found


HALVES = [0, 1, 1, 0, 0, 1, 0, 1]


@functools.cache
def table():
    return in_folds(score_arrays({"IDTest": 8, "german": 8}), {"IDTest": HALVES, "german": HALVES})


@functools.cache
def results():
    return estimates(parse(table()), Settings(), Devices())


def club_by_loops(arrays, category, replies, records=None, rate=True):
    """Over all ordered pairs of one fold, each block by its share of all records."""
    loglik, fold = arrays[f"{category}/loglik/reasoned/{replies}"], arrays[f"{category}/fold"]
    scores = loglik / arrays[f"{category}/tokens/{replies}"] if rate else loglik
    records, total = range(len(fold)) if records is None else records, 0.0
    for f in set(fold.tolist()):
        block = [i for i in records if fold[i] == f]
        matched = np.mean([scores[i, i] for i in block])
        total += (fold == f).mean() * (matched - np.mean([scores[i, j] for i in block for j in block if i != j]))
    return total


def emi_by_loops(arrays, category, records=None):
    return club_by_loops(arrays, category, "policy", records) - club_by_loops(arrays, category, "golden", records)


def test_club_is_the_mean_over_pairs_of_one_fold():
    assert results()["n"] == 4
    for category in ("IDTest", "german"):
        section = results()["categories"][category]
        assert (section["records"], section["subsamples"], section["blocks"]) == (8, 2, 2)
        for replies in ("golden", "policy"):
            club = section["reasoned"][replies]["club"]
            assert club["response"]["value"] == pytest.approx(club_by_loops(table(), category, replies, rate=False), rel=1e-10)
            assert club["token_rate"]["value"] == pytest.approx(club_by_loops(table(), category, replies), rel=1e-10)
        marginal = np.diagonal(table()[f"{category}/loglik/plain/golden"]) - table()[f"{category}/marginal/plain/golden"]
        assert section["plain"]["golden"]["prompt_marginal"]["response"]["value"] == pytest.approx(marginal.mean(), rel=1e-10)
    emid = results()["categories"]["german"]["reasoned"]["emid"]["club"]["token_rate"]
    assert emid["value"] == pytest.approx(emi_by_loops(table(), "IDTest") - emi_by_loops(table(), "german"), rel=1e-9)
    assert results()["headline"]["categories"]["german"] == emid


def test_leave_one_out_and_the_raw_mixture_see_only_contexts_of_their_fold():
    loglik, fold = table()["german/loglik/plain/policy"], np.array(HALVES)
    raw, left_out = [], []
    for j in range(8):
        own, block = loglik[j, j], np.flatnonzero(fold == fold[j])
        raw.append(own - np.log(np.mean(np.exp(loglik[block, j]))))
        left_out.append(own - np.log(np.mean(np.exp(loglik[block[block != j], j]))))
    section = results()["categories"]["german"]["plain"]["policy"]
    assert section["mixture_raw"]["response"]["value"] == pytest.approx(np.mean(raw), rel=1e-10)
    assert section["leave_one_out"]["response"]["value"] == pytest.approx(np.mean(left_out), rel=1e-10)


def test_the_jackknife_deletes_a_lineage_from_its_block():
    emid = results()["categories"]["german"]["reasoned"]["emid"]["club"]["token_rate"]
    deleted = []
    for g in range(8):  # both categories hold the same eight lineages
        kept = [i for i in range(8) if i != g]
        deleted.append(emi_by_loops(table(), "IDTest", kept) - emi_by_loops(table(), "german", kept))
    half = stats.t.ppf(0.975, 7) * np.sqrt(7 * np.var(deleted))
    assert emid["interval"]["clusters"] == 8
    bounds = emid["interval"]["low"], emid["interval"]["high"]
    assert bounds == pytest.approx((emid["value"] - half, emid["value"] + half), rel=1e-6)


def test_an_interval_is_validated_by_the_smallest_block():
    folds = np.arange(30) % 2
    arrays = in_folds(score_arrays({"IDTest": 30}), {"IDTest": folds})
    golden = estimates(parse(arrays), Settings(), Devices())["categories"]["IDTest"]["reasoned"]["golden"]
    assert golden["club"]["response"]["interval"]["clusters"] == 30
    assert golden["club"]["response"]["interval"]["validated"] is False  # 15 a block, and 16 were validated


def test_a_critic_is_calibrated_where_each_block_has_enough_of_both_folds_and_is_null_with_its_reason_elsewhere():
    small = results()["categories"]["german"]["reasoned"]["golden"]
    assert small["mixture"]["response"]["value"] is None
    assert small["mixture"]["response"]["reason"] == small["retrieval"]["reason"] == NO_CRITIC
    n = 4 * FEWEST_REPLIES
    arrays = in_folds(score_arrays({"IDTest": n}), {"IDTest": [0] * (n // 2) + [1] * (n // 2)})
    golden = estimates(parse(arrays), Settings(), Devices())["categories"]["IDTest"]["reasoned"]["golden"]
    assert 0 < golden["mixture"]["response"]["value"] <= np.log(n / 2)
    assert golden["mixture"]["response"]["interval"]["low"] is not None


def test_blocks_of_other_sizes_count_by_their_records_at_the_size_of_the_smallest():
    folds = {"IDTest": [0] * 6 + [1] * 4, "german": [0] * 4 + [1] * 5}
    arrays = in_folds(score_arrays({"IDTest": 10, "german": 9}, shared_lineages=False), folds)
    parsed = parse(arrays)
    got = estimates(parsed, Settings(subsamples=5), Devices())
    assert got["n"] == 4
    assert got["categories"]["IDTest"]["subsamples"] == 6  # five draws of the block of six, the block of four itself
    plan = make_plan(parsed, Devices(), subsamples=5, pairs=1, bootstrap=0, seed=0)
    loglik, expected = arrays["IDTest/loglik/reasoned/golden"], 0.0
    for block, size in zip(plan.blocks["IDTest"], (6, 4), strict=True):
        parts = [loglik[np.ix_(i, i)] for i in block.draws]
        assert np.all([np.isin(i, np.arange(6) if size == 6 else np.arange(6, 10)) for i in block.draws])
        expected += size / 10 * np.mean([np.trace(part) / 4 - (part.sum() - np.trace(part)) / 12 for part in parts])
    club = got["categories"]["IDTest"]["reasoned"]["golden"]["club"]["response"]
    assert club["value"] == pytest.approx(expected, rel=1e-10)
    gained = np.diagonal(loglik - arrays["IDTest/loglik/plain/golden"])
    by_block = [np.mean([gained[i].mean() for i in block.draws]) for block in plan.blocks["IDTest"]]
    gain = got["categories"]["IDTest"]["reasoning_gain"]["response"]
    assert gain["value"] == pytest.approx(0.6 * by_block[0] + 0.4 * by_block[1], rel=1e-10)


def test_self_information_is_measured_in_the_same_blocks():
    loglik, fold, terms = table()["german/self/loglik"], np.array(HALVES), []
    for j in range(8):
        block = np.flatnonzero(fold == fold[j])
        terms += [loglik[j, j, s] - np.log(np.mean(np.exp(loglik[block, j, s]))) for s in range(2)]
    got = results()["categories"]["german"]["self"]["self_information"]["response"]
    assert got["value"] == pytest.approx(np.mean(terms), rel=1e-10)


def test_the_golden_reply_of_another_context_is_of_the_same_fold():
    loglik, tokens = table()["german/loglik/reasoned/golden"], table()["german/tokens/golden"]
    other = np.arange(8)
    for f in (0, 1):
        block = np.flatnonzero(np.array(HALVES) == f)
        other[block] = block[[2, 3, 0, 1]]
    moved = {"german/loglik/reasoned/golden": loglik[:, other], "german/tokens/golden": tokens[other]}
    moved["german/fold"] = table()["german/fold"]
    expected = club_by_loops(moved, "german", "golden") - club_by_loops(table(), "german", "golden")
    control = results()["controls"]["reasoned"]["golden_other"]["german"]["club"]["token_rate"]
    assert control["value"] == pytest.approx(expected, rel=1e-9)


def test_contributions_average_to_the_estimate():
    for category in ("IDTest", "german"):
        rows = contributions(table(), category, ["reasoned", "plain"])
        for side in ("golden", "policy"):
            club = results()["categories"][category]["reasoned"][side]["club"]["token_rate"]["value"]
            assert np.mean([row[f"{side}_club_reasoned"] for row in rows]) == pytest.approx(club, rel=1e-10)
    scores, fold = table()["german/loglik/plain/golden"] / table()["german/tokens/golden"], HALVES
    others = [j for j in range(8) if fold[j] == fold[2] and j != 2]
    expected = scores[2, 2] - np.mean([(scores[2, j] + scores[j, 2]) / 2 for j in others])
    assert contributions(table(), "german", ["plain"])[2]["golden_club_plain"] == pytest.approx(expected, rel=1e-10)


def test_one_fold_everywhere_changes_nothing():
    arrays = score_arrays({"IDTest": 6, "german": 5})
    plain = estimates(parse(arrays), Settings(), Devices())
    folded = arrays | {"IDTest/fold": np.full(6, 3), "german/fold": np.full(5, 3)}
    got = estimates(parse(folded), Settings(), Devices())
    assert [section.pop("blocks") for section in got["categories"].values()] == [1, 1]
    assert got == plain


def test_the_table_names_faults_of_folds_and_reads_nothing_between_them(tmp_path):
    arrays = with_shifts(score_arrays({"IDTest": 4, "german": 4}))
    whole = in_folds(arrays, {"IDTest": [0, 0, 1, 1], "german": [1, 0, 1, 0]})
    write_scores(tmp_path / "scores.npz", whole)
    again = flatten(read_scores(tmp_path / "scores.npz"))
    assert set(again) == set(whole)
    np.testing.assert_array_equal(again["german/fold"], whole["german/fold"])

    def fault(**changes):
        named = {name.replace("__", "/"): array for name, array in changes.items()}
        with pytest.raises(UserError) as caught:
            parse(whole | named)
        return str(caught.value)

    assert "german/fold has 1 record of fold 7: mutual information needs at least 2" in fault(
        german__fold=np.array([0, 0, 0, 7])
    )
    assert "german/fold has shape [3], expected [4]" in fault(german__fold=np.array([0, 0, 1]))
    assert "german/fold has type float64, expected int" in fault(german__fold=np.array([0.0, 0, 1, 1]))
    spoilt = whole["german/loglik/plain/golden"].copy()
    spoilt[0, 2] = np.nan
    assert "german/loglik/plain/golden has 1 value that is not finite" in fault(german__loglik__plain__golden=spoilt)
    spoilt = whole["german/of_id/golden/plain"].copy()
    spoilt[0, 3] = np.nan
    assert "german/of_id/golden/plain has 1 value that is not finite" in fault(german__of_id__golden__plain=spoilt)
    with pytest.raises(UserError, match="german/loglik/reasoned/golden has 8 values that are not finite"):
        parse(without(whole, "german/fold"))
