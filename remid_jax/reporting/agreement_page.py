"""The page of agreement with scores, from what agreement.json holds alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from remid_jax.information.agreement import SYSTEM
from remid_jax.information.pointwise import BASELINES
from remid_jax.information.rank_agreement import MEASURES
from remid_jax.reporting import markdown
from remid_jax.reporting.cells import DAGGER, Column, Row, Table, cell
from remid_jax.reporting.markdown import paragraph
from remid_jax.reporting.subjects import Results

TOLD = ("club token_rate", "novel club token_rate", "identified", "novel identified", "loglik without context", "tokens")
"""The quantities of the sentences: chosen before any score was seen, so none of them is the best of many."""
OF_SYSTEMS = ("club token_rate", "novel club token_rate", "identified", "novel identified", "loglik in context", "tokens",
              "copied")  # fmt: skip
"""The quantities whose means the page shows by system."""
MEANINGS = {
    "spearman": "correlation of ranks",
    "kendall": "tau-b",
    "pairs": "of two replies to one context with unlike scores, how often numbers order them as scores do; by chance 50%",
    "systems": "correlation of ranks of the systems' means",
}


def sentences(found: Results) -> list[str]:
    """Returns for each score how the quantities of `TOLD` agree with it, by ranks."""
    lines = []
    for score, of_score in found["agreement"].items():
        numbers = [f"{name} {_written(of_score[name]['spearman'])}" for name in TOLD]
        lines.append(f"{score}: Spearman of {', '.join(numbers)}")
    return lines


def _written(number: Mapping[str, Any]) -> str:
    shown = cell(number)  # type: ignore[arg-type]  # JSON's Estimate
    return f"{shown.text} {shown.interval}".strip()


def page(found: Results, source: str, figure: str) -> str:
    """Returns the page in Markdown, with a figure of that name beside it; `source` names the replies."""
    return "\n".join(_lines(found, source, figure)).rstrip() + "\n"


def _lines(found: Results, source: str, figure: str) -> Iterator[str]:
    counts, model, settings = found["counts"], found["model"], found["settings"]
    yield "# What agrees with the scores?"
    yield ""
    yield from paragraph(
        f"Written by `python -m experiments.agreement --config.input={source}`: {counts['replies']} replies of "
        f"{len(found['systems'])} systems to {counts['contexts']} contexts ({counts['lineages']} lineages), measured by "
        f"`{model['source']}` in {model['dtype']}, each in its own context and in {counts['others']} others; seed "
        f"{settings['seed']}. Of each reply the page has pointwise information about its own context (`club`, `leave_one_out`, "
        "`prompt_marginal`), whole and by what its tokens are (novel, echo, quote), how often it is traced to its own context "
        f"(`identified`), and what needs no other context: {', '.join(f'`{name}`' for name in BASELINES)}. Information is in "
        "nats a token; agreement.json has it in nats a reply, too."
    )
    yield f"![Agreement by quantity]({figure})"
    yield ""
    for score, of_score in found["agreement"].items():
        yield f"## {score}"
        yield ""
        yield from markdown.drawn(_agreement(of_score))
        yield ""
    yield "## Means of systems"
    yield ""
    yield from markdown.drawn(_systems(found["systems"], list(found["agreement"])))


def _agreement(of_score: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = [Column(measure, MEANINGS[measure]) for measure in MEASURES]
    shown = {name: of for name, of in of_score.items() if not name.endswith(" response")}
    rows = [Row(name, [cell(of[measure]) for measure in MEASURES]) for name, of in shown.items()]
    return Table("agreement", columns, rows, "quantity", [_interval_note(of_score)])


def _interval_note(of_score: Mapping[str, Mapping[str, Any]]) -> str:
    """What the intervals are over, and that their coverage was not checked."""
    intervals = [of[measure]["interval"] for of in of_score.values() for measure in MEASURES if of[measure]["interval"]]
    if not intervals:
        return "There are no intervals: too few contexts."
    kinds = next((of["kinds"] for of in intervals if "kinds" in of), None)
    over = f"{kinds['context']} contexts and {kinds[SYSTEM]} systems" if kinds else f"{intervals[0]['clusters']} contexts"
    also = "; agreement.json has those over contexts alone, which are about these systems only" if kinds else ""
    return f"In brackets {intervals[0]['level']:.0%} intervals over {over}{also}. {DAGGER} Not validated."


def _systems(systems: Mapping[str, Mapping[str, Any]], scores: Sequence[str]) -> Table:
    columns = [*(Column(score) for score in scores), *(Column(name) for name in OF_SYSTEMS)]
    rows = [
        Row(system, [*(cell(of["scores"][score]) for score in scores), *(cell(of["quantities"][name]) for name in OF_SYSTEMS)])
        for system, of in systems.items()
    ]
    return Table("systems", columns, rows, "system", [f"In brackets intervals over contexts. {DAGGER} Not validated."])
