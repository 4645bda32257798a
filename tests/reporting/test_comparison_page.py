"""The page of a comparison: every number of the results in its place, in full on pointing at it; nothing from elsewhere."""

import re

import pytest
from compared import COUNTS, comparison
from html_page import Page

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
    shown = {row.name: row for row in comparison().headline if (row.run, row.quantity) == ("sft@20", "emid")}
    place = 1 + comparison().runs[1:].index("sft@20")
    overall = "all shifted categories"
    for label, name in (("german", "german"), ("user shift, mean", "user"), (f"{overall}, mean", overall)):
        value, text, title = rows[label][place]
        row = shown[name]
        assert value == row.value
        assert text == f"{row.value:+.4f} ({row.simultaneous_low:+.4f}, {row.simultaneous_high:+.4f})†"
        for number in (row.value, row.simultaneous_low, row.simultaneous_high, row.low, row.high, row.smallest_difference):
            assert f"{number:.8g}" in title
    assert rows["german"][0][0] == shown["german"].baseline_value


def test_ranks_and_smallest_differences_stand_in_tables_of_their_own(page):
    ranks, smallest = table(page, "Ranks by R-EMID"), table(page, "Smallest differences of R-EMID that are found")
    sets = {(found.name, found.run): found for found in comparison().standings if found.quantity == "emid"}
    shown = {(row.name, row.run): row for row in comparison().headline if row.quantity == "emid"}
    for category in COUNTS:
        if category == "IDTest":
            assert category not in ranks
            continue
        for place, run in enumerate(comparison().runs):
            found = sets[category, run]
            text = str(found.best_rank) if found.best_rank == found.worst_rank else f"{found.best_rank} to {found.worst_rank}"
            assert ranks[category][place][1] == text
            if place:
                assert smallest[category][place - 1][0] == shown[category, run].smallest_difference


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
