"""Tables of a sweep: their numbers are the points', by path; what is not run says so."""

import numpy as np
import pytest
from fake_tasks import VERSIONS, Tasks, number

from remid_jax.reporting.cells import DASH
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.layouts import Layout, Line, Selector, Sweep
from remid_jax.sweeps.plan import Done, planned
from remid_jax.sweeps.tables import page, table


@pytest.fixture
def indexed(tmp_path):
    """An index of points with these summaries; None: not run."""

    def indexed(**summaries):
        plan = planned([number(name) for name in summaries], Tasks(), VERSIONS)
        index = Index(tmp_path / "index.json", plan)
        for name, summary in summaries.items():
            if summary is not None:
                index.add(name, Done(plan.identities[name], None, 0.5, summary))
        return index

    return indexed


def lines(**rows):
    """Rows of points, each under the name "run"."""
    return [Line(label, [{"run": point} for point in points], {"word": "x"}) for label, points in rows.items()]


def estimate(value, low, high, validated=True):
    interval = {
        "low": low, "high": high, "level": 0.9, "method": "jackknife", "clusters": 8, "validated": validated, "bootstrap": None,
    }  # fmt: skip
    return {"value": value, "unit": "token_rate", "estimator": "club", "n": 4, "interval": interval}


def texts(found):
    return [(row.label, *(f"{cell.text} {cell.interval}".strip() for cell in row.cells)) for row in found.rows]


def test_numbers_are_means_over_runs_with_their_range_and_differences_run_by_run(indexed):
    index = indexed(a0={"v": 1.0, "x": {"w": 3}}, a1={"v": 2.0, "x": {"w": 4}}, b0={"v": 4.0}, b1=None, c0=None)
    columns = (
        Selector("v", "run.v", ".2f", "what it is"), Selector("from b", "run.v", "+.1f", minus_reference=True),
        Selector("w", "run.{word}.w", ",.1f", spread=False), Selector("steps", "other.steps", otherwise=0),
    )  # fmt: skip
    found = table(
        Layout("T {run.v:.3f}", "row", lines(a=["a0", "a1"], b=["b0", "b1"], c=["c0"]), columns, "b", runs="n"), index
    )
    assert texts(found) == [
        ("a", "1.50 (1.00 .. 2.00)", "-3.0", "3.5", "0", "2"),
        ("b", "4.00", DASH, DASH, "0", "1"),
        ("c", "not run", "", "", "", ""),
    ]
    assert (found.title, found.label, [column.name for column in found.columns]) == (
        "T 1.000", "row", ["v", "from b", "w", "steps", "n"],
    )  # fmt: skip
    assert found.rows[0].cells[0].value == 1.5


def test_rows_are_put_in_the_order_of_their_first_column(indexed):
    index = indexed(a={"v": 2}, b=None, c={"v": 1})
    layout = Layout("T", "row", lines(a=["a"], b=["b"], c=["c"]), [Selector("v", "run.v")], by_first_column=True)
    assert texts(table(layout, index)) == [("c", "1"), ("a", "2"), ("b", "not run")]


def test_estimates_have_their_intervals_and_a_star_has_a_column_a_name(indexed):
    shifts = {"user": estimate(0.5, 0.25, 0.75), "genre": estimate(-1.0, -2.0, -0.5, validated=False)}
    index = indexed(a={"by_shift": shifts}, b={"by_shift": {"user": estimate(None, None, None) | {"reason": "too few"}}})
    columns = [Selector("R-EMID *", "run.by_shift.*", meaning="under * shift")]
    found = table(Layout("T", "row", lines(a=["a"], b=["b"]), columns), index)
    assert [(column.name, column.meaning) for column in found.columns] == [
        ("R-EMID user", "under user shift"), ("R-EMID genre", "under genre shift"),
    ]  # fmt: skip
    assert texts(found) == [("a", "+0.5000 (+0.2500, +0.7500)", "-1.0000 (-2.0000, -0.5000)"), ("b", DASH, DASH)]
    assert found.notes == ["In brackets: 90% intervals over lineages, † = not validated for so few lineages."]
    assert found.reasons == ["too few"]


def test_records_are_compared_one_by_one_over_the_runs_that_both_have(indexed):
    rng = np.random.default_rng(0)
    values = {run: rng.normal(size=(2, 5)) for run in ("a0", "a1", "b0")}

    def nested(run):
        by_category = {}
        for category, row in zip(("one", "two"), values[run], strict=True):
            lineages = by_category.setdefault(category, {})
            for n, value in enumerate(row):
                lineages.setdefault(f"lineage {n // 2}", {})[f"{category} {n}"] = value
        return {"user": by_category}

    index = indexed(**{run: {"records": nested(run)} for run in values}, b1=None)
    columns = [Selector("minus b: *", "run.records.*", minus_reference=True)]
    found = table(Layout("T", "row", lines(a=["a0", "a1"], b=["b0", "b1"]), columns, "b"), index)
    a, b = (row.cells[0] for row in found.rows)
    assert (found.columns[0].name, b.text) == ("minus b: user", DASH)
    difference = (values["a0"] - values["b0"]).mean(axis=1).mean()
    assert a.value == pytest.approx(difference, rel=1e-12)
    left_out = []  # the jackknife, a lineage at a time in both categories
    for lineage in range(3):
        kept = [n for n in range(5) if n // 2 != lineage]
        left_out.append((values["a0"] - values["b0"])[:, kept].mean(axis=1).mean())
    spread = 2 / 3 * np.square(np.array(left_out) - np.mean(left_out)).sum()
    low, high = (float(bound) for bound in a.interval.strip("()").split(", "))
    assert (low + high) / 2 == pytest.approx(difference, abs=1e-4)
    assert (high - low) / 2 == pytest.approx(4.302653 * spread**0.5, abs=1e-4)  # t at 97.5% of 2 degrees of freedom


def test_a_page_holds_every_table_and_a_sweep_that_was_never_run_has_one(indexed):
    columns = [Selector("v", "run.v", ".1f"), Selector("*", "run.by.*")]
    layouts = [Layout("First", "row", lines(a=["a"]), columns), Layout("Second {run.w}", "row", lines(b=["b"]), columns)]
    sweep = Sweep("Rows", "make rows", [], layouts, "Means over seeds.")
    assert page(sweep, indexed(a={"v": 1.25, "by": {"u": 2}}, b=None)).splitlines() == [
        "# Rows", "", "Written by `make rows`; every number, with its commit and hours, is in the JSON beside it.",
        "Means over seeds.", "", "## First", "", "| row | v | u |", "|---|---|---|", "| a | 1.2 | 2 |", "", "",
        f"## Second {DASH}", "", "| row | v |", "|---|---|", "| b | not run |", "",
    ]  # fmt: skip
