"""The page says what the figures say, and where the product claims more than they show."""

import json
import re

import pytest

from remid_jax.reporting import markdown
from remid_jax.theory.bounds.on_worlds import BOUNDS, CERTIFIED
from remid_jax.theory.worlds.scenarios import SCENARIOS
from remid_jax.validation import (
    copying_study,
    coverage_study,
    crossed_study,
    dial_study,
    fold_study,
    page,
    policy_study,
    simultaneous_study,
)
from remid_jax.validation.world_study import ATTACKED


@pytest.fixture
def found():
    bound = {"worlds": 9, "violations": 0, "median": 0.25, "q95": 0.5, "highest": 0.75}
    climb = {"highest": 0.99, "median": 0.9, "violations": 0, "at_end": 0}
    ascents = {name: {**dict.fromkeys(ATTACKED, climb), "published": climb | {"highest": 17.25}} for name in SCENARIOS}
    rows = [
        {"n": n, "estimator": name, "emi": 0.951, "emid": 0.949, "emi_value": 0.1, "emid_value": 0.0}
        for n in coverage_study.SIZES
        for name in coverage_study.ESTIMATORS
    ]
    bias = {name: {"mean": 1.5, "rmse": 0.25} for name in coverage_study.ESTIMATORS}
    terms = dict.fromkeys(("golden_id", "golden_shifted", "policy_id", "policy_shifted", "emi_id", "emid"), 0.125)
    sampled = {"mean": 1.0, "target": 1.01, "rmse": 0.1}
    return json.loads(json.dumps({
        "settings": {"seed": 7, "worlds": 9, "restarts": 4, "steps": 100, "replications": 50, "draws": 10},
        "seconds": 240.0,
        "worlds": {
            name: {"bounds": dict.fromkeys(BOUNDS, bound), "worlds": 9, "positive": 5, "pinned": 0.4} for name in SCENARIOS
        },
        "ascents": ascents,
        "coverage": {"calm": {"information": 0.3, "meaning": "q = p", "rows": rows}},
        "crossed": {
            name: [
                {"design": "8 x 5, 40 records", "fewest": 5, "way": way, "estimator": estimator, "emi": 0.953, "emid": 0.947}
                for way in crossed_study.WAYS for estimator in crossed_study.ESTIMATED
            ]
            for name in crossed_study.WORLDS
        },
        "copying": {
            name: [
                {"n": n, "quantity": quantity, "view": view, "emi": 0.952, "emid": 0.948, "emi_shown": 1.0, "emid_shown": 0.75}
                for n in copying_study.SIZES
                for judged in (*copying_study.JUDGED.values(), [("club", "whole")])
                for quantity, view in judged
            ]
            for name in copying_study.worlds()
        },
        "dials": {
            name: [
                {"n": n, "band": 0.956, "pointwise_all": 0.871, "pointwise": [0.954] * 4, "truth": [0.1] * 4,
                 "bias": [0.01] * 4, "error": [0.1] * 4}
                for n in dial_study.SIZES
            ]
            for name in ("calm", "heavy")
        },
        "simultaneous": {
            name: [
                {"n": n, "emid": 0.951, "both": 0.949, "single": 0.952, "ranks": 0.998, "best": 0.5, "wrong_best": 0.001,
                 "found": 0.799, "critical": 3.75}
                for n in simultaneous_study.SIZES
            ]
            for name in ("calm", "heavy")
        },
        "folds": {
            "worlds": {name: {"worlds": 5, "information": 0, "unknown_shift": 0} for name in SCENARIOS},
            "coverage": {
                "calm": [
                    {"n": n, "quantity": quantity, "coverage": 0.954, "value": 0.1, "sd": 0.02, "refused": 0.25 * (n < 32)}
                    for n in fold_study.SIZES for quantity in fold_study.QUANTITIES
                ],
            },
        },
        "bias": {"information": 1.0, "rows": [{"n": 16, "smoothing": 0.1, "of": bias}], "pairs": {"100": 0.5, "9900": 0.4}},
        "divergences": [{
            "divergence": 0.3, "n": 32, "draws": 10, "representation_holds": 1.0, "classifier_holds": 0.95, "rejected": 0.9,
            "excess": 0.2, "classifier": 0.25,
        }],
        "policies": policy_study.study(),
        "models": {
            "sums": 2e-7, "emid": 0.0768, "emi": -0.1, "bounds": dict.fromkeys((*CERTIFIED, "published"), 0.5),
            "estimators": {"golden": terms, "wrong": terms}, "sampled": {"golden": sampled, "wrong": sampled},
        },
        "real": {"source": "run", "unit": "club response", "terms": {"german": {"plain": {"golden": 1.0, "emid": 2.0}}}},
    }))  # fmt: skip


