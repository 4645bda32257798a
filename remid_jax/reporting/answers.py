"""The verdict of an evaluation in figures, a row a shift.

Input is the dictionary of results.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from remid_jax.information.verdict import BLIND, GAIN, LOSS, NONE, OPEN, UNIT, emi_of
from remid_jax.reporting.cells import DASH, Cell, Column, Results, Row, Table, cell, headline_key, plain, prefix
from remid_jax.reporting.subjects import reference
from remid_jax.reporting.tables import RATE_WORDS

ANSWERS = {LOSS: "costs", NONE: "no loss shown", BLIND: "cannot tell", GAIN: "better", UNIT: "by unit", OPEN: "open"}
READING = (
    "Larger = worse than on {reference}, beside golden replies; {lineages} unrelated dialogues (lineages) a category. Each "
    "interval is of its shift alone; all hold the chance of {reference}, so they err together. Detectable: a true loss that "
    "four of five such runs would find; four times the lineages halve it. One reply: what a policy would lose that goes over "
    "to one constant reply there, and the share of such runs that would find it. Policy, golden: what whole replies of either "
    "lose by themselves, copies included. Language: replies in the user's."
)


def answers(results: Results) -> Table:
    """The verdict in figures, by shift: what is lost, what would have been found, what a constant reply would lose, what policy
    and golden replies lose by themselves, and how many replies are in the user's language."""
    estimates = results["estimates"]
    verdict, scorer = estimates["verdict"], headline_key(results)[2]
    r, quantity = prefix(scorer), verdict["quantity"]
    rows, notes = [], []
    for shift, of in verdict["shifts"].items():
        section = estimates["shifts"][shift][scorer]
        lost, golden = emi_of(section, "emid", quantity), emi_of(section, "estimator_shift", "whole")["value"]
        beyond, shown = emi_of(section, "emid", "whole")["value"], cell(lost, form="+.3f")
        rows.append(
            Row(
                shift,
                [
                    Cell(ANSWERS[of["finding"]]),
                    shown,
                    plain(lost.get("smallest_loss"), ".2f", shown.reason or shown.note),
                    _constant_reply(of["constant"]),
                    plain(None if golden is None or beyond is None else golden + beyond, "+.2f", "no estimate"),
                    plain(golden, "+.2f", "no estimate"),
                    _in_language(results, estimates["shifts"][shift]["categories"]),
                ],
            )
        )
        notes += [f"{shift} shift: {' '.join(of['notes'])}"] if of["notes"] else []
    words = "novel " if quantity == "novel" else ""
    columns = [
        Column("answer"),
        Column(f"{words}{r}EMID", "what is lost, nats a token: larger = worse"),
        Column("detectable", "a true loss that four of five such runs would find"),
        Column(
            "one reply",
            "what a policy would lose that goes over to one constant reply there, and the share of such runs that find it",
        ),
        Column("policy", f"Ihat of the policy's whole replies on {reference(results)} minus here", "drop"),
        Column("golden", f"Ihat of whole golden replies on {reference(results)} minus here", "drop"),
        Column("language", "share of the policy's replies that are in the user's language"),
    ]
    counts = [category["lineages"] for category in estimates["categories"].values()]
    lineages = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    notes.append(READING.format(reference=reference(results), lineages=lineages))
    return Table(f"Loss under each shift, {RATE_WORDS}", columns, rows, label="shift", notes=notes)


def _constant_reply(constant: Mapping[str, float | None]) -> Cell:
    if constant["loss"] is None:
        return Cell(DASH, reason="no golden replies, or no such control")
    found = "" if constant["found"] is None else f" ({constant['found']:.0%})"
    return Cell(f"{constant['loss']:+.2f}{found}", constant["loss"])


def _in_language(results: Results, names: Sequence[str]) -> Cell:
    """The share of replies of the categories that are in their users' language, of all whose language is known."""
    known = [(of["replies"]["in_language"], of["records"]) for of in map(results["categories"].__getitem__, names)]
    known = [(share, count) for share, count in known if share is not None]
    total = sum(count for _, count in known)
    return plain(sum(share * count for share, count in known) / total if total else None, ".0%", "no language is known")
