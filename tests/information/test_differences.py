"""Differences between runs against sums and a jackknife written out; records in common by sets."""

import itertools

import jax
import numpy as np
import pytest
from evaluated import on_records, with_other_policy
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from score_arrays import score_arrays, with_sources, without

from remid_jax.errors import UserError
from remid_jax.information import estimates as information
from remid_jax.information.common_records import changed_lineages, golden_gap, in_common, outline
from remid_jax.information.copying import has_sources
from remid_jax.information.differences import OVERALL, Headline, Layout, Measuring, Place, differences, joined, of_run
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import Replicates, number, numbers
from remid_jax.information.measurement import make_plan
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import NOVEL, SOURCES
from remid_jax.parallel import Devices

LAYOUT = Layout(
    {"IDTest": None, "german": "IDTest", "spanish": "IDTest", "Gaming": "IDTest"},
    {"user": ["german", "spanish"], "character": ["Gaming"]},
)
CHANGED = dict.fromkeys(("IDTest", "german", "spanish", "Gaming"), 4)
DEVICES = Devices()  # one, so that everything is compiled once
COUNTS = {"IDTest": 5, "german": 5, "spanish": 5, "Gaming": 5}
CLUB = (("club", "token_rate"), ("club", "response"), ("club", "per_token"), ("club", "per_char"))


@pytest.fixture(scope="module")
def runs():
    """Two runs' arrays: 5 records a category in 4 lineages, which the categories share."""
    arrays = without(score_arrays(COUNTS, seed=3), "/self/", "golden_half", "constant")
    for name in COUNTS:
        arrays[f"{name}/lineage"] = np.array(["a", "a", "b", "c", "d"])
    return arrays, with_other_policy(arrays)


def measured(tables, layout=LAYOUT, headline=None, at_once=None):
    """The quantities of runs as `compare` computes them; `at_once` runs together."""
    runs = list(tables.values())
    with jax.enable_x64(True):
        plan = information.plan_of(runs[0], Settings(bootstrap=0), DEVICES)
        measuring = Measuring(runs[0], layout, plan, has_sources=all(map(has_sources, runs)), headline=headline)
        step = at_once or len(runs)
        return joined([measuring.quantities(runs[first : first + step]) for first in range(0, len(runs), step)])


def minus_first(found, changed=None, layout=LAYOUT):
    """The difference of the second run to the first."""
    counts = {name: np.array([count]) for name, count in (changed or CHANGED).items()}
    of_places = differences(found, counts, layout).items()
    return {place: of.by._replace(values=of.by.values[0], fewest=int(of.fewest[0])) for place, of in of_places}


def on_common_records(tables):
    """The tables on the records that all of them hold, and what was left out."""
    common, baseline = in_common({run: outline(table) for run, table in tables.items()}), next(iter(tables.values()))
    return common, {run: common.table(table, baseline) for run, table in tables.items()}


@pytest.fixture(scope="module")
def found(runs):
    return measured({name: parse(arrays) for name, arrays in zip(("base", "other"), runs, strict=True)})


def information_by_hand(arrays, category, side, scorer, formula, unit, kept):
    """Ihat over the records `kept`, sum by sum."""
    loglik = arrays[f"{category}/loglik/{scorer}/{side}"]
    tokens, chars = arrays[f"{category}/tokens/{side}"], arrays[f"{category}/chars/{side}"]
    if unit == "token_rate":
        loglik = loglik / tokens
    own = sum(loglik[i, i] for i in kept) / len(kept)
    if formula == "prompt_marginal":
        other = sum(arrays[f"{category}/marginal/{scorer}/{side}"][i] for i in kept) / len(kept)
    else:
        pairs = [(i, j) for i, j in itertools.product(kept, kept) if i != j]
        other = sum(loglik[i, j] for i, j in pairs) / len(pairs)
    length = {"per_token": tokens, "per_char": chars}.get(unit, np.ones(len(tokens)))
    return (own - other) / (sum(length[i] for i in kept) / len(kept))


