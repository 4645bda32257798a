"""Tables of what stands under "bounds" in the estimates: divergences of contexts, bounds on self EMID, risk."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remid_jax.information.score_table import FACTORS
from remid_jax.reporting.cells import DASH, Cell, Column, Results, Row, Table, cell, given, groups, headline_key, plain
from remid_jax.reporting.subjects import at_horizon, reference, risky
from remid_jax.shifts.attribution import NAMES, WHOLE
from remid_jax.theory.bounds.balls import BALLS

JOINT = NAMES[WHOLE]
LOW = (
    "All of these tend to be too low, with few texts most where three factors are looked at together: contexts are at least as "
    "far apart as the largest says, and the bounds take the largest, that of two factors together included."
)


def shift_data(results: Results) -> Mapping[str, Any]:
    """The section, {} in results without one."""
    return results["estimates"].get("bounds") or {}


def compared(results: Results) -> list[str]:
    """The categories whose contexts were embedded beside their reference's, in the order of every table."""
    data = shift_data(results).get("categories", {})
    return [name for _, names in groups(results) for name in names if "of" in data.get(name, {}).get("divergence", {})]


def bounded(results: Results) -> list[str]:
    """The categories that have a bound under the headline's scorer."""
    scorer = headline_key(results)[2]
    data = shift_data(results).get("categories", {})
    return [
        name for _, names in groups(results) for name in names if "emid" in data.get(name, {}).get("bounds", {}).get(scorer, {})
    ]


def _rows(results: Results, of_category: Callable[[str], Sequence[Cell]]) -> list[Row]:
    return [Row(name, of_category(name)) for shift, names in groups(results) if shift is not None for name in names]


def divergences(results: Results) -> Table:
    """How far the contexts of each category are from those of its reference, by factor and jointly."""
    data, names = shift_data(results)["categories"], set(compared(results))
    columns = [
        Column(kind, meaning, factor, interval=False)
        for factor in (*FACTORS, "all three")
        for kind, meaning in (
            ("representation", "representation divergence of embeddings above what relabelling gives, nats of at most 0.69"),
            ("p", "share of relabellings at least as far apart"),
            ("classifier", "lower bound by a classifier that never saw the text's own lineage, nats"),
        )
    ]

    def row(name: str) -> list[Cell]:
        if name not in names:
            return [Cell(DASH, reason=data[name]["divergence"]["reason"]) for _ in columns]
        found = data[name]["divergence"]["of"]
        return [
            of_subset
            for subset in (*FACTORS, JOINT)
            for of_subset in (
                cell(found[subset]["excess"]),
                plain(found[subset]["p_value"], ".3f"),
                cell(found[subset]["classifier"]),
            )
        ]

    weak = [name for name in names if data[name]["divergence"]["underpowered"]]
    notes = [LOW]
    if weak:
        where = "every category" if len(weak) == len(names) else ", ".join(weak)
        notes.append(f"Underpowered: fewer than 32 texts a side in {where}.")
    return Table(
        f"How far contexts are from those of {reference(results)}, nats",
        columns,
        _rows(results, row),
        notes=notes,
    )


def attribution(results: Results) -> Table:
    """Which factor's texts make the difference, and which one the bound on self EMID blames."""
    data, names, scorer = shift_data(results)["categories"], set(compared(results)), headline_key(results)[2]
    columns = [
        *(Column(factor, "share of the joint divergence above chance, Shapley over six orders", "share") for factor in FACTORS),
        *(
            Column(factor, "B_k: sensitivity of the policy times the factor's shift", "bound B", interval=False)
            for factor in FACTORS
        ),
        *(Column(factor, "e_k: what the factor adds to (E_P - E_Q) g", "signed e", interval=False) for factor in FACTORS),
    ]

    def row(name: str) -> list[Cell]:
        if name not in names:
            return [Cell(DASH, reason=data[name]["divergence"]["reason"]) for _ in columns]
        shares = data[name]["divergence"]["shares"]
        found = [plain(shares.get(factor), ".0%", shares.get("reason", "")) for factor in FACTORS]
        of_scorer = data[name]["bounds"].get(scorer, data[name]["bounds"])
        layered = of_scorer.get("layered", of_scorer)
        if "reason" in layered:
            return found + [Cell(DASH, reason=layered["reason"])] * 6
        return found + [cell(layered[factor][part]) for part in ("bound", "signed") for factor in FACTORS]

    return Table("What each factor contributes (B and e: nats per reply)", columns, _rows(results, row))


