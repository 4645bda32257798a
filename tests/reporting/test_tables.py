"""The tables hold the numbers of the dictionary, in the protocol's order, and say why one is missing."""

import fake_run
import numpy as np
import pytest

from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.information.estimates import Settings
from remid_jax.reporting import cells, shift_tables, tables
from remid_jax.reporting.answers import answers

SHIFT_ROWS = {f"{shift} shift, mean": shift for shift in ("user", "character", "dialogue")}


@pytest.fixture(scope="module")
def results():
    return fake_run.results()


def values(row):
    return [cell.value for cell in row.cells]


def by_label(table):
    return {row.label: row for row in table.rows}


def numbers(node):
    """Every `number` of the estimates."""
    if isinstance(node, dict):
        if "interval" in node:
            yield node
        for child in node.values():
            yield from numbers(child)


def test_rows_are_idtest_then_each_shift_with_its_mean_before_its_categories(results):
    labels = [row.label for row in tables.headline(results).rows]
    assert [label for label in labels if label in RPGBENCH.categories] == list(RPGBENCH.categories)
    assert labels.index("user shift, mean") == labels.index("german") - 1
    assert labels.index("character shift, mean") == labels.index("Literature") - 1
    assert labels.index("dialogue shift, mean") == labels.index("TurnLevelComposition") - 1


def test_headline_equals_the_dictionary(results):
    estimates, rows = results["estimates"], by_label(tables.headline(results))
    for name, category in estimates["categories"].items():
        section, copied = category["reasoned"], category["copied"]["policy"]
        said_back = [section["identified"]["policy"]["novel"], copied["echo"], copied["long_quote"]]
        said_back = [number["value"] for number in said_back]
        if name == "IDTest":
            assert values(rows[name]) == [None, None, *said_back]
            assert rows[name].cells[0].text == "reference"
        else:
            emid = estimates["headline"]["categories"][name]["value"]
            novel = section["by_source"]["emid"]["novel"]["club"]["token_rate"]["value"]
            assert values(rows[name]) == [emid, novel, *said_back]
        assert all(cell.interval for cell in rows[name].cells if cell.value)
    for label, shift in SHIFT_ROWS.items():
        section = estimates["shifts"][shift]["reasoned"]
        novel = section["by_source"]["emid"]["novel"]["club"]["token_rate"]["value"]
        expected = [section["emid"]["club"]["token_rate"]["value"], novel, section["identified"]["policy"]["novel"]["value"]]
        assert values(rows[label])[:3] == expected


def test_what_else_moves_the_headline_equals_the_dictionary(results):
    estimates, rows = results["estimates"], by_label(tables.conditions(results))
    for name, category in estimates["categories"].items():
        emi = category["reasoned"]["emi"]["club"]["token_rate"]["value"]
        diagnostics = results["categories"][name]
        shares = [diagnostics["replies"]["in_language"], diagnostics["replies"]["truncated"]]
        drop = None if name == "IDTest" else category["reasoned"]["estimator_shift"]["club"]["token_rate"]["value"]
        assert values(rows[name]) == [emi, drop, *shares]
    for label, shift in SHIFT_ROWS.items():
        section = estimates["shifts"][shift]["reasoned"]
        expected = [section[term]["club"]["token_rate"]["value"] for term in ("emi", "estimator_shift")]
        assert values(rows[label])[:2] == expected


def test_without_sources_the_headline_is_of_whole_replies():
    results = fake_run.results()
    for category in results["estimates"]["categories"].values():
        del category["copied"]
    table = tables.headline(results)
    assert [column.name for column in table.columns] == ["R-EMID", "identified"]
    traced = results["estimates"]["categories"]["german"]["reasoned"]["identified"]["policy"]["whole"]["value"]
    assert values(by_label(table)["german"])[1] == traced


