"""Tables, figure and page of dials: every number is the dictionary's, with the band in the place of the interval."""

import copy

import fake_run
import pytest
from html_page import Page
from rich.console import Console

from remid_jax.reporting import dial_figures, dial_tables, drawing, figures, report, terminal

CURVE, SETTINGS = "mixture(german)", ("mixture(german, 0)", "mixture(german, 0.5)", "mixture(german, 1)")


def point(value, half, unit="token_rate"):
    if value is None:
        return {"value": None, "unit": unit, "estimator": "club", "n": 8, "interval": None, "reason": "why", "band": None}
    interval = {
        "low": value - half, "high": value + half, "level": 0.95, "method": "jackknife", "clusters": 16, "validated": True,
        "bootstrap": None,
    }  # fmt: skip
    number = {"value": value, "unit": unit, "estimator": "club", "n": 8, "interval": interval}
    return {**number, "band": {"low": value - 2 * half, "high": value + 2 * half}}


def curve(*points):
    return {"estimator": "club", "unit": "token_rate", "level": 0.95, "each": 0.98, "points": list(points)}


@pytest.fixture(scope="module")
def results():
    """Results of an evaluation with one curve; the categories it is made of are left out."""
    results = copy.deepcopy(fake_run.results())
    scorer = {
        "emid": curve(point(0.0, 0.0), point(0.1, 0.04), point(0.3, 0.1)),
        "novel_emid": curve(point(0.0, 0.0), point(0.2, 0.05), point(0.4, 0.1)),
        "estimator_shift": curve(point(0.0, 0.0), point(-0.1, 0.02), point(None, 0)),
        "controls": {"parrot": curve(point(0.0, 0.0), point(1.0, 0.1), point(2.0, 0.1))},
    }
    section = {"reference": "IDTest", "categories": list(SETTINGS), "positions": [0, 0.5, 1]}
    results["estimates"]["dials"] = {CURVE: {**section, "reasoned": scorer, "plain": scorer}}
    return results


def test_a_row_a_setting_with_its_band(results):
    [table] = dial_tables.dial_tables(results)
    assert [column.name for column in table.columns] == ["R-EMID", "novel R-EMID", "golden drop"]
    texts = {row.label: [f"{cell.text} {cell.interval}".strip() for cell in row.cells] for row in table.rows}
    assert texts == {
        SETTINGS[0]: ["0", "0", "0"],
        SETTINGS[1]: ["+0.1000 (+0.0200, +0.1800)", "+0.2000 (+0.1000, +0.3000)", "-0.1000 (-0.1400, -0.0600)"],
        SETTINGS[2]: ["+0.3000 (+0.1000, +0.5000)", "+0.4000 (+0.2000, +0.6000)", "–"],
    }
    assert table.rows[2].cells[2].reason == "why"
    assert table.rows[1].cells[0].note == "95% max-|t| (+0.0200, +0.1800), 16 clusters"


def test_the_figure_draws_values_intervals_and_bands(results):
    figure = dial_figures.dials(results)
    emid = figure.axes[0]
    line = emid.lines[0]
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == ([0, 0.5, 1], [0.0, 0.1, 0.3])
    [band] = emid.collections
    ends = band.get_paths()[0].vertices
    assert {tuple(end) for end in ends.round(9).tolist()} >= {(0.5, 0.02), (0.5, 0.18), (1.0, 0.1), (1.0, 0.5)}
    golden = figure.axes[2].lines[0]
    assert golden.get_xdata().tolist() == [0, 0.5]  # what is not known is not drawn
    assert "mixture(german)" in emid.get_xlabel()


def test_page_and_terminal_show_them(results):
    drawn = {"dials": drawing.svg_bytes(dial_figures.dials(results))}
    page = Page(report.html(results, drawn))
    table = page.tables[f"{CURVE}, as the dial is turned"]
    assert [value for value, _, _ in table[SETTINGS[2]]] == [0.3, 0.4, None]
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(terminal.summary(results))
    assert "mixture(german, 0.5)" in console.export_text()


def test_without_dials_there_is_nothing_of_them():
    results = fake_run.results()
    assert "dials" not in figures.figures(results)
    assert dial_tables.dial_tables(results) == []
    assert 'id="dials"' not in report.html(results, {})