def by_hand(runs, place, dropped=None):
    """The other run's quantity minus the baseline's, without the lineage `dropped`."""

    def emi(arrays, category):
        kept = [i for i, lineage in enumerate(arrays[f"{category}/lineage"]) if lineage != dropped]
        of = (place.scorer, place.estimator, place.unit, kept)
        return information_by_hand(arrays, category, "policy", *of) - information_by_hand(arrays, category, "golden", *of)

    def quantity(arrays, category):
        return emi(arrays, "IDTest") - emi(arrays, category) if place.quantity == "emid" else emi(arrays, category)

    members = {"shift": LAYOUT.shifts.get(place.name), "overall": ["german", "spanish", "Gaming"]}.get(place.kind, [place.name])
    base, other = (sum(quantity(arrays, name) for name in members) / len(members) for arrays in runs)
    return other - base


@pytest.mark.parametrize("quantity", ["emi", "emid"])
@pytest.mark.parametrize("where", [("category", "german"), ("shift", "user"), ("shift", "character"), ("overall", OVERALL)])
@pytest.mark.parametrize("key", [*CLUB, ("prompt_marginal", "response")])
def test_a_difference_and_its_jackknife_are_those_written_out(runs, found, where, quantity, key):
    place = Place(*where, quantity, "plain", *key)
    difference = minus_first(found)[place]
    value = by_hand(runs, place)
    deleted = np.array([by_hand(runs, place, lineage) for lineage in "abcd"])
    half = stats.t.ppf(0.95, 3) * np.sqrt(3 / 4 * np.sum((deleted - deleted.mean()) ** 2))
    seen = number(difference, unit=place.unit, estimator=place.estimator, n=5, level=0.9)
    assert seen["value"] == pytest.approx(value, abs=1e-12)
    assert seen["interval"]["low"] == pytest.approx(value - half, abs=1e-11)
    assert seen["interval"]["high"] == pytest.approx(value + half, abs=1e-11)
    assert (seen["interval"]["clusters"], seen["interval"]["validated"]) == (4, False)


@pytest.mark.parametrize("quantity", ["emi", "emid"])
@pytest.mark.parametrize("key", CLUB)
def test_a_difference_of_the_novel_part_is_that_of_own_tokens_and_short_quotes(runs, quantity, key):
    parted = [with_sources(arrays, seed) for arrays, seed in zip(runs, (2, 3), strict=True)]
    for arrays in parted:  # golden replies and their scores are those of the baseline
        arrays |= {name: array for name, array in parted[0].items() if name.endswith("/golden")}
    found = measured({name: parse(arrays) for name, arrays in zip(("base", "other"), parted, strict=True)})
    difference = minus_first(found)
    novel = [
        {
            name: arrays[name.replace("/loglik/", "/loglik_by_source/")][..., [SOURCES.index(part) for part in NOVEL]].sum(-1)
            if "/loglik/" in name
            else array
            for name, array in arrays.items()
        }
        for arrays in parted
    ]
    for where in (("category", "german"), ("shift", "user"), ("overall", OVERALL)):
        expected = by_hand(novel, Place(*where, quantity, "plain", *key))
        assert difference[Place(*where, f"novel_{quantity}", "plain", *key)].values[0] == pytest.approx(expected, abs=1e-12)


def test_without_sources_in_every_run_there_is_no_novel_part(runs):
    found = measured({"base": parse(with_sources(runs[0])), "other": parse(runs[1])})
    assert {place.quantity for place in found} == {"emi", "emid"}


def test_the_interval_of_a_difference_is_not_that_of_two_independent_runs(found):
    """Two policies that share their contexts: what both lose there cancels."""
    place = Place("overall", OVERALL, "emid", "reasoned", "club", "response")
    base = of_run(found, 0)
    shifted = {
        at: quantity._replace(values=np.stack([quantity.values, quantity.values + 3.0])) for at, quantity in base.items()
    }
    difference = number(minus_first(shifted)[place], unit="response", estimator="club", n=5, level=0.95)
    own = number(base[place], unit="response", estimator="club", n=5, level=0.95)
    assert difference["interval"]["high"] - difference["interval"]["low"] < 1e-12
    assert own["interval"]["high"] - own["interval"]["low"] > 1