@pytest.mark.parametrize("scorer", ["reasoned", "plain"])
@pytest.mark.parametrize("term", ["emid", "emi", "estimator_shift"])
def test_all_estimators_equal_the_dictionary(results, scorer, term):
    table = tables.estimators(results, scorer, term)
    rows = by_label(table)
    assert set(rows) == {*SHIFT_ROWS, *RPGBENCH.categories} - ({"IDTest"} if term != "emi" else set())
    for label, row in rows.items():
        shift = SHIFT_ROWS.get(label)
        section = results["estimates"]["shifts"][shift] if shift else results["estimates"]["categories"][label]
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.group != "relative":
                assert cell.value == section[scorer][term][column.name][column.group]["value"]
            elif shift is None:
                assert cell.value == section[scorer]["relative"][column.name]["value"]


def test_terms_calibration_and_controls_equal_the_dictionary(results):
    estimates = results["estimates"]
    terms, calibration = by_label(tables.terms(results)), by_label(tables.calibration(results, "plain"))
    controls = by_label(tables.controls(results))
    for name, category in estimates["categories"].items():
        sides = [category[s][side]["club"]["token_rate"] for s in ("reasoned", "plain") for side in ("golden", "policy", "emi")]
        assert values(terms[name]) == [number["value"] for number in (*sides, category["reasoning_gain"]["per_token"])]
        expected = []
        for side in (category["plain"]["golden"], category["plain"]["policy"]):
            expected += [side["mixture"]["response"], side["mixture_raw"]["response"], side["saturated"], side["retrieval"]]
        assert values(calibration[name]) == [number["value"] for number in expected]
        of_controls = [by_category[name] for by_category in estimates["controls"]["reasoned"].values()]
        expected = [
            category["reasoned"]["emi"]["club"]["token_rate"],
            *(control["club"]["token_rate"] for control in of_controls),
        ]
        expected += [category["reasoned"]["policy"]["retrieval"], *(control["retrieval"] for control in of_controls)]
        assert values(controls[name]) == [number["value"] for number in expected]
    assert by_label(tables.controls(results))["IDTest"].cells[1].text == "0"  # golden replies: exactly 0, no spread


def test_ranges_of_controls_are_those_of_the_categories(results):
    rows = by_label(tables.control_ranges(results))
    constant = [
        number["club"]["token_rate"]["value"] for number in results["estimates"]["controls"]["reasoned"]["constant"].values()
    ]
    low, mean, high, novel, _ = values(rows["one constant reply"])
    assert (low, high) == (min(constant), max(constant))
    of_novel = [
        number["novel"]["club"]["token_rate"]["value"]
        for number in results["estimates"]["controls"]["reasoned"]["constant"].values()
    ]
    assert novel == pytest.approx(sum(of_novel) / 12, abs=1e-15)
    assert mean == pytest.approx(sum(constant) / 12, abs=1e-15)
    assert values(rows["golden replies"])[:3] == [0, 0, 0]


def test_self_information_equals_the_dictionary_or_tells_why_not(results):
    table = tables.self_information(results)
    rows = by_label(table)
    german = results["estimates"]["categories"]["german"]["self"]
    assert values(rows["german"]) == [
        german["self_information"]["response"]["value"], german["self_information"]["per_token"]["value"],
        german["leave_one_out"]["value"], *(german["self_emi_mixed_scorers"][s]["value"] for s in ("reasoned", "plain")), 4, 0,
    ]  # fmt: skip
    assert {cell.text for cell in rows["Gaming"].cells} == {cells.DASH}
    assert {cell.reason for cell in rows["Gaming"].cells} == {"no samples scored under the policy's own kernel"}
    assert "50%" in rows["TurnLevelComposition"].cells[0].reason
    assert len(table.reasons) == 2


def test_diagnostics_equal_the_dictionary(results):
    row = by_label(tables.diagnostics(results))["spanish"]
    found = results["categories"]["spanish"]
    lengths = results["estimates"]["categories"]["spanish"]["lengths"]
    assert values(row) == [
        8, 1, found["replies"]["truncated"], 0, 0.125, 1.0, None, 0.22, 0.45,
        lengths["policy"]["tokens"]["value"], lengths["golden"]["tokens"]["value"], found["reasoning_fallbacks"],
    ]  # fmt: skip
    assert row.cells[6].text == "English 7, Spanish 1"