def tables(text):
    """Every table as rows of cells; all rows of a table are equally long."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.M)
    found = [[[cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()] for block in blocks]
    assert all(len({len(row) for row in table if set(row) != {"---|" * 9} and "---" not in row[0]}) == 1 for table in found)
    return found


def test_every_figure_stands_in_its_cell(found):
    text = page.page(found)
    assert max(len(line) for line in text.splitlines() if not line.startswith(("|", "-"))) <= markdown.WIDTH
    worlds, ascents, coverage, crossed, ways, copying, together, dials, folds, *rest = tables(text)
    bias, divergences, policies, estimators, real = rest
    assert worlds[0] == ["bound", *SCENARIOS]
    assert worlds[2][:2] == [next(iter(BOUNDS)), ".250/.500/.750"]
    assert worlds[-1][1] == "40%"
    reached = {row[0]: row[1:] for row in ascents}
    assert reached["published"] == ["17.2"] * len(SCENARIOS)
    assert reached["information"] == ["0.99000"] * len(SCENARIOS)
    assert coverage[2][2:] == ["0.951 / 0.949"] * 4
    assert crossed[2] == ["8 x 5, 40 records", *["0.953 / 0.947"] * 4]
    assert [row[0] for row in ways[2:]] == list(crossed_study.WAYS)
    assert "the lowest coverage of any estimator is 0.947" in text
    assert copying[2] == ["calm", "club novel", *["0.952 / 0.948 (75%)"] * 4]
    assert len(copying) == 2 + 3 * 8
    assert together[2] == ["calm", "16", "0.951", "0.949", "0.952", "0.998", "0.500", "0.001", "0.799", "3.750"]
    assert "in every world of whole replies: from n = 16." in text.replace("\n", " ")
    assert dials[2] == ["calm", "16", "0.956", "0.871", *["0.954"] * 4, " / ".join(["+0.10"] * 4)]
    assert folds[2] == ["calm", "emid", "0.954 (25%)", "0.954", "0.954"]
    assert [row[1] for row in folds[2:]] == list(fold_study.QUANTITIES)
    assert f"{5 * len(SCENARIOS)}, in which" in text.replace("\n", " ")
    assert bias[2][2] == "+0.50 / 0.25"
    assert divergences[2] == ["0.300", "1.000", "0.950", "0.900", "0.200", "0.250"]
    assert policies[2][0] == "right"
    assert [row[0] for row in estimators[2:]] == ["golden", "wrong"]
    assert real[2] == ["german", "1.000", "-", "2.000"]
    assert "0 violations in 72 worlds" in text
    assert "**The product claims" not in text
    assert "4 minutes" in text


def test_what_is_claimed_and_not_shown_is_said(found):
    assert page.faults(found) == []
    found["worlds"]["user"]["bounds"]["layered"]["violations"] = 2
    found["ascents"]["general"]["entropy"]["at_end"] = 1
    found["folds"]["worlds"]["concept"]["unknown_shift"] = 3
    for row in found["coverage"]["calm"]["rows"]:
        row["emi"] = 0.9 if row["estimator"] == "club" and row["n"] == 64 else row["emi"]
    for row in found["copying"]["copying"]:
        row["emi"] = 0.98 if (row["quantity"], row["view"], row["n"]) == ("club", "novel", 64) else row["emi"]
    wide = [{**row, "emid": 0.978} for row in found["simultaneous"]["heavy"]]
    found["simultaneous"][simultaneous_study.NOVEL] = wide  # of which nothing is claimed
    assert page.simultaneous_validated(found) == 16
    found["simultaneous"]["heavy"][1]["found"] = 0.85
    assert page.simultaneous_validated(found) is None
    for of in found["ascents"].values():
        of["published"]["highest"] = 0.5
    assert page.faults(found) == [
        "layered is violated by 2 worlds of user",
        "entropy is violated in 1 ascents of general",
        "unknown_shift is violated by 3 worlds of concept in folds",
        "intervals of club are called validated from n = 16, coverage is right from nowhere",
        "intervals of club of copied and novel parts are called validated from n = 16, coverage is right from nowhere",
        "comparisons of runs are called validated from n = 32, coverage is right from nowhere",
        "the ascent reaches 0.500 of published, less than 1.0: the search is broken",
    ]
    text = page.page(found)
    assert "**The product claims more than this run shows:** layered is violated" in text
    assert "**2 violations**" in text
