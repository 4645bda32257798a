"""Every table of an evaluation's report as data: it is printed on a terminal and in HTML, and tests read it here.

Input is the dictionary of results.json; what stands under its "estimates" is laid out in `remid_jax.information.estimates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remid_jax.information.estimates import SATURATED_AT_MOST
from remid_jax.information.intervals import Estimate
from remid_jax.information.verdict import emi_of
from remid_jax.reporting.cells import (
    DASH,
    UNITS,
    Cell,
    Column,
    Results,
    Row,
    Table,
    cell,
    contexts,
    given,
    headline_key,
    measure,
    plain,
    prefix,
    rows_of,
    write_value,
)
from remid_jax.reporting.subjects import at_horizon, compared_with, reference, references

POLICIES = {
    "policy": "the evaluated policy",
    "golden": "golden replies",
    "golden_other": "golden reply of another context",
    "constant": "one constant reply",
    "golden_half": "golden reply cut to half",
    "parrot": "the user's last turn, said back",
    "reciter": "the user's profile, recited",
}
"""The policy under evaluation and the controls beside it, in words."""
COMPARED = ("club", "mixture", "leave_one_out", "prompt_marginal")
COPIED = ("echo", "long_quote")
RATE_WORDS = "club token_rate (nats per token)"
NO_REFERENCE = "the category is compared with none"


def headline(results: Results) -> Table:
    """What an evaluation is run for: R-EMID by category and shift, of whole replies and of what is new in them, how often
    replies are traced to their contexts, and how much of them is said back."""
    estimates, diagnostics = results["estimates"], results["categories"]
    _, _, scorer = headline_key(results)
    r, head = prefix(scorer), estimates["headline"]
    parted = all("copied" in category for category in estimates["categories"].values())
    view = "novel" if parted else "whole"

    def emid(of: str, name: str) -> Cell:
        if of == "categories" and diagnostics[name]["shift"] is None:
            return Cell("reference") if name in references(results) else Cell(DASH, reason=NO_REFERENCE)
        return cell(head[of][name] if head[of] else None, head.get("reason", ""))

    def novel(section: Mapping[str, Any]) -> list[Cell]:
        if not parted:
            return []
        terms = section["by_source"]
        return [cell(emi_of(section, "emid", view)) if "emid" in terms else Cell()]

    def row(name: str) -> list[Cell]:
        category = estimates["categories"][name]
        copied = [category["copied"]["policy"][source] for source in COPIED] if parted else []
        traced = cell(category[scorer]["identified"]["policy"][view])
        return [emid("categories", name), *novel(category[scorer]), traced, *map(cell, copied)]

    def shift_row(shift: str) -> list[Cell]:
        section = estimates["shifts"][shift][scorer]
        traced = cell(section["identified"]["policy"][view])
        return [emid("shifts", shift), *novel(section), traced, *(Cell() for _ in (COPIED if parted else ()))]

    lost = f"{r}EMI on {reference(results)} minus {r}EMI here: larger = the policy generalises worse"
    columns = [Column(f"{r}EMID", lost)]
    if parted:
        columns.append(
            Column(f"novel {r}EMID", f"the same of what replies tell beyond saying their context back, {RATE_WORDS}")
        )
    of_what = "the novel tokens of a reply" if parted else "a reply"
    columns.append(Column("identified", f"how often {of_what} fit their own context better than another; by chance 50%"))
    if parted:
        columns += [Column("echoed", "share of tokens in runs that stand in the dialogue")]
        columns += [Column("quoted", "share of tokens in long runs that stand in a profile")]
    title = f"{r}EMID, {measure(head['estimator'], head['unit'])}, contexts: {contexts(estimates)}"
    return Table(title, columns, rows_of(results, row, shift_row), notes=compared_with(results))


def conditions(results: Results) -> Table:
    """What to read beside R-EMID: the EMI it is made of, and what else may have moved it."""
    estimates, diagnostics = results["estimates"], results["categories"]
    estimator, unit, scorer = headline_key(results)
    r = prefix(scorer)

    def row(name: str) -> list[Cell]:
        section, replies = estimates["categories"][name][scorer], diagnostics[name]["replies"]
        shift = section.get("estimator_shift")
        golden_drop = Cell() if diagnostics[name]["shift"] is None else cell(shift and shift[estimator][unit], NO_REFERENCE)
        share = plain(replies["in_language"], ".0%", replies.get("in_language_reason") or "no replies")
        return [
            cell(section["emi"][estimator][unit]), golden_drop,
            Cell(f"{diagnostics[name]['language'] or ''} {share.text}".strip(), share.value, reason=share.reason),
            Cell(f"{replies['truncated']}/{diagnostics[name]['records']}", replies["truncated"]),
        ]  # fmt: skip

    def shift_row(shift: str) -> list[Cell]:
        section = estimates["shifts"][shift][scorer]
        golden_drop = cell(section["estimator_shift"][estimator][unit] if "estimator_shift" in section else None, NO_REFERENCE)
        return [cell(section["emi"][estimator][unit]), golden_drop, Cell(), Cell()]

    columns = [
        Column(f"{r}EMI", "Ihat of the policy's replies minus Ihat of the golden ones", interval=False),
        Column("golden drop", f"estimator_shift: Ihat of golden replies on {reference(results)} minus here", interval=False),
        Column("language", "of the category's users, and the share of replies in it"),
        Column("cut off", "replies truncated at the token limit"),
    ]
    title = f"{r}EMI and what else moves {r}EMID, {measure(estimator, unit)}"
    return Table(title, columns, rows_of(results, row, shift_row))


def terms(results: Results) -> Table:
    """The two terms of EMI with and without reasoning, in the headline's estimator and unit."""
    estimator, unit, _ = headline_key(results)
    scorers = results["estimates"]["estimators"]
    columns = []
    for scorer in scorers:
        columns += [Column("Ihat(golden)", "", given(scorer)), Column("Ihat(policy)", "", given(scorer))]
        columns += [Column(f"{prefix(scorer)}EMI", "Ihat(policy) - Ihat(golden)", given(scorer))]
    categories = results["estimates"]["categories"].values()
    if gained := all("reasoning_gain" in category for category in categories):
        columns.append(Column("reasoning gain", "golden log-likelihood with reasoning minus without, nats per token"))

    def row(name: str) -> list[Cell]:
        category = results["estimates"]["categories"][name]
        sides = [cell(category[s][side][estimator][unit]) for s in scorers for side in ("golden", "policy", "emi")]
        return [*sides, cell(category["reasoning_gain"]["per_token"])] if gained else sides

    return Table(f"The terms of EMI, {measure(estimator, unit)}", columns, rows_of(results, row))


