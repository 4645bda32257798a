"""The page of a comparison: every number of the results in its place, in full on pointing at it; nothing from elsewhere."""

import io
import re

import pytest
from compared import COUNTS, comparison
from html_page import Page
from rich.console import Console

from remid_jax.reporting import comparison as shown
from remid_jax.reporting import comparison_page


@pytest.fixture(scope="module")
def page():
    return Page(comparison_page.html(comparison().results))


def table(page, beginning):
    return next(rows for caption, rows in page.tables.items() if caption.startswith(beginning))


def test_the_page_needs_nothing_beside_it_and_is_the_same_again(page):
    links = [value for _, name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert links == []
    html = comparison_page.html(comparison().results)
    assert not re.search(r"https?://", html.replace("http://www.w3.org", ""))
    assert html == comparison_page.html(comparison().results)


def test_differences_stand_in_their_cells_and_in_full_in_their_titles(page):
    rows = table(page, "R-EMID of base, and of the others minus it")
    of_run = {row.name: row for row in comparison().headline if (row.run, row.quantity) == ("sft@20", "emid")}
    place = 1 + comparison().runs[1:].index("sft@20")
    overall = "all shifted categories"
    for label, name in (("german", "german"), ("user shift, mean", "user"), (f"{overall}, mean", overall)):
        value, text, title = rows[label][place]
        row = of_run[name]
        assert value == row.value
        assert text == f"{row.value:+.4f} ({row.simultaneous_low:+.4f}, {row.simultaneous_high:+.4f})†"
        for number in (row.value, row.simultaneous_low, row.simultaneous_high, row.low, row.high, row.smallest_difference):
            assert f"{number:.8g}" in title
    assert rows["german"][0][0] == of_run["german"].baseline_value


def test_ranks_and_smallest_differences_stand_in_tables_of_their_own(page):
    ranks, smallest = table(page, "Ranks by R-EMID"), table(page, "Smallest differences of R-EMID that are found")
    sets = {(found.name, found.run): found for found in comparison().standings if found.quantity == "emid"}
    found_in = {(row.name, row.run): row for row in comparison().headline if row.quantity == "emid"}
    for category in COUNTS:
        if category == "IDTest":
            assert category not in ranks
            continue
        for place, run in enumerate(comparison().runs):
            found = sets[category, run]
            text = str(found.best_rank) if found.best_rank == found.worst_rank else f"{found.best_rank} to {found.worst_rank}"
            assert ranks[category][place][1] == text
            if place:
                assert smallest[category][place - 1][0] == found_in[category, run].smallest_difference


def test_both_replies_of_changed_records_stand_side_by_side_as_text(page):
    changed = comparison().results["changed"]["dpo@5"][0]
    text = "".join(page.text)
    assert f"<b>dpo@5</b> & {changed['record']}" in text
    assert f"<b>base</b> & {changed['record']}" in text
    assert text.count("It is not for differences between runs or categories") == 1
    assert sum(pair == ("div", "class", "beside") for pair in page.attributes) == 5 * 4


def test_tables_are_sorted_by_a_script_of_the_page(page):
    text = "".join(page.text)
    assert "script" in page.tags
    assert 'querySelectorAll("table")' in text
    assert "aria-sort" in text


def test_without_steps_there_is_no_figure():
    html = comparison_page.html(comparison(("base", "other")).results)
    assert "<svg" not in html
    assert "Over training steps" not in html
    assert "<svg" in comparison_page.html(comparison().results)


@pytest.fixture(scope="module")
def many():
    return comparison(("base", *(f"sweep/point{number}" for number in range(39))))


def test_of_many_runs_one_table_has_a_row_each_the_best_first(many):
    page = Page(comparison_page.html(many.results))
    assert [caption for caption in page.tables if "minus" in caption or "Ranks" in caption] == []
    rows = table(page, "R-EMID of 40 runs, the best first")
    heading = [text for _, text, _ in rows.pop("run")]
    places = ["", "user shift, ", "character shift, ", "german, ", "spanish, ", "Gaming, "]
    assert sorted(heading) == sorted(["R-EMID", "rank", *(f"{place}minus base" for place in places)])
    overall = {of.run: of for of in many.standings if (of.kind, of.quantity) == ("overall", "emid")}
    assert list(rows) == sorted(overall, key=lambda run: overall[run].value)
    by_place = {(row.run, row.kind, row.name): row for row in many.headline if row.quantity == "emid"}
    for run, cells in rows.items():
        cells = dict(zip(heading, cells, strict=True))
        assert cells["R-EMID"][0] == overall[run].value
        assert cells["rank"][1] == f"{overall[run].best_rank} to {overall[run].worst_rank}"
        for place in places if run != "base" else []:
            kind = "overall" if not place else "shift" if "shift" in place else "category"
            name = {"overall": "all shifted categories"}.get(kind, place.removesuffix(", ").removesuffix(" shift"))
            row, (value, text, title) = by_place[run, kind, name], cells[f"{place}minus base"]
            assert value == row.value
            assert f"({row.simultaneous_low:.8g}, {row.simultaneous_high:.8g})" in title
            assert ("(" in text) == (not place)
    links = [value for _, name, value in page.attributes if name in ("src", "href") and not value.startswith("#")]
    assert links == []
    assert {value[1:] for _, name, value in page.attributes if name == "href"} <= set(page.ids)
    assert sum(pair == ("div", "class", "beside") for pair in page.attributes) == 5 * 20


def test_of_many_runs_the_terminal_has_the_best_and_says_how_many_are_left_out(many):
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(shown.summary(many.results))
    text = console.export_text()
    assert "39 runs against base, R-EMID over all shifted categories: " in " ".join(text.split())
    assert "and 20 runs more, in all files that can be written" in text
    best = sorted((of.value, of.run) for of in many.standings if (of.kind, of.quantity) == ("overall", "emid"))
    assert all(f"{run} " in text for _, run in best[:20])
    assert not any(re.search(rf"^ {run} ", text, re.MULTILINE) for _, run in best[20:])
    assert len(text.splitlines()) < 150
    assert shown.page(many.results).startswith("# base and 39 other runs\n")
    assert len(many.lm_eval()["results"]["german"]) == 1 + 2 * 2 * (40 + 39)
