"""What a judge is asked about: the replies of a file, or those of finished evaluations and of their control policies."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import meant
from remid_jax.dialogues.judge_prompts import ContextTexts
from remid_jax.dialogues.rated import RatedReply
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.information.emi import CONTROLS, half_a_turn
from remid_jax.information.score_table import blocks_of
from remid_jax.reporting.cells import prefix
from remid_jax.roles.control_policies import reply_sets
from remid_jax.scoring.texts import Reply

ALL = "all"  # the category of the replies of a file
RATE = ("club", "token_rate")
SAME = ("benchmark", "prompts", "estimator", "protocol")
"""The fingerprints that runs must share for their numbers to be comparable."""
Metrics = dict[str, dict[tuple[str, str], float]]
"""{metric: {(system, category): number}}; only of cells in which it is known."""


@dataclasses.dataclass(frozen=True)
class JudgedReply:
    """A reply to a context; `context` and `category` are names, `lineage` its cluster."""

    context: str
    category: str
    lineage: str
    system: str
    reply: str
    texts: ContextTexts


def of_file(replies: Sequence[RatedReply]) -> list[JudgedReply]:
    """Returns the replies of a file that was read."""
    return [
        JudgedReply(of.record.id, ALL, of.record.lineage, of.system, of.reply, ContextTexts.of(of.record)) for of in replies
    ]


def of_runs(workdirs: Sequence[str], controls: Sequence[str]) -> tuple[list[JudgedReply], Metrics]:
    """Returns the replies of finished evaluations and of control policies of the first, and what R-EMI and others say of them.

    A run is called like its folder. Metrics by `club token_rate` are "R-EMI" and "novel R-EMI" (without reasoning "EMI" and
    "novel EMI"), and "identified" and "novel identified" (without reasoning "plain identified" and "novel plain identified").

    Raises:
      UserError: a folder holds no evaluation, two have one name, they are of unlike benchmarks or estimators, or a control does
        not exist or needs golden replies that are not there.
    """
    runs: dict[str, Evaluation] = {}
    for workdir in workdirs:
        name = Path(workdir).name
        if name in runs:
            raise UserError(f"config.runs: two runs are called {name!r}: rename a folder, since systems are called like them")
        if name in CONTROLS:
            raise UserError(f"config.runs: a run is called {name!r}, as a control policy is: rename its folder")
        runs[name] = Evaluation.read(workdir)
    first, *others = runs
    for other in others:
        unlike = [of for of in SAME if _fingerprint(runs[first], of) != _fingerprint(runs[other], of)]
        if unlike:
            raise UserError(
                f"config.runs: {first} and {other} have another {' and '.join(unlike)}: judge runs that can be compared"
            )
    if strange := [name for name in controls if name not in CONTROLS]:
        known = meant(strange[0], CONTROLS) or f": choose among {', '.join(CONTROLS)}"
        raise UserError(f"config.controls: {strange[0]!r} is no control policy{known}")
    judged: list[JudgedReply] = []
    metrics: Metrics = {}
    for system, run in runs.items():
        said = {row["record"]: row["reply"] for row in run.samples}
        judged += [_judged(row, system, said[row["record"]]) for row in run.samples]
        for category, section in run.estimates["categories"].items():
            for scorer in run.estimates["estimators"]:
                _add(metrics, system, category, _of_policy(section[scorer]), scorer)
    for control in controls:
        said = _control_replies(runs[first], control)
        judged += [_judged(row, control, said[row["record"]]) for row in runs[first].samples]
        for scorer, of_control in runs[first].estimates["controls"].items():
            for category, section in of_control.get(control, {}).items():
                _add(metrics, control, category, _of_control(section), scorer)
    return judged, metrics


def _fingerprint(run: Evaluation, name: str) -> object:
    return run.results["fingerprints"][name]


def _judged(row: Mapping[str, Any], system: str, reply: str) -> JudgedReply:
    texts = ContextTexts(row["user_persona"], row["character"], row["dialogue"])
    context = f"{row['category']}/{row['record']}"
    return JudgedReply(context, row["category"], row["lineage"], system, reply, texts)


def _control_replies(run: Evaluation, control: str) -> dict[str, str]:
    """What a control policy says to each record."""
    by_category: dict[str, list[Record]] = {}
    for row in run.samples:
        record = Record(
            row["record"], row["user_persona"], {"description": row["character"]}, (Turn("user", row["last_query"]),),
            row["golden"] or "", row["category"], row["lineage"],
        )  # fmt: skip
        by_category.setdefault(record.category, []).append(record)
    said: dict[str, str] = {}
    for category, records in by_category.items():
        sets = reply_sets(records, {record.id: Reply("") for record in records})
        if control == "golden_other" and "golden" in sets:
            order = half_a_turn(blocks_of(run.scores.get(f"{category}/fold"), len(records)))
            sets[control] = [sets["golden"][place] for place in order.tolist()]
        if control not in sets:
            raise UserError(f"config.controls: {control!r} needs golden replies, which {category!r} has none of: leave it out")
        said |= {record.id: reply.text for record, reply in zip(records, sets[control], strict=True)}
    return said


def _of_policy(section: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name without its prefix, number) of a scorer's section of a category."""
    yield "EMI", section["emi"][RATE[0]][RATE[1]]
    if "by_source" in section:
        yield "novel EMI", section["by_source"]["emi"]["novel"][RATE[0]][RATE[1]]
    yield from _traced(section["identified"]["policy"])


def _of_control(section: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "EMI", section[RATE[0]][RATE[1]]
    if "novel" in section:
        yield "novel EMI", section["novel"][RATE[0]][RATE[1]]
    yield from _traced(section["identified"])


def _traced(section: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for view, number in section.items():
        yield "identified" if view == "whole" else "novel identified", number


def _add(
    metrics: Metrics, system: str, category: str, numbers: Iterator[tuple[str, Mapping[str, Any]]], scorer: str
) -> None:  # fmt: skip
    for name, number in numbers:
        traced = name.endswith("identified")
        plain = "plain " if scorer == "plain" else ""
        full = name.replace("identified", f"{plain}identified") if traced else name.replace("EMI", f"{prefix(scorer)}EMI")
        if number["value"] is not None:
            metrics.setdefault(full, {})[system, category] = number["value"]