def estimators(results: Results, scorer: str, term: str) -> Table:
    """One term, "emid", "emi" or "estimator_shift", by all estimators and units; `relative` beside "emi"."""
    keys = [("club", "token_rate"), *((name, unit) for unit in ("response", "per_token", "per_char") for name in COMPARED)]
    columns = [Column(name, UNITS[unit], unit, interval=False) for name, unit in keys]
    if term == "emi":
        columns += [Column(name, "Ihat(policy) / Ihat(golden) - 1", "relative", interval=False) for name in COMPARED]

    def cells(section: Mapping[str, Any]) -> list[Cell]:
        found = [cell(section[term][name][unit] if term in section else None, NO_REFERENCE) for name, unit in keys]
        if term != "emi":
            return found
        relative = section.get("relative")
        return found + [cell(relative[name]) if relative else Cell() for name in COMPARED]

    def row(name: str) -> list[Cell]:
        is_reference = term != "emi" and results["categories"][name]["shift"] is None
        return [Cell() for _ in columns] if is_reference else cells(results["estimates"]["categories"][name][scorer])

    rows = rows_of(results, row, lambda shift: cells(results["estimates"]["shifts"][shift][scorer]))
    r = prefix(scorer)
    name = {"emid": f"{r}EMID", "emi": f"{r}EMI", "estimator_shift": "Golden drop (estimator_shift)"}[term]
    notes = ["Nats per token (token_rate, per_token), per reply (response), per character (per_char)."]
    title = f"{name} by all estimators, {given(scorer)}"
    return Table(title, columns, [row for row in rows if any(cell.text for cell in row.cells)], notes=notes)