def test_every_number_is_written_as_it_is(results):
    """Text, interval and mark of each number of the estimates, against plain rounding."""
    digits = {"response": 2, "tokens": 1, "chars": 1}
    seen = set()
    for number in numbers(results["estimates"]):
        cell, unit = cells.cell(number), number["unit"]
        seen.add(unit)
        if number["value"] is None:
            assert (cell.text, cell.value, cell.reason) == (cells.DASH, None, number["reason"])
            continue
        assert cell.value == number["value"]
        if unit in ("share", "relative", "points", "misplaced"):
            assert float(cell.text.rstrip("%")) / 100 == pytest.approx(number["value"], abs=0.005 + 1e-12)
            if cell.interval and unit == "share":
                ends = [float(end.rstrip("%")) / 100 for end in cell.interval.strip("()").split(", ")]
                within = np.clip([number["interval"]["low"], number["interval"]["high"]], 0, 1)
                assert ends == pytest.approx(within, abs=0.005 + 1e-12)
        else:
            assert float(cell.text) == pytest.approx(number["value"], abs=0.5 * 10 ** -digits.get(unit, 4) + 1e-12)
            bounds = number["interval"]
            if cell.interval:
                low, high = map(float, cell.interval.strip("()").split(", "))
                assert (low, high) == pytest.approx(
                    (bounds["low"], bounds["high"]), abs=0.5 * 10 ** -digits.get(unit, 4) + 1e-12
                )
                assert cell.validated == bounds["validated"]
                if unit not in ("tokens", "chars"):
                    assert cell.excludes_zero == (bounds["low"] > 0 or bounds["high"] < 0)
    assert seen >= {
        "token_rate",
        "response",
        "per_token",
        "per_char",
        "relative",
        "share",
        "points",
        "misplaced",
        "tokens",
        "chars",
    }


def test_an_interval_that_does_not_exist_is_said_not_drawn():
    number = {
        "value": 0.5,
        "unit": "response",
        "interval": {"low": None, "high": None, "validated": False, "reason": "two lineages"},
    }
    assert cells.cell(number) == cells.Cell("+0.50", 0.5, note="no interval: two lineages")


def test_without_idtest_there_is_no_emid_and_the_table_says_so():
    results = fake_run.results(names=("german", "korean"), with_self=False)
    table = tables.headline(results)
    assert {row.cells[0].text for row in table.rows} == {cells.DASH}
    assert table.reasons == ["the table holds no shift: it needs a category with a reference"]
    assert tables.conditions(results).reasons == ["the category is compared with none"]
    assert not tables.has_self_information(results)


def test_controls_fall_back_to_club_where_they_lack_the_headlines_estimator():
    results = fake_run.results(
        names=("IDTest", "german"), scorers=("plain",), settings=Settings(headline="leave_one_out response")
    )
    table = tables.controls(results)
    assert "club token_rate" in table.notes[0]
    expected = results["estimates"]["categories"]["german"]["plain"]["emi"]["club"]["token_rate"]["value"]
    assert by_label(table)["german"].cells[0].value == expected
    assert tables.headline(results).title.startswith("EMID, leave_one_out response (nats per reply)")