def test_equal_runs_differ_by_exactly_nothing_and_swapped_runs_in_sign(runs, found):
    again = measured({"base": parse(runs[0]), "same": parse(runs[0])})
    same = minus_first(again)
    for place, quantity in same.items():  # no critic of `mixture` can be fitted on 5 records
        assert np.all(np.isnan(quantity.values) if place.estimator == "mixture" else quantity.values == 0)
    swapped = measured({"other": parse(runs[1]), "base": parse(runs[0])})
    forth = minus_first(found)
    back = minus_first(swapped)
    for place, quantity in forth.items():
        np.testing.assert_array_equal(quantity.values, -back[place].values)


def test_without_a_reference_there_is_emi_alone(runs):
    table = parse({name: array for name, array in runs[0].items() if not name.startswith("IDTest")})
    alone = measured({"base": table, "same": table}, Layout(dict.fromkeys(table.categories), LAYOUT.shifts))
    assert {place.quantity for place in alone} == {"emi"}
    assert {place.name for place in alone} == {"german", "spanish", "Gaming", "user", "character"}


@settings(max_examples=5)
@given(st.data())
def test_the_order_of_records_does_not_matter(runs, found, data):
    order = {name: np.array(data.draw(st.permutations(range(count)))) for name, count in COUNTS.items()}
    _, tables = on_common_records({"base": parse(runs[0]), "other": parse(on_records(runs[1], order))})
    again = measured(tables)
    forth = minus_first(found)
    back = minus_first(again)
    for place, quantity in forth.items():
        if place.estimator != "mixture":
            np.testing.assert_allclose(back[place].values, quantity.values, rtol=0, atol=1e-11)


def test_records_are_paired_by_id_and_the_others_are_named(runs):
    chosen = {
        "IDTest": np.array([4, 0, 1, 2, 3]),
        "german": np.array([3, 1, 0]),
        "spanish": np.array([2]),
        "Gaming": np.arange(5),
    }
    two = on_records(runs[1], chosen | {"spanish": np.array([2, 3])})
    two["spanish/record"] = np.array(["spanish-2", "elsewhere"])
    base = parse(runs[0])
    common, tables = on_common_records({"base": base, "other": parse(two)})
    assert common.left_out == {"spanish": "1 record in common, which needs 3"}
    assert common.missing == {
        "german": {"other": ["german-2", "german-4"]},
        "spanish": {"base": ["elsewhere"], "other": ["spanish-0", "spanish-1", "spanish-3", "spanish-4"]},
    }
    for run, source in (("base", runs[0]), ("other", runs[1])):
        german = tables[run].categories["german"]
        assert german.record.tolist() == ["german-0", "german-1", "german-3"]
        square = np.ix_([0, 1, 3], [0, 1, 3])
        for side in ("golden", "policy"):
            np.testing.assert_array_equal(german.replies[side].loglik["plain"], source[f"german/loglik/plain/{side}"][square])
            np.testing.assert_array_equal(german.replies[side].tokens, source[f"german/tokens/{side}"][[0, 1, 3]])
        assert tables[run].categories["IDTest"].record.tolist() == [f"IDTest-{i}" for i in range(5)]
        assert list(tables[run].categories) == ["IDTest", "german", "Gaming"]


def test_dials_stay_dials_so_that_scales_are_those_of_the_evaluation(runs):
    dial = {"german/dial": np.array("mixture(spanish)"), "german/position": np.array(0.5)}
    runs = [parse(of_run | dial) for of_run in runs]
    _, tables = on_common_records({"base": runs[0], "other": runs[1]})

    def scales(table):
        plan = make_plan(table, DEVICES, subsamples=1, pairs=100, bootstrap=0, seed=0)
        return [scale.values for scale in plan.scales["plain"]]

    np.testing.assert_array_equal(scales(tables["base"]), scales(runs[0]))
    assert tables["other"].dials == runs[0].dials


def test_a_category_that_one_run_lacks_is_left_out(runs):
    fewer = {name: array for name, array in runs[1].items() if not name.startswith("Gaming")}
    common, tables = on_common_records({"base": parse(runs[0]), "other": parse(fewer), "third": parse(runs[0])})
    assert common.left_out == {"Gaming": "not evaluated in other"}
    assert [list(table.categories) for table in tables.values()] == [["IDTest", "german", "spanish"]] * 3


