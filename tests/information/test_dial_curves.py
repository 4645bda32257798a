"""Curves over dials: from score tables to numbers with bands, and what of other categories they leave alone."""

import re

import numpy as np
import pytest
from score_arrays import score_arrays, with_sources, without

from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimate
from remid_jax.information.intervals import Replicates
from remid_jax.information.score_arrays import flatten, parse
from remid_jax.information.simultaneous import band

N = 9
CURVE, POSITIONS = "mixture(german)", {"mixture(german, 0.5)": 0.5, "mixture(german, 1)": 1.0}


@pytest.fixture(scope="module")
def arrays():
    """IDTest, a category with another shift, and two settings of a curve, the last one first."""
    arrays = with_sources(score_arrays(dict.fromkeys(("IDTest", "Gaming", *reversed(POSITIONS)), N)))
    designs = {"IDTest": ("", ""), "Gaming": ("character", "IDTest")} | dict.fromkeys(POSITIONS, (CURVE, "IDTest"))
    for name, (shift, reference) in designs.items():
        arrays |= {f"{name}/shift": np.array(shift), f"{name}/reference": np.array(reference)}
    for name, position in POSITIONS.items():
        arrays |= {f"{name}/dial": np.array(CURVE), f"{name}/position": np.array(position)}
    return arrays


@pytest.fixture(scope="module")
def estimates(arrays):
    return estimate(arrays, bootstrap=0)


def club_rates(arrays, category, replies):
    """`club token_rate` of all records and without each, by loops."""
    rates = arrays[f"{category}/loglik/reasoned/{replies}"] / arrays[f"{category}/tokens/{replies}"]
    kept = [np.arange(N), *(np.delete(np.arange(N), k) for k in range(N))]
    return np.array([
        np.mean([rates[i, i] for i in here]) - np.mean([rates[i, j] for i in here for j in here if i != j]) for here in kept
    ])  # fmt: skip


def test_a_curve_is_the_loss_at_its_settings_with_the_band_of_joint_replicates(arrays, estimates):
    emi = {name: club_rates(arrays, name, "policy") - club_rates(arrays, name, "golden") for name in ("IDTest", *POSITIONS)}
    lost = [Replicates(emi["IDTest"] - emi[name], np.ones(N, bool), N) for name in POSITIONS]
    expected = band(lost, 0.95)
    curve = estimates["dials"][CURVE]
    assert (curve["reference"], curve["categories"], curve["positions"]) == ("IDTest", list(POSITIONS), [0.5, 1.0])
    points = curve["reasoned"]["emid"]["points"]
    assert [point["value"] for point in points] == pytest.approx([quantity.values[0] for quantity in lost], abs=1e-12)
    assert [point["band"]["low"] for point in points] == pytest.approx(expected.low, abs=1e-9)
    assert [point["band"]["high"] for point in points] == pytest.approx(expected.high, abs=1e-9)
    for point, name in zip(points, POSITIONS, strict=True):
        headline = estimates["headline"]["categories"][name]
        assert (point["value"], point["interval"]) == (headline["value"], headline["interval"])
        assert point["band"]["low"] < point["interval"]["low"] < point["interval"]["high"] < point["band"]["high"]


def test_golden_replies_novel_parts_and_controls_have_curves_too(estimates):
    section = estimates["dials"][CURVE]["reasoned"]
    for name, point in zip(POSITIONS, section["novel_emid"]["points"], strict=True):
        of_category = estimates["categories"][name]["reasoned"]["by_source"]["emid"]["novel"]["club"]["token_rate"]
        assert point["value"] == of_category["value"]
    for name, point in zip(POSITIONS, section["estimator_shift"]["points"], strict=True):
        assert point["value"] == estimates["categories"][name]["reasoned"]["estimator_shift"]["club"]["token_rate"]["value"]
    controls = estimates["controls"]["reasoned"]
    assert section["controls"].keys() == controls.keys()
    for control, of_categories in controls.items():
        emi = {name: of["club"]["token_rate"]["value"] for name, of in of_categories.items()}
        values = [point["value"] for point in section["controls"][control]["points"]]
        assert values == pytest.approx([emi["IDTest"] - emi[name] for name in POSITIONS], abs=1e-12)
    assert all(point["band"] == {"low": 0, "high": 0} for point in section["controls"]["golden"]["points"])


@pytest.mark.parametrize("first", range(7))
def test_other_categories_have_the_numbers_that_they_have_without_dials(arrays, first):
    """Whatever lineages the dials' records are of."""
    for name in POSITIONS:
        lineages = arrays["IDTest/lineage"]
        arrays = arrays | {f"{name}/lineage": np.repeat(lineages[first : first + 3], N // 3)}
    estimates = estimate(arrays, bootstrap=0)
    alone = estimate({name: of for name, of in arrays.items() if name.partition("/")[0] not in POSITIONS}, bootstrap=0)
    assert alone["calibration"] == estimates["calibration"]
    for name in ("IDTest", "Gaming"):
        for scorer in ("reasoned", "plain"):
            assert alone["categories"][name][scorer] == estimates["categories"][name][scorer]
    assert "dials" not in alone


def test_why_there_are_no_golden_replies_is_said_everywhere(arrays):
    last = "mixture(german, 1)"
    golden = [f"{last}/{stem}" for stem in ("loglik", "marginal", "tokens", "chars")]
    bare = {name: of for name, of in arrays.items() if not (name.startswith(tuple(golden)) and "/golden" in name)}
    bare = {name: of for name, of in bare.items() if not (name.startswith(f"{last}/") and "golden" in name)}
    found = estimate(bare | {f"{last}/no_golden": np.array("nobody asked")}, bootstrap=0)
    section, gain = found["categories"][last]["reasoned"], found["categories"][last]["reasoning_gain"]
    numbers = [section["emi"]["club"]["token_rate"], section["identified"]["golden"]["whole"], gain["response"],
               section["by_source"]["emi"]["novel"]["club"]["token_rate"],
               found["controls"]["reasoned"]["golden"][last]["club"]["token_rate"]]  # fmt: skip
    assert {number["reason"] for number in numbers} == {"nobody asked"}
    known, unknown = found["dials"][CURVE]["reasoned"]["emid"]["points"]
    assert known["band"] is not None
    assert (unknown["value"], unknown["reason"], unknown["band"]) == (None, "nobody asked", None)


def test_tables_keep_their_dials(arrays):
    table = parse(arrays)
    assert {name: tuple(point) for name, point in table.dials.items()} == {
        name: (CURVE, position) for name, position in POSITIONS.items()
    }
    again = parse(flatten(table))
    assert again.dials == table.dials
    single = without(arrays, "/position")
    assert {point.position for point in parse(single).dials.values()} == {None}
    assert estimate(single, bootstrap=0)["dials"] == {}


def test_a_position_without_a_dial_is_refused(arrays):
    with pytest.raises(UserError, match=re.escape("mixture(german, 1)/position is of no dial: dial is missing")):
        parse(without(arrays, "1)/dial"))