def calibration(results: Results, scorer: str) -> Table:
    """How far `mixture` can be trusted: calibrated beside raw, the shares saturated and retrieved."""
    columns = [
        Column(name, meaning, f"{side} replies")
        for side in ("golden", "policy")
        for name, meaning in (
            ("mixture", "with the critic calibrated on the other fold, nats per reply"),
            ("mixture_raw", "the same with a = 1 and no offsets, nats per reply"),
            ("saturated", "share of replies within 0.1 nat of log n"),
            ("retrieved", "share of replies whose own context scores highest"),
        )
    ]

    def row(name: str) -> list[Cell]:
        section = results["estimates"]["categories"][name][scorer]
        found = []
        for side in (section["golden"], section["policy"]):
            found += [cell(side["mixture"]["response"]), cell(side["mixture_raw"]["response"])]
            found += [cell(side["saturated"]), cell(side["retrieval"])]
        return found

    scales = results["estimates"]["calibration"][scorer]["scale"]
    fitted = " and ".join(DASH if scale is None else format(scale, ".3g") for scale in scales)
    notes = [f"Scale a of the critic, for replies of fold 0 and of fold 1: {fitted}."]
    saturated = [
        name for name, category in results["estimates"]["categories"].items()
        if any((category[scorer][side]["saturated"]["value"] or 0) > SATURATED_AT_MOST for side in ("golden", "policy"))
    ]  # fmt: skip
    if saturated:
        where = "everywhere" if len(saturated) == len(results["categories"]) else ", ".join(saturated)
        notes.append(f"Saturated on over {SATURATED_AT_MOST:.0%} of replies, so its differences come out too small: {where}.")
    return Table(f"Calibration of mixture, {given(scorer)}", columns, rows_of(results, row), notes=notes)


def self_information(results: Results) -> Table:
    """Self information by the policy's own kernel, beside the golden term."""
    scorers = results["estimates"]["estimators"]
    columns = [
        Column("self information", "I(context; reply) by the policy's own kernel, mixture, nats per reply"),
        Column("per token", "nats per token", interval=False),
        Column("leave_one_out", "the same from above, nats per reply", interval=False),
        *(
            Column(f"minus Ihat(golden), {s}", "self_emi_mixed_scorers: mixes two scorers, nats per reply", interval=False)
            for s in scorers
        ),
        Column("samples a context"),
        Column("cut off", "samples that go on beyond what is scored, of all"),
    ]

    def row(name: str) -> list[Cell]:
        section = results["estimates"]["categories"][name]["self"]
        if section["self_information"] is None:
            return [Cell(DASH, reason=section["reason"]) for _ in columns]
        information, mixed = section["self_information"], section["self_emi_mixed_scorers"]
        drawn = section["samples"] * results["categories"][name]["records"]
        return [
            cell(information["response"]), cell(information["per_token"]), cell(section["leave_one_out"]),
            *(cell(mixed[scorer]) for scorer in scorers), plain(section["samples"]),
            Cell(f"{section['truncated']}/{drawn}", section["truncated"]),
        ]  # fmt: skip

    return Table("Self information of the policy", columns, rows_of(results, row), notes=at_horizon(results))


def without_golden(results: Results) -> list[str]:
    """Returns the categories without golden replies: self information is all that is known of their policy."""
    categories = results["estimates"]["categories"].items()
    return [name for name, category in categories if category["lengths"]["golden"]["tokens"]["value"] is None]


def has_self_information(results: Results) -> bool:
    return any(category["self"]["self_information"] for category in results["estimates"]["categories"].values())


def _controls(results: Results) -> tuple[str, str, dict[str, dict[str, tuple[Estimate, Estimate]]]]:
    """(estimator, unit, {policy: {category: (EMI, retrieval)}}): the headline's estimator where the controls have it."""
    estimator, unit, scorer = headline_key(results)
    controls, categories = results["estimates"]["controls"][scorer], results["estimates"]["categories"]
    if not all(estimator in by_estimator for by_category in controls.values() for by_estimator in by_category.values()):
        estimator, unit = "club", "token_rate"
    found = {"policy": {
        name: (category[scorer]["emi"][estimator][unit], category[scorer]["policy"]["retrieval"])
        for name, category in categories.items()
    }}  # fmt: skip
    for control, by_category in controls.items():
        found[control] = {name: (number[estimator][unit], number["retrieval"]) for name, number in by_category.items()}
    return estimator, unit, found


def controls(results: Results) -> Table:
    """EMI of the policy and of every control, by category."""
    estimator, unit, found = _controls(results)
    emi = f"{prefix(headline_key(results)[2])}EMI"
    shares = "own context retrieved"
    columns = [Column(POLICIES[name], "", emi) for name in found]
    columns += [Column(POLICIES[name], "", shares, interval=False) for name in found]

    def row(name: str) -> list[Cell]:
        here = [by_category.get(name) for by_category in found.values()]
        return [cell(pair and pair[i], "not scored") for i in (0, 1) for pair in here]

    note = f"{measure(estimator, unit)}. A context retrieved by chance: {1 / results['estimates']['n']:.0%}."
    return Table("Controls: policies whose quality is known", columns, rows_of(results, row), notes=[note])