def test_folds_are_the_baselines_and_of_a_category_that_lost_records_each_needs_three(runs):
    folds = {f"{name}/fold": np.array([0, 0, 1, 1, 1]) for name in COUNTS}
    renamed = {name: 1 - fold for name, fold in folds.items()}
    _, tables = on_common_records({"base": parse(runs[0] | folds), "other": parse(runs[1] | renamed)})
    assert tables["other"].categories["german"].folds.tolist() == [0, 0, 1, 1, 1]
    fewer = on_records(runs[1] | renamed, {name: np.arange(5) for name in COUNTS} | {"german": np.array([0, 1, 3, 4])})
    fewer["german/record"] = np.array(["german-0", "else", "german-3", "german-4"])
    common, _ = on_common_records({"base": parse(runs[0] | folds), "other": parse(fewer)})
    assert common.left_out == {"german": "1 record of a fold in common, which needs 3"}
    whole, _ = on_common_records({"base": parse(runs[0] | folds), "other": parse(runs[1] | folds)})
    assert whole.left_out == {}  # two records of fold 0, as in the runs themselves
    other = {f"{name}/fold": np.array([0, 1, 1, 0, 1]) for name in COUNTS}
    with pytest.raises(UserError) as refused:
        on_common_records({"base": parse(runs[0] | folds), "other": parse(runs[1] | other)})
    assert str(refused.value) == ("other: its records are scored in other folds than in base: evaluate both with one estimator")


def test_the_golden_gap_is_the_largest_in_nats_a_token_within_folds(runs):
    folds = {f"{name}/fold": np.array([0, 0, 1, 1, 1]) for name in COUNTS}
    moved = {name: array.copy() for name, array in (runs[1] | folds).items()}
    moved["german/loglik/plain/golden"][0, 3] += 100  # between folds: nobody reads it
    moved["german/loglik/plain/golden"][1, 0] += 0.5
    moved["Gaming/loglik/reasoned/golden"][2, 4] -= 0.25
    gap = golden_gap(parse(moved), parse(runs[0] | folds))
    tokens = {name: runs[0][f"{name}/tokens/golden"] for name in ("german", "Gaming")}
    expected = max((0.5 / tokens["german"][0], "german", "german-0"), (0.25 / tokens["Gaming"][4], "Gaming", "Gaming-4"))
    assert (gap.nats_per_token, gap.category, gap.record) == (pytest.approx(expected[0]), *expected[1:])
    assert golden_gap(parse(runs[1]), parse(runs[0])) == (0.0, "", "")
    longer = runs[1] | {"Gaming/tokens/golden": runs[1]["Gaming/tokens/golden"] + np.array([0, 0, 0, 1, 0])}
    assert golden_gap(parse(longer), parse(runs[0])) == (np.inf, "Gaming", "Gaming-3")


@pytest.mark.parametrize(
    ("where", "quantity", "fewest"),
    [
        (("category", "german"), "emi", 3),
        (("category", "german"), "emid", 1),
        (("category", "spanish"), "emi", 2),
        (("shift", "user"), "emi", 2),
        (("shift", "character"), "emi", 4),
        (("shift", "character"), "emid", 1),
        (("overall", OVERALL), "emi", 2),
        (("overall", OVERALL), "emid", 1),
    ],
)
def test_an_interval_counts_the_lineages_whose_replies_changed_where_they_are_fewest(found, where, quantity, fewest):
    changed = {"IDTest": 1, "german": 3, "spanish": 2, "Gaming": 9}  # there are 4 lineages in all
    difference = minus_first(found, changed)[Place(*where, quantity, "plain", *CLUB[0])]
    assert difference.fewest == fewest


def test_a_reply_has_changed_if_its_length_or_its_scores_did(runs):
    arrays = {name: array.copy() for name, array in runs[0].items()}
    tokens = arrays["german/tokens/policy"]
    arrays["german/loglik/plain/policy"][0, 1] += 2e-4 * tokens[1]  # the reply of record 1, of lineage a
    arrays["german/loglik/plain/policy"][0, 4] += 0.5e-4 * tokens[4]  # too little
    arrays["german/chars/policy"][3] += 1  # of lineage c
    arrays["spanish/loglik/reasoned/policy"][:, 0] += 1.0  # records 0 and 1 are of one lineage
    arrays["spanish/loglik/reasoned/policy"][:, 1] += 1.0
    counts = changed_lineages(parse(arrays), parse(runs[0]), 1e-4)
    assert counts == {"IDTest": 0, "german": 2, "spanish": 1, "Gaming": 0}


