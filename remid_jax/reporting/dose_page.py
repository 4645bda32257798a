"""The page of degraded golden replies and the planted shift, from what doses.json holds alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.reporting.cells import DASH, Results
from remid_jax.reporting.markdown import paragraph, plain_table

SHOWN = ("club token_rate", "novel club token_rate", "identified", "novel identified", "misplaced_equivalent",
         "novel misplaced_equivalent", "mixture per_token", "prompt_marginal per_token")  # fmt: skip
"""Quantities whose values the page shows, each in the unit of its headline."""
UNITS = {"token_rate": "nats a token", "per_token": "nats a token", "response": "nats a reply", "per_char": "nats a character"}
POWER_OF = ("misplaced 25%", "half_golden_parrot", "parrot 50%", "deleted 25%")
"""The mildest rungs of their kinds: what a measure has to see on few lineages."""
EMBEDDED = "package:rpgbench_compact"
PLANTED = ("covered", "short", "beyond", "named", "skewed", "others")  # shares of draws
FEW = 20  # replies that lose something: where fewer do, intervals of a planted loss end too soon
PLANTED_VIEWS = {"club token_rate": "whole", "novel club token_rate": "novel"}


def page(found: Results, figure: str) -> str:
    """Returns the page in Markdown, with a figure of that name beside it."""
    return "\n".join(_lines(found, figure)).rstrip() + "\n"


def _lines(found: Results, figure: str) -> Iterator[str]:
    config, records = found["config"], found["records"]
    yield "# Do the numbers mean something? Doses and a planted shift"
    yield ""
    yield from paragraph(
        f"Written by `python -m experiments.doses {_options(config)}`; every figure below is from that run "
        f"(`{config['benchmark']['source']}`: {', '.join(f'{count} {name}' for name, count in records.items())}; estimator "
        f"`{config['estimator']['model']}` in {config['estimator']['dtype']}, adapters "
        f"{config['estimator']['adapters'] or 'none'}, at most {config['estimator']['max_reasoning']} tokens of reasoning; "
        f"seed {config['seed']}). Golden replies are made worse by known amounts, and one estimator scores all of them in one "
        "plan. Each rung is then taken for a policy and measured as one. Values are against golden replies, so golden replies "
        "themselves are at 0; intervals are those of the estimates, over lineages."
    )
    yield f"![Values by rung]({figure})"
    yield ""
    yield from _rungs(found)
    yield from _values(found)
    yield from _claims(found)
    yield from _ladders(found)
    yield from _power(found)
    if found["planted"]:
        yield from _planted(found)
    if any(found["languages"].values()):
        yield from _languages(found)
    yield from _choice(found)


def _options(config: Mapping[str, Any]) -> str:
    """The flags that the run's command has beside configs/doses.py."""
    benchmark = config["benchmark"]
    of_source = "" if benchmark["source"] == EMBEDDED else f" --config.benchmark.source={benchmark['source']}"
    return f'--config.page={config["page"]}{of_source} "--config.benchmark.categories={tuple(benchmark["categories"])}"'


def _rungs(found: Results) -> Iterator[str]:
    yield "## The rungs"
    yield ""
    rows = [
        [name, rung["meaning"] if rung["share"] == 1 else f"{rung['share']:.0%} of the records: {rung['meaning']}",
         f"{np.mean(list(rung['changed'].values())):.0%}"]
        for name, rung in found["rungs"].items()
    ]  # fmt: skip
    yield from plain_table(("rung", "what is said", "replies changed"), rows)
    yield from paragraph(
        "`misnamed` is the nearest there is to a wrong persona with the right topic in one language: where a benchmark's user "
        "shift is a shift of language, the reply to another user of the same lineage is `other_language`, which changes both "
        "(and in a category of character shift the character, too). `stale` is in character, but repeats the dialogue, so its "
        "tokens are echoes."
    )
    for name, reason in found["left_out"].items():
        yield f"- `{name}` is left out: {reason}."
    if found["left_out"]:
        yield ""