def control_ranges(results: Results) -> Table:
    """The same in one row a policy: lowest, mean and highest over the categories."""
    estimator, unit, found = _controls(results)
    rows, novel = [], _novel_means(results)
    for name, by_category in found.items():
        values = [pair[0]["value"] for pair in by_category.values() if pair[0]["value"] is not None]
        shares = [pair[1]["value"] for pair in by_category.values() if pair[1]["value"] is not None]
        summaries = [min(values), sum(values) / len(values), max(values)] if values else [None] * 3
        reason = next((pair[i]["reason"] for pair in by_category.values() for i in (0, 1) if "reason" in pair[i]), "")
        cells = [Cell(DASH, reason=reason) if v is None else Cell(write_value(v, unit), v) for v in summaries]
        cells += [_mean(novel[name], reason)] if novel else []
        cells.append(plain(sum(shares) / len(shares) if shares else None, ".0%", reason))
        rows.append(Row(POLICIES[name], cells, "shift" if name == "policy" else "category"))
    emi = f"{prefix(headline_key(results)[2])}EMI"
    columns = [Column(f"lowest {emi}"), Column("mean"), Column("highest")]
    columns += [Column(f"mean novel {emi}")] if novel else []
    columns.append(Column("own context retrieved"))
    note = f"by chance {1 / results['estimates']['n']:.0%} of contexts are retrieved"
    return Table(f"Controls, {measure(estimator, unit)}, over all categories", columns, rows, "policy", [note])


def _mean(value: float | None, reason: str) -> Cell:
    return Cell(DASH, reason=reason) if value is None else Cell(write_value(value, "token_rate"), value)


def _novel_means(results: Results) -> dict[str, float | None]:
    """{policy or control: the mean over categories of its novel EMI}; empty where it is not known what replies copy."""
    _, _, scorer = headline_key(results)
    categories, controls = results["estimates"]["categories"], results["estimates"]["controls"][scorer]
    if not all("copied" in category for category in categories.values()):
        return {}
    found = {"policy": [emi_of(category[scorer], "emi", "novel")["value"] for category in categories.values()]}
    for control, by_category in controls.items():
        found[control] = [number["novel"]["club"]["token_rate"]["value"] for number in by_category.values()]
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def diagnostics(results: Results) -> Table:
    """What else may move the numbers: exclusions, languages, truncations, lengths, fallbacks."""
    columns = [
        Column("scored", "", "records"), Column("excluded", "prompt over the token limit", "records"),
        Column("cut off", "at the token limit", "replies"), Column("empty", "", "replies"),
        Column("policy", "", "in the user's language"), Column("golden", "", "in the user's language"),
        Column("languages of the replies", "told apart among the benchmark's"),
        Column("policy", "", "tokens a character"), Column("golden", "", "tokens a character"),
        Column("policy", "", "tokens a reply", interval=False), Column("golden", "", "tokens a reply", interval=False),
        Column("no block", "reasonings without a block of core features", "reasoning"),
    ]  # fmt: skip

    def row(name: str) -> list[Cell]:
        found, lengths = results["categories"][name], results["estimates"]["categories"][name]["lengths"]
        replies, golden, density = found["replies"], found["golden"], found["tokens_per_char"]
        unknown = replies.get("in_language_reason") or "no replies"
        no_golden = lengths["golden"]["tokens"].get("reason")
        spoken = ", ".join(f"{language} {count}" for language, count in replies["detected"].items())
        return [
            plain(found["records"]), plain(len(found["excluded"])), plain(replies["truncated"]), plain(replies["empty"]),
            plain(replies["in_language"], ".0%", unknown), plain(golden["in_language"], ".0%", no_golden or unknown),
            Cell(spoken),
            plain(density["policy"], ".2f", "no characters"), plain(density["golden"], ".2f", no_golden or "no characters"),
            cell(lengths["policy"]["tokens"]), cell(lengths["golden"]["tokens"]), plain(found["reasoning_fallbacks"]),
        ]  # fmt: skip

    return Table("Records, replies and languages", columns, rows_of(results, row))
