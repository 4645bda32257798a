"""The page of a judge: ratings, comparisons, agreement with itself and with metrics, from what judge.json holds alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remid_jax.information.rank_agreement import MEASURES
from remid_jax.reporting import markdown
from remid_jax.reporting.agreement_page import MEANINGS
from remid_jax.reporting.cells import DAGGER, Column, Row, Table, cell
from remid_jax.reporting.markdown import paragraph
from remid_jax.reporting.subjects import Results

ITSELF = {
    "wordings": "Spearman of ratings of the same replies in two wordings",
    "position_bias": "how much likelier than by chance a reply is preferred where it is shown first, in points",
    "orders_agree": "share of comparisons in which both orders prefer the same reply; of a coin 50%",
    "ratings_agree": "share of comparisons that the reply with the higher rating wins; by chance 50%",
}
NOTE = f"In brackets intervals over contexts. {DAGGER} Not validated."


def sentences(found: Results) -> list[str]:
    """Returns for each criterion how far the judge agrees with itself."""
    lines = []
    for name, of_criterion in found["itself"].items():
        numbers = [f"{quantity.replace('_', ' ')} {cell(number).text}" for quantity, number in of_criterion.items()]
        lines.append(f"{name}: {', '.join(numbers)}")
    return lines


def page(found: Results, source: str) -> str:
    """Returns the page in Markdown; `source` names the replies."""
    return "\n".join(_lines(found, source)).rstrip() + "\n"


def _lines(found: Results, source: str) -> Iterator[str]:
    counts, judge = found["counts"], found["judge"]
    unread = f" {counts['unread']} answers could not be read, and count nowhere." if counts["unread"] else ""
    precision = f" in {judge['dtype']}" if judge["dtype"] else ""
    yield "# What a judge says"
    yield ""
    yield from paragraph(
        f"Written by `python -m experiments.judge` on {source}: `{judge['source']}`{precision} rates {counts['replies']} "
        f"replies to {counts['contexts']} contexts from 1 to 10, in two wordings, and compares {counts['pairs']} pairs of them "
        "in both orders, by each criterion. A rating of a model on this machine is the expected number under its own "
        f"probabilities.{unread}"
    )
    yield "## Does it agree with itself?"
    yield ""
    yield from markdown.drawn(_itself(found["itself"]))
    yield ""
    yield "## Ratings"
    yield ""
    yield from markdown.drawn(_ratings(found))
    yield ""
    if counts["pairs"]:
        yield "## Comparisons won"
        yield ""
        yield from markdown.drawn(_wins(found["wins"]))
        yield ""
    if found["values"]:
        yield "## What metrics say"
        yield ""
        yield from markdown.drawn(_values(found["values"]))
        yield ""
    for name, of_criterion in found["metrics"].items():
        yield f"## What agrees with its {name}"
        yield ""
        yield from markdown.drawn(_metrics(of_criterion))
        yield ""


def _itself(itself: Mapping[str, Mapping[str, Any]]) -> Table:
    shown = list(next(iter(itself.values())))
    rows = [Row(name, [cell(of[quantity]) for quantity in shown]) for name, of in itself.items()]
    return Table("itself", [Column(name.replace("_", " "), ITSELF[name]) for name in shown], rows, "criterion", [NOTE])


def _ratings(found: Results) -> Table:
    criteria = list(found["criteria"])
    several = len({category for cells in found["ratings"].values() for category in cells}) > 1
    rows = [
        Row(f"{system}, {category}" if several else system, [cell(of[name]) for name in criteria])
        for system, cells in found["ratings"].items()
        for category, of in cells.items()
    ]
    return Table("ratings", [Column(name) for name in criteria], rows, "system", [NOTE])


def _wins(wins: Mapping[str, Mapping[str, Any]]) -> Table:
    systems = list(next(iter(wins.values())))
    rows = [Row(system, [cell(of[system]) for of in wins.values()]) for system in systems]
    meaning = "The share of its comparisons that a system wins, as the judge's mean probability over both orders."
    return Table("wins", [Column(name) for name in wins], rows, "system", [meaning, NOTE])


def _values(values: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    cells = {(system, category): None for of in values.values() for system, here in of.items() for category in here}
    several = len({category for _, category in cells}) > 1
    rows = [
        Row(f"{system}, {category}" if several else system, [cell(of.get(system, {}).get(category)) for of in values.values()])
        for system, category in cells
    ]
    return Table("values", [Column(name) for name in values], rows, "system", [NOTE])


def _metrics(of_criterion: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [Row(name, [cell(of[measure]) for measure in MEASURES]) for name, of in of_criterion.items()]
    of_cells = "of two systems in one category with unlike mean ratings, how often numbers order them so; by chance 50%"
    meanings = {**MEANINGS, "pairs": of_cells}
    note = f"Over systems x categories, in brackets with intervals over both. {DAGGER} Not validated."
    return Table("metrics", [Column(name, meanings[name]) for name in MEASURES], rows, "metric", [note])