def _values(found: Results) -> Iterator[str]:
    yield "## Values by rung"
    yield ""
    yield from paragraph(
        "Means over categories; the numbers of each category with their intervals stand in doses.json. Larger is better but "
        f"for `misplaced_equivalent`. {DASH}: not defined in some category."
    )
    rows = []
    for rung in found["rungs"]:
        row = [rung]
        for name in SHOWN:
            values = [of_rungs[rung]["value"] for of_rungs in found["values"][name].values()]
            row.append(DASH if None in values else f"{np.mean(values) + 0.0:+.3f}")
        rows.append(row)
    yield from plain_table(("rung", *SHOWN), rows)


def _claims(found: Results) -> Iterator[str]:
    yield "## The order that is to be found"
    yield ""
    yield from paragraph(
        "Of how many categories the better rung is above the worse: by its value, and in brackets beyond the two intervals. A "
        "`!` counts those where it is below beyond them."
    )
    claims = list(next(iter(found["claims"].values())))
    rows = [[name, *(_counted(of[claim]) for claim in claims)] for name, of in found["claims"].items()]
    yield from plain_table(("quantity", *claims), rows)


def _counted(how: Mapping[str, str]) -> str:
    told = list(how.values())
    below = f" !{told.count('reversed')}" if "reversed" in told else ""
    missing = f", {told.count('missing')} not known" if "missing" in told else ""
    return f"{_down(told)} ({told.count('resolved')}){below} of {len(told)}{missing}"


def _down(told: Sequence[str]) -> int:
    return told.count("monotone") + told.count("resolved")


def _ladders(found: Results) -> Iterator[str]:
    yield "## Monotone?"
    yield ""
    yield from paragraph(
        "Of how many categories every step of a ladder goes down, in brackets with its last rung below golden replies beyond "
        "the interval. A `!` counts those where a step goes up beyond the intervals."
    )
    ladders = list(next(iter(found["ladders"].values())))
    rows = [[name, *(_counted(of[ladder]) for ladder in ladders)] for name, of in found["ladders"].items()]
    yield from plain_table(("quantity", *ladders), rows)


def _power(found: Results) -> Iterator[str]:
    sizes = list(found["power"])
    yield "## Power"
    yield ""
    yield from paragraph(
        "Effect over standard error, mean over categories and over parts of so many lineages drawn without overlap; where the "
        "data has fewer lineages than 64, the larger sizes are missing. 2.1 is what 16 lineages need at 95%."
    )
    rungs = [rung for rung in POWER_OF if rung in found["rungs"]]
    rows = [
        [name, *(_ratio(found["power"][size][name][rung]) for rung in rungs for size in sizes)]
        for name in next(iter(found["power"].values()), {})
    ]
    yield from plain_table(("quantity", *(f"{rung}, n = {size}" for rung in rungs for size in sizes)), rows)


def _ratio(value: float | None) -> str:
    return DASH if value is None else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.1%}"


def _planted(found: Results) -> Iterator[str]:
    yield "## A planted shift"
    yield ""
    yield from paragraph(
        "A policy that is golden but in one shift, where it misplaces a known share of its replies. Each draw takes so many "
        "lineages with replacement and misplaces at random: `changed` replies in the mean, in all categories of the shift; "
        "`planted` is the true R-EMID, nats a token. Covered: the 95% interval holds it; short: it ends below; beyond: it "
        "begins above. Named: the verdict's rule finds a loss under this shift; under the others R-EMID is 0 and none is found."
        " Skewed: the interval is marked as one that few lineages carry; others: how many of those not marked hold the loss."
    )
    rows = [
        [str(row["lineages"]), row["shift"], f"{row['share']:.0%}", row["view"], f"{row['changed']:.0f}",
         f"{row['planted']:+.3f}", f"{row['mean']:+.3f}", *(_percent(row[name]) for name in PLANTED), str(row["draws"])]
        for row in found["planted"]
    ]  # fmt: skip
    of_draw = ("lineages", "shift", "share", "of replies", "changed", "planted", "mean estimate")
    yield from plain_table((*of_draw, *PLANTED, "draws"), rows)
    yield from paragraph(_where_short(found["planted"]))


