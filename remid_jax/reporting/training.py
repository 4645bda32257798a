"""The report of a training run: one HTML page that needs nothing beside it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from remid_jax.files import write_text
from remid_jax.reporting import drawing, page, training_figures, training_log
from remid_jax.reporting.cells import DAGGER, DASH, Cell, Column, Table
from remid_jax.reporting.cells import Row as TableRow
from remid_jax.reporting.training_log import REWARD, Log, Panel, Row, Span
from remid_jax.settings import flat

PAGE = "training.html"
STEPS_SHOWN = 2  # of each phase, with all their rollouts
FOLDED_FROM = 240  # characters: a longer text shows its beginning until it is opened


def write_training_report(workdir: Path, about: Mapping[str, object]) -> Path:
    """Writes training.html to the run's folder from the logs in it and returns its path; equal logs give equal bytes.

    `about` says what was run, as terms and values; a value that is itself a mapping is shown folded.

    Raises:
      UserError: if the folder holds no log of a training run, or a broken one, or cannot be written to.
    """
    path = Path(workdir) / PAGE
    write_text(path, html(training_log.read(Path(workdir)), about))
    return path


def html(log: Log, about: Mapping[str, object]) -> str:
    """The page. Every text of the log and of `about` is escaped."""
    vectors = {name: drawing.svg_bytes(figure) for name, figure in training_figures.figures(log).items()}
    return page.template(PAGE).render(
        title=f"Training of {about['model']}" if "model" in about else "A training run",
        about={term: value for term, value in about.items() if not isinstance(value, Mapping)},
        folded={term: flat(value) for term, value in about.items() if isinstance(value, Mapping)},
        figures={name: Markup(drawing.inline_svg(svg, name)) for name, svg in vectors.items()},
        ran=ran(log),
        phases=[_phase(log, name, spans, number) for number, (name, spans) in enumerate(log.phases.items())],
        words=_words(log),
        dagger=DAGGER,
    )


def ran(log: Log) -> Table | None:
    """The spans of the run in order, with their steps and times; None if no step was made."""
    if not log.spans:
        return None
    rows = []
    for span in log.spans:
        seconds, speed = span.values("seconds"), span.values("tokens_per_second")
        tokens, known = float(np.nansum(seconds * speed)), bool(np.isfinite(seconds).any())
        cells = [
            Cell(f"{len(span.rows)}", len(span.rows)),
            Cell(f"{span.steps[0]} to {span.steps[-1]}"),
            Cell(_duration(total := float(np.nansum(seconds))), total) if known else Cell(DASH),
            Cell(f"{tokens:,.0f}", tokens) if known else Cell(DASH),
        ]
        rows.append(TableRow(f"{span.phase}, iteration {span.iteration}" if span.iteration else span.phase, cells))
    columns = (
        Column("steps"),
        Column("of the run", "numbers of the first and the last step, from 0"),
        Column("time", "of the steps: drawing, rewards, training"),
        Column("tokens", "trained on, prompts included"),
    )
    return Table("What ran, in order", columns, rows, "phase")


def means(spans: Sequence[Span]) -> Table:
    """The mean of each metric of a phase over the first and the last quarter of each of its spans, rounded up to a step."""
    columns = [
        Column(f"{which} quarter", f"{_quarter(span)} of {len(span.rows)} steps", group)
        for span, group in zip(spans, _groups(spans), strict=True)
        for which in ("first", "last")
    ]
    rows = []
    for panel in training_log.panels(list(dict.fromkeys(column for span in spans for column in span.columns))):
        for column, label in panel.curves.items():
            cells = []
            for span in spans:
                values = span.values(column)
                cells += [_mean(values[: _quarter(span)], panel), _mean(values[-_quarter(span) :], panel)]
            if any(cell.value is not None for cell in cells):
                name = f"{panel.title}, {label}" if len(panel.curves) > 1 else panel.title
                rows.append(TableRow(f"{name} ({panel.unit})" if panel.unit else name, cells))
    return Table(f"Means of {spans[0].phase}", columns, rows, "metric")


def _words(log: Log) -> list[tuple[str, str]]:
    """What the metrics of this run mean, each once."""
    columns = dict.fromkeys(column for span in log.spans for column in span.columns)
    return [(panel.title, panel.meaning) for panel in training_log.panels(list(columns)) if panel.meaning]


def _quarter(span: Span) -> int:
    return math.ceil(len(span.rows) / 4)


def _groups(spans: Sequence[Span]) -> list[str]:
    """A name for each span of a phase, none where there is but one."""
    if len(spans) == 1:
        return [""]
    return [f"iteration {span.iteration}" if span.iteration else f"from step {span.steps[0]}" for span in spans]


def _mean(values: np.ndarray, panel: Panel) -> Cell:
    """The mean of the numbers among `values`."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Cell(DASH, reason="no number in any of these steps")
    mean = float(finite.mean())
    if panel.share:
        return Cell(f"{100 * mean:.3g}%", mean)
    return Cell(f"{mean:,.1f}" if abs(mean) >= 1000 else f"{mean:#.4g}".rstrip("."), mean)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {whole % 60:02} s" if minutes else f"{seconds:.1f} s"


def _phase(log: Log, name: str, spans: Sequence[Span], number: int) -> dict[str, object]:
    """What the template shows of a phase."""
    steps = log.last_rollouts(name, STEPS_SHOWN)
    names = list(dict.fromkeys(key for rows in steps.values() for row in rows for key in row if key.startswith(REWARD)))
    return {
        "name": name,
        "figure": f"phase{number}",
        "means": means(spans),
        "rewards": [of.removeprefix(REWARD) for of in names],
        "shown": {step: list(_groups_of_rollouts(rows, names)) for step, rows in steps.items()},
    }


def _groups_of_rollouts(rows: Sequence[Row], names: Sequence[str]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(record, its rollouts, the best reward first); the numbers of a rollout are texts, `apart` those of `names`."""
    by_record = sorted(rows, key=lambda row: str(row["record"]))  # stable: completions of one prompt stay together
    for record, members in itertools.groupby(by_record, key=lambda row: str(row["record"])):
        best = sorted(members, key=lambda row: -math.inf if row.get("reward") is None else row["reward"], reverse=True)
        yield (
            record,
            [
                {
                    "text": row["text"],
                    "start": _start(row["text"]),
                    "reward": _number(row.get("reward")),
                    "advantage": _standing(row),
                    "good": bool(row.get("kept")) or (row.get("advantage") or 0) > 0,
                    "apart": [_number(row.get(of)) for of in names],
                }
                for row in best
            ],
        )


def _standing(row: Row) -> str:
    """What a completion counted for: its advantage in GRPO; in RFT whether it was kept, in DPO that it was rejected."""
    for state in ("kept", "rejected"):
        if row.get(state):
            return state
    return _number(row.get("advantage"), "+.2f")


def _start(text: str) -> str | None:
    """The beginning of a text that is folded, cut between words where it can be; None if the text is short."""
    if len(text) <= FOLDED_FROM:
        return None
    cut = text[: FOLDED_FROM - 60]
    return (cut.rpartition(" ")[0] or cut) + " …"


def _number(value: float | None, form: str = ".3f") -> str:
    return DASH if value is None or not math.isfinite(value) else format(value, form)
