"""The report of an evaluation: one HTML page that needs nothing beside it, and its figures as files."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from remid_jax.errors import UserError
from remid_jax.files import write_bytes, write_text
from remid_jax.reporting import cells, dial_tables, drawing, figures, page, shift_tables, subjects, tables
from remid_jax.reporting.answers import answers
from remid_jax.reporting.cells import Results
from remid_jax.settings import flat

Sample = Mapping[str, Any]

SAMPLES_SHOWN = 12
FIGURES = ("r_emid", "dials", "emi_terms", "replies", "self_information", "attribution", "bounds", "risk")


def write(results: Results, workdir: str | Path, samples: Sequence[Sample] = ()) -> list[Path]:
    """Writes report.html and figures/*.svg, *.png to `workdir`, and returns them; the same arguments give the same bytes.

    `results` is the dictionary of results.json. `samples` hold record, category, user_persona, character, last_query, golden,
    reasoning, reasoning_fallback, reply and reply_finished; the first of each category is shown.

    Raises:
      UserError: if the folder cannot be written to.
    """
    folder = Path(workdir) / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}): name a workdir you may write to") from error
    drawn = figures.figures(results)
    vectors, written = _vectors(drawn), [Path(workdir) / "report.html"]
    for name in FIGURES:
        if name in drawn:
            write_bytes(folder / f"{name}.svg", vectors[name])
            write_bytes(folder / f"{name}.png", drawing.png_bytes(drawn[name]))
            written += [folder / f"{name}.svg", folder / f"{name}.png"]
        else:  # an earlier run's figure would contradict this run's report
            for suffix in ("svg", "png"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    write_text(written[0], html(results, vectors, samples))
    return written


def page_of(results: Results, samples: Sequence[Sample] = ()) -> str:
    """Returns the page alone, with its figures inside it."""
    return html(results, _vectors(figures.figures(results)), samples)


def _vectors(drawn: Mapping[str, Figure]) -> dict[str, bytes]:
    return {name: drawing.svg_bytes(figure) for name, figure in drawn.items()}


def html(results: Results, vectors: Mapping[str, bytes], samples: Sequence[Sample] = ()) -> str:
    """The page, with the SVG `vectors` of the figures inside it. Every text from `results` and `samples` is escaped."""
    scorer = cells.headline_key(results)[2]
    estimators = results["estimates"]["estimators"]
    has_id = any("emid" in category[scorer] for category in results["estimates"]["categories"].values())
    return page.template("report.html").render(
        results=results,
        figures={name: Markup(drawing.inline_svg(svg, name)) for name, svg in vectors.items()},
        measured=list(_measured(results)),
        excluded=[
            (name, row["record"], row["tokens"]) for name, found in results["categories"].items() for row in found["excluded"]
        ],
        answers=answers(results) if results["estimates"]["verdict"]["shifts"] else None,
        headline=tables.headline(results),
        conditions=tables.conditions(results),
        dials=dial_tables.dial_tables(results),
        no_headline=results["estimates"]["headline"].get("reason"),
        terms=tables.terms(results),
        by_estimator={
            of: [tables.estimators(results, of, term) for term in (("emid", "emi", "estimator_shift") if has_id else ("emi",))]
            for of in estimators
        },
        calibration={of: tables.calibration(results, of) for of in estimators},
        self_information=tables.self_information(results),
        controls=tables.controls(results),
        **_shifts(results),
        diagnostics=tables.diagnostics(results),
        samples=_first_of_each_category(samples),
        config=flat(results["config"]),
        r=cells.prefix(scorer),
        reference=subjects.reference(results),
        risky=shift_tables.predicted_from(results),
        title=subjects.title(results),
        log_n=math.log(results["estimates"]["n"]),
        given=cells.given,
        level=cells.level(results),
        dagger=cells.DAGGER,
    )


def _shifts(results: Results) -> dict[str, cells.Table | list[cells.Table] | None]:
    """The tables of divergences, attribution, bounds and risk, None where there is nothing to show."""
    if not shift_tables.shift_data(results):
        return dict.fromkeys(("divergences", "attribution", "bounds", "risks"))
    return {
        "divergences": shift_tables.divergences(results),
        "attribution": shift_tables.attribution(results),
        "bounds": shift_tables.bounds(results),
        "risks": shift_tables.risks(results),
    }


def _measured(results: Results) -> Iterator[tuple[str, str]]:
    """What was measured, as terms and descriptions."""
    policy, estimator, program = results["policy"], results["estimator"], results["program"]
    found = results["categories"].values()
    if policy["model"] is None:
        yield "policy", f"unknown model, its replies from {policy['replies']}"
    else:
        replies = "replies generated" if policy["replies"] == "generated" else f"replies from {policy['replies']}"
        adapter = f" with the adapter {policy['adapter']}" if policy.get("adapter") else ""
        asked = policy.get("endpoint")
        how = f"{asked['model']} at {asked['base_url']}" if asked else policy["dtype"]
        yield "policy", f"{policy['model']} ({how}){adapter}, {replies}"
    reasoning = "generated by it" if estimator["reasoning"] == "generated" else f"from {estimator['reasoning']}"
    yield "estimator", f"{estimator['model']} ({estimator['dtype']}){_trained(estimator)}, reasoning {reasoning}"
    yield "benchmark", results["config"]["benchmark"]["source"]
    records, excluded = sum(c["records"] for c in found), sum(len(c["excluded"]) for c in found)
    yield "records", f"{records} in {len(found)} categories, {excluded} more excluded as too long"
    by_category = results["estimates"]["categories"].values()
    subsampled = any(category["subsamples"] > category.get("blocks", 1) for category in by_category)
    yield (
        "contexts",
        cells.contexts(results["estimates"]) + (", averaged over subsamples of larger ones" if subsampled else ""),
    )
    if horizon := results["estimates"].get("horizon"):
        yield "horizon", f"the first {horizon} tokens of a reply (config.horizon, else config.policy.max_reply)"
    yield (
        "program",
        f"remid-jax {program['version']}" + (f", revision {program['git_revision']}" if program["git_revision"] else ""),
    )


def _trained(estimator: Mapping[str, Any]) -> str:
    if (adapters := estimator.get("adapters")) is None:
        return ""
    names = ", ".join(f"{pair['name']} ({pair['records']} records)" for pair in adapters["pairs"])
    return f" with trained adapters of {adapters['folder']}, {adapters['protocol'].replace('_', '-')}: {names}"


def _first_of_each_category(samples: Sequence[Sample]) -> list[Sample]:
    first: dict[str, Sample] = {}
    for sample in samples:
        first.setdefault(sample["category"], sample)
    return list(first.values())[:SAMPLES_SHOWN]