def _where_short(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where the intervals of a planted loss hold it less often than they say, and on which side they miss it."""
    parts = {
        f"where {FEW} or more replies changed": [row["covered"] for row in rows if round(row["changed"]) >= FEW],
        "where fewer did": [row["covered"] for row in rows if round(row["changed"]) < FEW],
    }
    told = [f"{where} {min(of):.1%} to {max(of):.1%}" for where, of in parts.items() if of]
    return (
        f"Intervals hold the loss in these shares of the draws: {'; '.join(told)}. A draw in which few replies happen to lose "
        "shows a small loss with a small error, so that its interval ends too soon; at most "
        f"{max(row['beyond'] for row in rows):.1%} of a row's begin above the loss. So where a policy answers most contexts as "
        "well as golden replies do, the upper end of its R-EMID is the one not to be trusted."
    )


def _languages(found: Results) -> Iterator[str]:
    yield "## Languages"
    yield ""
    ratios = found["languages"]
    rungs = list(dict.fromkeys(rung for of in ratios.values() for of_rungs in of.values() for rung in of_rungs))
    yield from paragraph(
        f"Replies of the same content in two languages: the value of a rung in a category over its value in the category that "
        f"this is compared with, geometric mean over {', '.join(rungs)}. 1: the unit may be compared across the two languages. "
        f"Last, how far a unit moves: the mean of |log ratio| over languages and rungs. {DASH}: no rung has a value of one "
        "sign in both. There are no intervals: the figures say how units differ on these texts under this estimator."
    )
    categories = list(next(iter(ratios.values())))
    rows = []
    for name, of_categories in ratios.items():
        logs = {category: [np.log(ratio) for ratio in of_rungs.values()] for category, of_rungs in of_categories.items()}
        together = [abs(log) for of in logs.values() for log in of]
        cells = [f"{np.exp(np.mean(logs[category])):.2f}" if logs[category] else DASH for category in categories]
        rows.append(
            (np.mean(together) if together else np.inf, [name, *cells, f"{np.mean(together):.2f}" if together else DASH])
        )
    ordered = [row for _, row in sorted(rows, key=lambda entry: entry[0])]
    yield from plain_table(("quantity", *categories, "moves by"), ordered)


def _choice(found: Results) -> Iterator[str]:
    yield "## What should stand beside the headline"
    yield ""
    yield from paragraph(
        "Order: pairs of the table above that hold, over all pairs and categories, and how many are reversed beyond intervals. "
        "Monotone: ladders, likewise. Power: the mean ratio of the mildest rungs on the most lineages. Covered: the least of "
        "the planted shift's cells."
    )
    rows = [[name, *_chosen_by(found, name)] for name in found["values"]]
    yield from plain_table(("quantity", "order holds", "reversed", "monotone", "reversed", "power", "covered"), rows)


def _chosen_by(found: Results, name: str) -> list[str]:
    cells = []
    for part in ("claims", "ladders"):
        told = [how for of in found[part][name].values() for how in of.values()]
        cells += [f"{_down(told)} of {len(told)}", str(told.count("reversed"))]
    most = list(found["power"])[-1:]
    ratios = [found["power"][size][name].get(rung) for size in most for rung in POWER_OF]
    known = [ratio for ratio in ratios if ratio is not None]
    view = PLANTED_VIEWS.get(name)
    covered = [row["covered"] for row in found["planted"] if row["view"] == view]
    return [*cells, _ratio(float(np.mean(known)) if known else None), f"{min(covered):.1%}" if covered else DASH]