def test_tables_of_self_information_bounds_and_risk_say_their_horizon_and_their_folds():
    found = fake_run.results()
    assert found["estimates"]["horizon"] is None
    for of_ball in found["estimates"]["bounds"]["risk"]["reasoned"]["balls"].values():
        of_ball["attack"] = [None] * len(of_ball["attack"])
    whole = [tables.self_information(found), shift_tables.bounds(found), *shift_tables.risks(found)]
    assert not [note for table in whole for note in table.notes if "horizon" in note or "folds" in note]
    found["estimates"]["horizon"] = 64
    for category in found["estimates"]["bounds"]["categories"].values():
        for scorer in ("reasoned", "plain"):
            if "emid" in category["bounds"].get(scorer, {}):
                category["bounds"][scorer]["blocks"] = 2
    horizon = "Of the first 64 tokens of a reply, or all of one that ends sooner (the horizon)."
    assert tables.self_information(found).notes == [horizon]
    assert shift_tables.bounds(found).notes[:2] == [
        horizon, "Mean over 2 folds of the cross-fitted estimator, each of its own contexts."
    ]  # fmt: skip
    assert [table.notes for table in shift_tables.risks(found)] == [[horizon]]


@pytest.mark.parametrize("headline", ["club token_rate", "leave_one_out response"])
def test_the_answers_hold_what_either_side_loses_and_the_language_of_replies(headline):
    """In `club token_rate`, as the answers themselves, whatever the headline is in."""
    results = fake_run.results(names=("IDTest", "german", "chinese", "Gaming"), settings=Settings(headline=headline))
    found = answers(results)
    rows = {row.label: dict(zip([column.name for column in found.columns], row.cells, strict=True)) for row in found.rows}
    for shift, names in (("user", ("german", "chinese")), ("character", ("Gaming",))):
        for side in ("policy", "golden"):

            def ihat(name, side=side):
                return results["estimates"]["categories"][name]["reasoned"][side]["club"]["token_rate"]["value"]

            lost = np.mean([ihat("IDTest") - ihat(name) for name in names])
            assert rows[shift][side].value == pytest.approx(lost, abs=1e-12)
        diagnostics = [results["categories"][name] for name in names]
        spoken = sum(of["replies"]["in_language"] * of["records"] for of in diagnostics)
        assert rows[shift]["language"].value == pytest.approx(spoken / sum(of["records"] for of in diagnostics))
    assert f"{fake_run.N} unrelated dialogues (lineages) a category" in found.notes[-1]
    for category in ("german", "chinese"):
        results["categories"][category]["replies"]["in_language"] = None
    assert answers(results).rows[0].cells[-1].reason == "no language is known"
    of_shift, of_other = (results["estimates"]["shifts"][shift]["reasoned"]["by_source"] for shift in ("user", "character"))
    lost, other = (of["emid"]["novel"]["club"]["token_rate"] for of in (of_shift, of_other))
    lost["interval"], lost["smallest_loss"] = {"low": None, "high": None, "reason": "one lineage"}, None
    other |= {"value": None, "interval": None, "reason": "no golden replies", "smallest_loss": None}
    assert [row.cells[2].reason for row in answers(results).rows] == ["no interval: one lineage", "no golden replies"]


def test_what_is_found_above_a_bound_or_a_risk_is_said():
    results = fake_run.results(names=("IDTest", "german", "spanish", "Gaming"))
    data = results["estimates"]["bounds"]
    bounds = data["categories"]["german"]["bounds"]["reasoned"]
    other = data["categories"]["spanish"]["bounds"]["reasoned"]
    for of, measured in ((bounds, 4.0), (other, 1.0)):
        of["emid"]["value"], of["plug_in"]["bound"]["value"], of["unknown_shift"]["bound"]["value"] = measured, 2.0, 5.0
    [note] = [note for note in shift_tables.bounds(results).notes if "lies above" in note]
    assert note == "Self EMID as measured lies above plug_in in 1 of 2: german."
    ball = data["risk"]["reasoned"]["balls"]["kl"]
    for of_ball in data["risk"]["reasoned"]["balls"].values():
        of_ball["attack"] = [None] * len(of_ball["attack"])
    [table] = shift_tables.risks(results)
    assert not any("attack" in note for note in table.notes)
    for place in (5, 7):
        ball["attack"][place] = ball["risk"][place]["value"] * 1.1
    [table] = shift_tables.risks(results)
    assert table.notes[-1] == (
        "The attack finds more than the risk says (kl from 0.05): so far these contexts are too few to carry it."
    )
