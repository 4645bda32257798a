"""The page of the documentation, made from the figures of a validation alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from remid_jax.information.measurement import ESTIMATORS
from remid_jax.reporting.markdown import paragraph, plain_table, written
from remid_jax.theory.bounds.on_worlds import BOUNDS, CERTIFIED
from remid_jax.theory.worlds.scenarios import SCENARIOS
from remid_jax.validation import copying_study, crossed_study, simultaneous_study
from remid_jax.validation.coverage_study import claims, smallest_validated
from remid_jax.validation.dial_page import dial_lines
from remid_jax.validation.fold_page import fold_lines
from remid_jax.validation.policy_study import MEANINGS

REACHED = {"information": 0.95, "published": 1.0}  # EMID/bound that an ascent must reach, else it is the search that is broken

Results = Mapping[str, Any]


def validated(found: Results) -> dict[str, int | None]:
    """The smallest n from which on coverage is 93 to 97% on every channel, by estimator."""
    return smallest_validated([row for of in found["coverage"].values() for row in of["rows"]])


def crossed_validated(found: Results) -> dict[str, int | None]:
    """The same of intervals over users and characters: clusters of the kind with fewest."""
    return crossed_study.smallest_validated([row for rows in found["crossed"].values() for row in rows])


def copying_validated(found: Results) -> dict[str, int | None]:
    """The same of what replies say beyond copying."""
    return copying_study.smallest_validated([row for rows in found["copying"].values() for row in rows])


def simultaneous_validated(found: Results) -> int | None:
    """The smallest n from which on all that a comparison of whole replies says holds as often as it should, in every world."""
    whole = [rows for name, rows in found["simultaneous"].items() if name != simultaneous_study.NOVEL]
    return simultaneous_study.smallest_validated([row for rows in whole for row in rows])


def faults(found: Results) -> list[str]:
    """Where the product says more than these figures show."""
    wrong = [
        f"{bound} is violated by {count} worlds of {name}"
        for name, of in found["worlds"].items()
        for bound in CERTIFIED
        if (count := of["bounds"][bound]["violations"])
    ]
    wrong += [
        f"{bound} is violated in {count} ascents of {name}"
        for name, of in found["ascents"].items()
        for bound in CERTIFIED
        if (count := of[bound]["violations"] + of[bound]["at_end"])
    ]
    wrong += [
        f"{bound} is violated by {of[bound]} worlds of {name} in folds"
        for name, of in found["folds"]["worlds"].items()
        for bound in ("information", "unknown_shift")
        if of[bound]
    ]
    for name, claimed in claims().items():
        shown = validated(found)[name]
        if claimed is not None and (shown is None or shown > claimed):
            wrong.append(
                f"intervals of {name} are called validated from n = {claimed}, coverage is right from {shown or 'nowhere'}"
            )
    of_crossed = crossed_validated(found)
    wrong += [
        f"intervals of {name} over several kinds are called validated from {claimed} clusters, coverage is right from "
        f"{of_crossed[name] or 'nowhere'}"
        for name, claimed in crossed_study.claims().items()
        if claimed is not None and ((shown := of_crossed[name]) is None or shown > claimed)
    ]
    of_copying = copying_validated(found)
    wrong += [
        f"intervals of {name} of copied and novel parts are called validated from n = {claimed}, coverage is right from "
        f"{of_copying[name] or 'nowhere'}"
        for name, claimed in copying_study.claims().items()
        if claimed is not None and ((shown := of_copying[name]) is None or shown > claimed)
    ]
    of_together, claimed = simultaneous_validated(found), simultaneous_study.claimed()
    if of_together is None or of_together > claimed:
        wrong.append(
            f"comparisons of runs are called validated from n = {claimed}, coverage is right from {of_together or 'nowhere'}"
        )
    for bound, ratio in REACHED.items():
        if (best := max(of[bound]["highest"] for of in found["ascents"].values())) < ratio:
            wrong.append(f"the ascent reaches {best:.3f} of {bound}, less than {ratio}: the search is broken")
    return wrong


def page(found: Results) -> str:
    """The whole page."""
    return "\n".join(_lines(found)).rstrip() + "\n"


def _lines(found: Results) -> Iterator[str]:
    s = found["settings"]
    yield "# What was validated, and what was found"
    yield ""
    yield from paragraph(
        "Written by `python -m experiments.validate --config.page=docs/validation.md`; every figure below is from that run "
        f"(seed {s['seed']}, {found['seconds'] / 60:.0f} minutes of work on two cores). Information is in nats."
    )
    if wrong := faults(found):
        yield from paragraph("**The product claims more than this run shows:** " + "; ".join(wrong) + ".")
    yield from _bounds(found)
    yield from _ascents(found)
    yield from _coverage(found)
    yield from _crossed(found)
    yield from _copying(found)
    yield from _simultaneous(found)
    yield from dial_lines(found["dials"])
    yield from fold_lines(found["folds"])
    yield from _bias(found)
    yield from _divergences(found)
    yield from _policies(found)
    yield from _circularity(found)


def _bounds(found: Results) -> Iterator[str]:
    yield "## Bounds on random worlds"
    yield ""
    yield from paragraph(
        f"{found['settings']['worlds']:,} worlds of each scenario (generator: `remid_jax/theory/worlds/scenarios.py`): "
        "median / 95% / highest of EMID over the bound, where EMID > 0.001. `pinned`: the share of those worlds in which the "
        "four output laws determine P - Q, so that `information_references` is EMID itself. A violation is EMID > bound + "
        "1e-9 + 1e-9 |bound|."
    )

    def cell(row: Mapping[str, Any]) -> str:
        figures = "/".join(f"{row[key]:.3f}".lstrip("0") for key in ("median", "q95", "highest"))
        return figures + (f" **{row['violations']} violations**" if row["violations"] else "")

    names = list(found["worlds"])
    rows = [[bound, *(cell(found["worlds"][name]["bounds"][bound]) for name in names)] for bound in BOUNDS]
    rows.append(["worlds with EMID > .001", *(f"{found['worlds'][name]['positive']:,}" for name in names)])
    rows.append(["pinned", *(f"{found['worlds'][name]['pinned']:.0%}" for name in names)])
    yield from plain_table(["bound", *names], rows)
    total = sum(of["bounds"][bound]["violations"] for of in found["worlds"].values() for bound in CERTIFIED)
    worlds = sum(of["worlds"] for of in found["worlds"].values())
    yield from paragraph(
        f"Certified bounds: {total} violations in {worlds:,} worlds. `published` and `published_scaled` are no bounds: W2 to "
        "W5 and W10 of `remid_jax/theory/worlds/known.py` break the first by hand, the ascent below does it everywhere."
    )
    for name in names:
        yield f"- `{name}`: {SCENARIOS[name].meaning}."
    yield ""


def _ascents(found: Results) -> Iterator[str]:
    s = found["settings"]
    yield "## The worst worlds an ascent finds"
    yield ""
    yield from paragraph(
        f"{s['restarts']} restarts of {s['steps']:,} steps for each scenario and bound, up EMID / bound on the logits of a "
        "world; a quarter begins near determinism, a quarter near P = Q. Highest ratio met:"
    )
    names, bounds = list(found["ascents"]), list(next(iter(found["ascents"].values())))

    def cell(bound: str, row: Mapping[str, Any]) -> str:
        wrong = row["violations"] + row["at_end"] if bound in CERTIFIED else 0
        figure = f"{row['highest']:.5f}" if row["highest"] < 1.5 else f"{row['highest']:.1f}"
        return figure + (f" **{wrong} violations**" if wrong else "")

    rows = ([bound, *(cell(bound, found["ascents"][name][bound]) for name in names)] for bound in bounds)
    yield from plain_table(["bound", *names], rows)
    total = sum(of[bound]["violations"] + of[bound]["at_end"] for of in found["ascents"].values() for bound in CERTIFIED)
    yield from paragraph(
        f"Certified bounds: {total} violations on the way or in the last world. A ratio of 1 means that the bound is attained: "
        "no smaller one holds for what it knows. `published` is passed wherever its Delta and its marginal divergences can be "
        "small."
    )


def _coverage(found: Results) -> Iterator[str]:
    yield "## Intervals"
    yield ""
    yield from paragraph(
        f"Coverage of nominal 95% jackknife intervals for their own population values, {found['settings']['replications']:,} "
        "replications a cell (standard error .007): EMI / R-EMID."
    )
    sizes = sorted({row["n"] for of in found["coverage"].values() for row in of["rows"]})
    rows = []
    for name, of in found["coverage"].items():
        for estimator in ESTIMATORS:
            cells = {row["n"]: f"{row['emi']:.3f} / {row['emid']:.3f}" for row in of["rows"] if row["estimator"] == estimator}
            rows.append([f"{name} (I = {of['information']:.2f}, {of['meaning']})", estimator, *(cells[n] for n in sizes)])
    yield from plain_table(["world", "estimator", *(f"n = {n}" for n in sizes)], rows)
    shown = ", ".join(f"`{name}` from n = {n}" if n else f"`{name}` nowhere" for name, n in validated(found).items())
    yield from paragraph(
        f"Within 93 to 97% in every cell: {shown}. The product marks intervals from fewer lineages as unvalidated "
        f"({', '.join(f'{name} {n}' for name, n in claims().items())})."
    )


def _crossed(found: Results) -> Iterator[str]:
    yield "### Users and characters crossed"
    yield ""
    yield from paragraph(
        "The same on worlds in which the policy's loss has effects of users, of characters and of their pairs "
        "(`remid_jax/validation/crossed_study.py`), by `club`: intervals over both kinds of clusters, with the degrees of "
        "freedom of the kind with fewest; half as many replications. EMI / R-EMID; the shifted category has the same users "
        "and other characters."
    )
    rows: dict[str, dict[tuple[str, str], str]] = {}
    for world, of_world in found["crossed"].items():
        for row in of_world:
            if row["estimator"] == "club":
                cell = f"{row['emi']:.3f} / {row['emid']:.3f}"
                rows.setdefault(row["design"], {})[world, row["way"]] = cell
    worlds = list(found["crossed"])
    yield from plain_table(
        ["users x characters", *(f"{name}: {crossed_study.WORLDS[name].meaning}" for name in worlds)],
        ([design, *(cells[world, "both"] for world in worlds)] for design, cells in rows.items()),
    )
    design, cells = next(iter(rows.items()))
    ways = [way for way in crossed_study.WAYS if (worlds[0], way) in cells]
    yield from paragraph(f"What other clusters would have said of {design}, by `club`:")
    yield from plain_table(["clusters", *worlds], ([way, *(cells[world, way] for world in worlds)] for way in ways))
    shown = ", ".join(
        f"`{name}` from {n} clusters" if n else f"`{name}` nowhere" for name, n in crossed_validated(found).items()
    )
    lowest = min(min(row["emi"], row["emid"]) for of in found["crossed"].values() for row in of if row["way"] == "both")
    yield from paragraph(
        f"Within 93 to 97% in every cell and all larger ones: {shown}; the lowest coverage of any estimator is {lowest:.3f}. "
        "These intervals are too wide rather than too narrow: few clusters of one kind give the sum of two variances more "
        "degrees of freedom than are counted, and the sum is never taken for less than one kind alone."
    )


def _copying(found: Results) -> Iterator[str]:
    yield "### Copied and novel parts"
    yield ""
    yield from paragraph(
        "The same of what replies say beyond copying (`remid_jax/validation/copying_study.py`): EMI by `club` token_rate "
        "(`club`), identified of the policy minus golden (`identified`) and of the policy (`policy`), and "
        "misplaced_equivalent (`misplaced`), of whole replies and of their novel part; in IDTest / its change to the shifted "
        "category. In `calm` and `heavy` all is novel; in `copying` some replies copy, with lognormal gains. Coverage is of "
        "the tables that have a number; in brackets their share where it is not all of them."
    )
    sizes = sorted({row["n"] for rows in found["copying"].values() for row in rows})

    def cell(row: Mapping[str, Any]) -> str:
        return " / ".join(
            written(row[term]) + (f" ({shown:.0%})" if (shown := row[f"{term}_shown"]) < 1 else "") for term in ("emi", "emid")
        )

    lines = []
    for name, rows in found["copying"].items():
        for key in dict.fromkeys((row["quantity"], row["view"]) for row in rows):
            of_sizes = {row["n"]: cell(row) for row in rows if (row["quantity"], row["view"]) == key}
            lines.append([name, " ".join(key), *(of_sizes[n] for n in sizes)])
    yield from plain_table(["world", "quantity", *(f"n = {n}" for n in sizes)], lines)
    shown = ", ".join(f"`{name}` from n = {n}" if n else f"`{name}` nowhere" for name, n in copying_validated(found).items())
    claimed = ", ".join(f"{name} {n or 'never'}" for name, n in copying_study.claims().items())
    yield from paragraph(
        f"Within 93 to 97% in every cell: {shown}, `club` of the novel part alone. The product marks intervals from fewer "
        f"lineages as unvalidated ({claimed}). `club` of whole replies on `copying` is what heavy copying does to an interval "
        "that is validated elsewhere."
    )


def _simultaneous(found: Results) -> Iterator[str]:
    yield "### Runs compared"
    yield ""
    yield from paragraph(
        "Three runs against a baseline in 12 categories, by `club` of whole replies, and of the novel part of replies that "
        "copy (`remid_jax/validation/simultaneous_study.py`): how often "
        "all 95% intervals of differences hold together, of R-EMID (36 cells) and of EMI besides (75 cells); single intervals "
        "by themselves; how often all four rank sets hold the true ranks, a best run is named, and a wrong one is; how often "
        "the smallest difference that one table states with 80% is found in another; and the mean critical value, of 75 cells."
    )
    columns = ("emid", "both", "single", "ranks", "best", "wrong_best", "found", "critical")
    yield from plain_table(
        [
            "world",
            "n",
            "36 cells",
            "75 cells",
            "one cell",
            "rank sets",
            "best named",
            "wrongly",
            "difference found",
            "critical",
        ],
        (
            [name, row["n"], *(row[column] for column in columns)]
            for name, rows in found["simultaneous"].items()
            for row in rows
        ),
    )
    shown, claimed = simultaneous_validated(found), simultaneous_study.claimed()
    yield from paragraph(
        f"Intervals within 93 to 97%, rank sets at 95% or more and differences found in 76 to 84%, in every world of whole "
        f"replies: {f'from n = {shown}' if shown else 'nowhere'}. The product calls these comparisons validated from "
        f"{claimed} lineages with other replies, those of the novel part nowhere."
    )


def _bias(found: Results) -> Iterator[str]:
    of = found["bias"]
    yield "## Bias and RMSE"
    yield ""
    yield from paragraph(
        f"Golden replies of the world `misjudged`, I = {of['information']:.3f}; the critic q is mixed with its mean over "
        "contexts (the smoothing). Bias / RMSE against I over 400 tables; no estimator but `mixture_raw` of a right critic "
        "estimates I itself."
    )
    estimators = list(of["rows"][0]["of"])
    yield from plain_table(
        ["smoothing", "n", *estimators],
        (
            [row["smoothing"], row["n"], *(
                f"{row['of'][name]['mean'] - of['information']:+.2f} / {row['of'][name]['rmse']:.2f}" for name in estimators
            )]
            for row in of["rows"]
        ),
    )  # fmt: skip
    spread = ", ".join(f"{int(count):,} pairs {value:.3f}" for count, value in of["pairs"].items())
    yield from paragraph(f"Standard deviation of `club` at n = 100 by mismatched pairs: {spread}.")


def _divergences(found: Results) -> Iterator[str]:
    yield "## Divergences from samples"
    yield ""
    yield from paragraph(
        f"Mixtures of Gaussians of known D_JS, random Fourier features, {found['settings']['draws']} draws of 32 a side: how "
        "often the 95% lower limit holds, how often the null is rejected at 5%, and the mean estimates."
    )
    keys = ("divergence", "representation_holds", "classifier_holds", "rejected", "excess", "classifier")
    header = ["D_JS", "representation limit holds", "classifier limit holds", "null rejected", "mean excess", "mean classifier"]
    yield from plain_table(header, ([row[key] for key in keys] for row in found["divergences"]))


def _policies(found: Results) -> Iterator[str]:
    yield "## Cross and self EMI of policies whose quality is known"
    yield ""
    yield from paragraph(
        "Exact, on eight equally likely contexts. Cross EMI asks whether replies are right for their context, self EMI how "
        "much they depend on it at all."
    )
    rows = ([name, MEANINGS[name], of["cross_club"], of["cross_mixture"], of["self"]] for name, of in found["policies"].items())
    yield from plain_table(["policy", "it answers", "cross EMI, club", "cross EMI, mixture", "self EMI"], rows)


def _circularity(found: Results) -> Iterator[str]:
    of = found["models"]
    yield "## Is it circular?"
    yield ""
    yield from paragraph(
        "The paper's referees asked whether the bound is independent of what is trained to estimate it. On finite worlds no "
        "learned estimator enters at all: every table of bounds above is exact. On language models small enough to write out "
        f"every reply (27 contexts, 259 replies, scored by the engine; probabilities sum to 1 within {of['sums']:.0e}) EMID "
        "and all bounds are exact as well, and the estimator shows only in cross terms:"
    )
    rows = [
        [name, terms["golden_id"], terms["golden_shifted"], terms["emi_id"], terms["emid"]]
        for name, terms in of["estimators"].items()
    ]
    yield from plain_table(["estimator", "Ihat(golden), ID", "Ihat(golden), shifted", "EMI, ID", "EMID by club"], rows)
    sampled = "; ".join(
        f"{name}: {row['mean']:.3f} against {row['target']:.3f} (RMSE {row['rmse']:.3f})" for name, row in of["sampled"].items()
    )
    bounds = ", ".join(f"{name} {of['bounds'][name]:.3f}" for name in ("information_references", "layered", "information"))
    yield from paragraph(
        f"Exact self EMID {of['emid']:.4f}, at most {bounds} (published: {of['bounds']['published']:.1f}). Ihat(golden) from "
        f"64 sampled contexts, mean over 400 samples against its population value: {sampled}."
    )
    if found["real"] is not None:
        real = found["real"]
        yield from paragraph(
            f"On a real run (`{real['source']}`, {real['unit']}) the terms under two estimators, the same model with and "
            "without reasoning in its context:"
        )
        scorers = list(next(iter(real["terms"].values())))
        header = ["category", *(f"{term}, {scorer}" for term in ("Ihat(golden)", "EMI", "EMID") for scorer in scorers)]
        yield from plain_table(header, (
            [name, *(terms[scorer].get(term) for term in ("golden", "emi", "emid") for scorer in scorers)]
            for name, terms in real["terms"].items()
        ))  # fmt: skip
