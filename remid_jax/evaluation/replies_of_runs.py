"""The replies of finished evaluations and of their control policies, and what R-EMI and the like say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.dialogues.faults import meant
from remid_jax.dialogues.rated import RatedReply
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.evaluation.arguments import GIVEN
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.records import everyone, read_records
from remid_jax.evaluation.settings import default_settings
from remid_jax.information.emi import CONTROLS, half_a_turn
from remid_jax.information.intervals import Estimate
from remid_jax.information.score_table import blocks_of
from remid_jax.reporting.cells import prefix
from remid_jax.roles.control_policies import reply_sets
from remid_jax.scoring.texts import Reply

RATE = ("club", "token_rate")
SAME = ("benchmark", "prompts", "estimator", "protocol")
"""The fingerprints that runs must share for their numbers to be comparable."""
Metrics = dict[str, dict[tuple[str, str], Estimate]]
"""{metric: {(system, category): estimate}}."""


def replies_of_runs(workdirs: Sequence[str], controls: Sequence[str]) -> tuple[list[RatedReply], Metrics]:
    """Returns the replies of finished evaluations and of control policies of the first, and what R-EMI and others say of them.

    A run is called like its folder. Metrics by `club token_rate` are "R-EMI" and "novel R-EMI" (without reasoning "EMI" and
    "novel EMI"), and "identified" and "novel identified" (without reasoning "plain identified" and "novel plain identified").

    Raises:
      UserError: a folder holds no evaluation, two have one name, they are of unlike benchmarks or estimators, their benchmark
        is no longer what it was, or a control does not exist or needs golden replies that are not there.
    """
    runs: dict[str, Evaluation] = {}
    for workdir in workdirs:
        name = Path(workdir).name
        if name in runs or name in CONTROLS:
            other = "a control policy" if name in CONTROLS else "another one"
            raise UserError(f"config.runs: {workdir} is called {name!r}, as {other} is: rename its folder")
        runs[name] = Evaluation.read(workdir)
    first, *others = runs
    for other in others:
        if unlike := [of for of in SAME if _fingerprint(runs[first], of) != _fingerprint(runs[other], of)]:
            raise UserError(
                f"config.runs: {first} and {other} have another {' and '.join(unlike)}: judge runs that are comparable"
            )
    if strange := [name for name in controls if name not in CONTROLS]:
        known = meant(strange[0], CONTROLS) or f": choose among {', '.join(CONTROLS)}"
        raise UserError(f"config.controls: {strange[0]!r} is no control policy{known}")
    records = _records(runs[first], workdirs[0])
    replies: list[RatedReply] = []
    metrics: Metrics = {}
    for system, run in runs.items():
        replies += [RatedReply(records[row["record"]], system, row["reply"], {}, row["reply_finished"]) for row in run.samples]
        for category, section in run.estimates["categories"].items():
            for scorer in run.estimates["estimators"]:
                _add(metrics, system, category, _of_policy(section[scorer]), scorer)
    for control in controls:
        replies += _of_control_policy(runs[first], records, control)
        for scorer, of_control in runs[first].estimates["controls"].items():
            for category, section in of_control.get(control, {}).items():
                _add(metrics, control, category, _of_control(section), scorer)
    return replies, metrics


def _fingerprint(run: Evaluation, name: str) -> object:
    return run.results["fingerprints"][name]


def _records(run: Evaluation, workdir: str) -> dict[str, Record]:
    """The records of the run's benchmark, read anew."""
    config = default_settings()
    config.benchmark.update(run.results["config"]["benchmark"])
    if config.benchmark.source == GIVEN:
        raise UserError(f"{workdir}: its benchmark was given in Python: evaluate it from a file to judge its replies")
    benchmark = read_records(config, None)
    if benchmark.fingerprint != _fingerprint(run, "benchmark"):
        raise UserError(f"{workdir}: {config.benchmark.source} is no longer what was evaluated: evaluate it again")
    return {record.id: record for record in everyone(benchmark.test)}


def _of_control_policy(run: Evaluation, records: Mapping[str, Record], control: str) -> Iterator[RatedReply]:
    """What a control policy says to each record."""
    by_category: dict[str, list[Record]] = {}
    for row in run.samples:
        by_category.setdefault(row["category"], []).append(records[row["record"]])
    for category, members in by_category.items():
        sets = reply_sets(members, {record.id: Reply("") for record in members})
        if control == "golden_other" and "golden" in sets:
            order = half_a_turn(blocks_of(run.scores.get(f"{category}/fold"), len(members)))
            sets[control] = [sets["golden"][place] for place in order.tolist()]
        if control not in sets:
            raise UserError(f"config.controls: {control!r} needs golden replies, which {category!r} has none of: leave it out")
        for record, reply in zip(members, sets[control], strict=True):
            yield RatedReply(record, control, reply.text, {}, reply.finished)


def _of_policy(section: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    """(name without its prefix, number) of a scorer's section of a category."""
    yield "EMI", section["emi"][RATE[0]][RATE[1]]
    if "by_source" in section:
        yield "novel EMI", section["by_source"]["emi"]["novel"][RATE[0]][RATE[1]]
    yield from _traced(section["identified"]["policy"])


def _of_control(section: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    yield "EMI", section[RATE[0]][RATE[1]]
    if "novel" in section:
        yield "novel EMI", section["novel"][RATE[0]][RATE[1]]
    yield from _traced(section["identified"])


def _traced(section: Mapping[str, Any]) -> Iterator[tuple[str, Estimate]]:
    for view, number in section.items():
        yield "identified" if view == "whole" else "novel identified", number


def _add(metrics: Metrics, system: str, category: str, numbers: Iterator[tuple[str, Estimate]], scorer: str) -> None:
    plain = "plain " if scorer == "plain" else ""
    for name, number in numbers:
        full = name.replace("identified", f"{plain}identified").replace("EMI", f"{prefix(scorer)}EMI")
        metrics.setdefault(full, {})[system, category] = number