def test_of_folds_the_one_counts_in_which_fewest_lineages_changed_but_some():
    arrays = score_arrays({"IDTest": 8, "german": 8})
    for name in ("IDTest", "german"):
        arrays[f"{name}/fold"] = np.arange(8) % 2
        arrays[f"{name}/lineage"] = np.array(list("abcdefgh"))
    other = dict(arrays) | {f"{name}/chars/policy": arrays[f"{name}/chars/policy"].copy() for name in ("IDTest", "german")}
    other["IDTest/chars/policy"][[0, 2, 4, 1]] += 1  # three of one fold, one of the other
    other["german/chars/policy"][[0, 2]] += 1  # two of one fold; the other is as it was
    assert changed_lineages(parse(other), parse(arrays), 1e-4) == {"IDTest": 1, "german": 2}


def test_a_difference_is_not_called_cautious_for_what_both_runs_have_in_folds():
    place = Place("category", "german", "emi", "plain", *CLUB[0])
    values = np.random.default_rng(0).normal(size=(2, 1 + 16))
    runs = Replicates(values, np.ones(16, bool), 8, in_folds=16)
    [changed] = differences({place: runs}, {"german": np.array([8])}, Layout({"german": None}, {})).values()
    alone = number(runs._replace(values=values[0]), unit="token_rate", estimator="club", n=8, level=0.95)
    [told] = numbers(changed.by, changed.fewest.tolist(), unit="token_rate", estimator="club", n=8, level=0.95)
    assert alone["interval"]["cautious"]
    assert "cautious" not in told["interval"]
    assert not told["interval"]["validated"]


def test_categories_may_have_references_of_their_own(runs):
    """Neither the names of shifts nor a common reference are taken for granted."""
    layout = Layout(
        {"IDTest": None, "german": "IDTest", "spanish": None, "Gaming": "spanish"},
        {"new users": ["german"], "new genre": ["Gaming"]},
    )
    found = of_run(measured({"base": parse(runs[0])}, layout), 0)

    def value(kind, name, quantity):
        return found[Place(kind, name, quantity, "reasoned", "club", "response")].values[0]

    emi = {name: value("category", name, "emi") for name in COUNTS}
    assert value("category", "german", "emid") == pytest.approx(emi["IDTest"] - emi["german"], abs=1e-12)
    assert value("shift", "new genre", "emid") == pytest.approx(emi["spanish"] - emi["Gaming"], abs=1e-12)
    assert value("overall", OVERALL, "emi") == pytest.approx((emi["german"] + emi["Gaming"]) / 2, abs=1e-12)
    assert {place.name for place in found if place.quantity == "emid"} == {
        "german",
        "Gaming",
        "new users",
        "new genre",
        OVERALL,
    }


@pytest.mark.parametrize(
    "headline",
    [("plain", "club", "token_rate"), ("plain", "prompt_marginal", "per_char"), ("reasoned", "leave_one_out", "response")],
)
def test_the_headline_alone_of_many_runs_at_once_is_what_each_run_has_by_itself(runs, headline):
    """However many runs are taken together; values to the last digit where the formula is linear, and equal runs exactly so."""
    parted = [with_sources(runs[0], 2), *(with_sources(with_other_policy(runs[0], seed), seed) for seed in range(3, 8))]
    parted = {f"{number}": parse(arrays) for number, arrays in enumerate([*parted, parted[0]])}
    every = measured(parted)
    for at_once in (1, 4, 7):
        alone = measured(parted, headline=Headline(*headline), at_once=at_once)
        linear = headline[1] != "leave_one_out"
        assert set(alone) == {at for at in every if at[3:] == headline and (linear or not at.quantity.startswith("novel"))}
        for place, quantity in alone.items():
            np.testing.assert_allclose(quantity.values, every[place].values, rtol=0, atol=0 if linear else 1e-12)
            np.testing.assert_array_equal(quantity.values[0], quantity.values[-1])