def bounds(results: Results) -> Table:
    """The measured self EMID beside its bounds, and what they are made of."""
    data, scorer, names = shift_data(results)["categories"], headline_key(results)[2], set(bounded(results))
    columns = [
        Column("self EMID", "measured with left-out mixtures; it mixes two scorers, so compare it with these bounds alone"),
        Column("plug_in", "bound with every term estimated", interval=False),
        Column("unknown_shift", "bound that needs no divergence", interval=False),
        Column("(E_P - E_Q) g", "the part of self EMID that both replace", "terms", interval=False),
        Column("T", "output term, which they share", "terms", interval=False),
        Column("Var g", "from independent halves of the replies, nats^2", "terms", interval=False),
        Column("D_JS", "largest estimate over all factors", "terms", interval=False),
    ]

    def row(name: str) -> list[Cell]:
        of_scorer = data[name]["bounds"].get(scorer, data[name]["bounds"])
        if name not in names:
            return [Cell(DASH, reason=of_scorer["reason"]) for _ in columns]
        plug_in = of_scorer["plug_in"]
        reason = plug_in.get("reason", "")
        return [
            cell(of_scorer["emid"]), cell(plug_in.get("bound"), reason), cell(of_scorer["unknown_shift"]["bound"]),
            cell(of_scorer["shift"]), cell(of_scorer["output"]["sum"]), cell(of_scorer["variance"]),
            cell(plug_in.get("divergence"), reason),
        ]  # fmt: skip

    return Table(
        f"Bounds on self EMID, nats per reply, golden term {given(scorer)}",
        columns,
        _rows(results, row),
        notes=[*at_horizon(results), *_folds(results), *_exceeded(results), *correlations(results)],
    )


def _exceeded(results: Results) -> list[str]:
    """Where the measured self EMID lies above what should bound it: both are estimates."""
    data, scorer = shift_data(results)["categories"], headline_key(results)[2]
    sections = {name: data[name]["bounds"][scorer] for name in bounded(results)}
    found = []
    for bound in ("plug_in", "unknown_shift"):
        ends = {name: of[bound].get("bound") for name, of in sections.items()}
        known = {name: end["value"] for name, end in ends.items() if end is not None and end["value"] is not None}
        if above := [name for name, end in known.items() if (sections[name]["emid"]["value"] or 0.0) > end]:
            found.append(f"Self EMID as measured lies above {bound} in {len(above)} of {len(known)}: {', '.join(above)}.")
    return found


def _folds(results: Results) -> list[str]:
    data, scorer = shift_data(results)["categories"], headline_key(results)[2]
    return _blocks(max((data[name]["bounds"][scorer].get("blocks", 1) for name in bounded(results)), default=1))


def _blocks(count: int) -> list[str]:
    return [f"Mean over {count} folds of the cross-fitted estimator, each of its own contexts."] if count > 1 else []


def correlations(results: Results) -> list[str]:
    """One sentence a bound: how well it ranks the categories."""
    found = []
    for bound, of_bound in shift_data(results)["correlation"][headline_key(results)[2]].items():
        if "reason" in of_bound:
            continue
        texts = [f"{kind} {cell(of_bound[kind]).text} {cell(of_bound[kind]).interval}" for kind in ("pearson", "spearman")]
        found.append(f"{bound} with self EMID over {of_bound['categories']} categories: {', '.join(texts)}.")
    return found


def predictions(results: Results) -> dict[str, Mapping[str, Any]]:
    """Returns the risk that its contexts alone predict of each reference that has a prediction, under the headline's scorer."""
    data, scorer = shift_data(results), headline_key(results)[2]
    of_references = {risky(results): data.get("risk", {})} | data.get("other_risks", {})
    return {name: risk[scorer] for name, risk in of_references.items() if "balls" in risk.get(scorer, {})}


def predicted_from(results: Results) -> str:
    """Returns from whose contexts risk is predicted: the one reference by its name, or "each reference"."""
    names = [*predictions(results)] or [risky(results)]
    return names[0] if len(names) == 1 else "each reference"


def risks(results: Results) -> list[Table]:
    """The predicted worst self EMID at every radius, a table for each reference that has a prediction."""
    return [_risk(name, risk, at_horizon(results)) for name, risk in predictions(results).items()]


def _risk(reference: str, found: Mapping[str, Any], notes: list[str]) -> Table:
    columns = [
        Column(part, meaning, ball, interval=part == "risk")
        for ball in BALLS
        for part, meaning in (
            ("attack", "found by reweighting the contexts"),
            ("linear", "without the penalty: if golden replies are less noisy than the policy's"),
            ("risk", "with it"),
        )
    ]
    rows = []
    for k, radius in enumerate(found["radii"]):
        cells = []
        for ball in BALLS:
            of_ball = found["balls"][ball]
            attack = plain(of_ball["attack"][k], "+.2f", "it rests on fewer than half of the contexts")
            cells += [attack, cell(of_ball["linear"][k]), cell(of_ball["risk"][k])]
        rows.append(Row(f"{radius:g}", cells))
    title = f"Worst self EMID over a ball of shifts, nats per reply, from {reference} alone"
    return Table(title, columns, rows, "radius (nats)", [*notes, *_blocks(found.get("blocks", 1)), *_passed(found)])


def _passed(found: Mapping[str, Any]) -> list[str]:
    """Where the attack finds more than the risk allows: there are too few contexts for what is estimated to hold."""
    radii = {}
    for ball in BALLS:
        of_ball = found["balls"][ball]
        pairs = zip(found["radii"], of_ball["attack"], of_ball["risk"], strict=True)
        above = [radius for radius, attack, risk in pairs if attack is not None and attack > 1.02 * (risk["value"] or 0.0)]
        if above:
            radii[ball] = min(above)
    if not radii:
        return []
    told = ", ".join(f"{ball} from {radius:g}" for ball, radius in radii.items())
    return [f"The attack finds more than the risk says ({told}): so far these contexts are too few to carry it."]
