"""The answer in words: which shifts cost the policy something, how much, and what the run could not have seen.

By rule (docs/protocol.md, rule 26), from estimates alone, so that a sentence never says more than its interval:

    {"quantity": "novel" | "whole",                what R-EMID the sentences are about
     "sentences": [the answer first, then on the reference, then all of each shift, then cautions],
     "beside": [those that are of no shift, but for the answer],
     "shifts": {shift: {"finding": "loss" | "gain" | "none" | "blind" | "open" | "unit", "sentence",
                        "beside": [what else to compare], "notes": [on the unit], "constant": {"loss", "found", "lineages"}}}}

loss: the interval lies above 0; gain: below 0, so that replies stand better beside golden ones; none: it includes 0, so that a
loss above its upper end is excluded at its level; blind: so it does, but fewer than `POWER` of such runs would find what one
constant reply to everybody would lose, so that finding nothing means little; open: there is no interval that is validated or
errs on the side of width; unit: golden replies there hold unlike amounts of text a token, and nats a token disagree with nats a
reply whether there is a loss. Figures are those of `club token_rate` under the headline's scorer.
"constant" is what would be lost (nats a token) if one constant reply were said to everybody under the shift, the share of such
runs in which the interval would lie above 0 then, and with about how many lineages a category `POWER` of them would; None where
they are not known. Of a table without a shift or golden replies: {"quantity": None, "sentences": [why], "beside": [],
"shifts": {}}.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from remid_jax.information.intervals import Estimate, is_trusted, share_found

LOSS, GAIN, NONE, BLIND, OPEN, UNIT = "loss", "gain", "none", "blind", "open", "unit"
POWER = 0.8  # the share of runs that find a loss, from which a run that finds none says something
DENSE = 1.5  # tokens a character of replies over others, from which rates a token compare unlike amounts of text
MUCH_COPIED = (
    0.1  # by how much the policy's share of copied tokens exceeds that of golden replies before it is worth a sentence
)
WORDS = {"novel": "novel information", "whole": "information"}


def verdict(estimates: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the dictionary of the module docstring from that of `information.estimates`."""
    headline = estimates["headline"]
    if headline["shifts"] is None:
        return {"quantity": None, "sentences": [f"No answer: {headline['reason']}."], "beside": [], "shifts": {}}
    scorer = headline["scorer"]
    novel = all("by_source" in section[scorer] for section in estimates["shifts"].values())
    quantity = "novel" if novel else "whole"
    shifts = {
        shift: _of_shift(
            shift,
            section[scorer],
            quantity,
            _unlike(estimates, section),
            _ceiling(estimates, section, quantity),
            estimates["horizon"],
            min(estimates["categories"][name]["lineages"] for name in section["categories"]),
        )
        for shift, section in estimates["shifts"].items()
    }
    ends = {shift: _excluded(emi_of(section[scorer], "emid", quantity)) for shift, section in estimates["shifts"].items()}
    references, cautions = _references(estimates, scorer, quantity), _caution(estimates, scorer, quantity)
    sentences = [
        _answer(shifts, ends),
        *references,
        *(" ".join([of["sentence"], *of["beside"], *of["notes"]]) for of in shifts.values()),
        *cautions,
    ]
    return {"quantity": quantity, "sentences": sentences, "beside": [*references, *cautions], "shifts": shifts}


def emi_of(section: Mapping[str, Any], term: str, quantity: str, unit: str = "token_rate") -> Estimate:
    """Returns EMI or EMID ("emi", "emid") by `club`, of whole replies or of their novel part."""
    trees = section[term] if quantity == "whole" else section["by_source"][term][quantity]
    number: Estimate = trees["club"][unit]
    return number


def finding(number: Estimate) -> str:
    """Returns what an EMID shows: LOSS, GAIN, NONE or OPEN."""
    bounds = number["interval"]
    if number["value"] is None or bounds is None or bounds["low"] is None or bounds["high"] is None or not is_trusted(bounds):
        return OPEN
    return LOSS if bounds["low"] > 0 else GAIN if bounds["high"] < 0 else NONE


def _answer(shifts: Mapping[str, Mapping[str, Any]], ends: Mapping[str, str]) -> str:
    kinds = (LOSS, GAIN, BLIND, NONE, UNIT, OPEN)
    of_kind = {kind: [shift for shift, of in shifts.items() if of["finding"] == kind] for kind in kinds}
    parts = []
    if of_kind[LOSS]:
        parts.append(f"{_listed(of_kind[LOSS])} shift costs this policy something")
    if of_kind[GAIN]:
        better = "its replies stand better beside golden ones than in familiar conditions"
        parts.append(f"under {_listed(of_kind[GAIN])} shift {better}")
    if blind := of_kind[BLIND]:
        shares = _listed([f"{shifts[shift]['constant']['found']:.0%}" for shift in blind])
        needed = [shifts[shift]["constant"]["lineages"] for shift in blind]
        numbers = _listed([str(count) for count in needed])
        more = f"; in {POWER:.0%} with about {numbers} lineages a category" if all(needed) else ""
        parts.append(
            f"under {_listed(blind)} shift it cannot be told, neither a pass nor a failure: "
            f"{'the interval includes' if len(blind) == 1 else 'the intervals include'} 0, and such a run finds few losses "
            f"(that of one constant reply to everybody in {shares} of runs{more})"
        )
    if none := of_kind[NONE]:
        excluded = _listed([ends[shift] for shift in none])
        parts.append(f"no loss is shown under {_listed(none)} shift, where up to {excluded} nats a token are not excluded")
    if of_kind[UNIT]:
        parts.append(f"whether a loss under {_listed(of_kind[UNIT])} shift is shown depends on the unit")
    if of_kind[OPEN]:
        parts.append(f"nothing can be said of {_listed(of_kind[OPEN])} shift")
    return f"On this benchmark, by this estimator: {'; '.join(parts)}."


def _of_shift(
    shift: str,
    section: Mapping[str, Any],
    quantity: str,
    unlike: Mapping[str, float],
    ceiling: float | None,
    horizon: int | None,
    lineages: int,
) -> dict[str, Any]:
    """What the verdict holds of a shift, of whose categories `unlike` have golden replies of so many times the density."""
    number = emi_of(section, "emid", quantity)
    found, name, told = finding(number), f"{shift[:1].upper()}{shift[1:]} shift", _with_interval(number)
    measured = f"nats a token of {WORDS[quantity]}"
    bounds = number["interval"]
    chance = None if ceiling is None or bounds is None else share_found(bounds, ceiling)
    if found == NONE and chance is not None and chance < POWER and (ceiling or 0.0) > 0:
        found = BLIND
    beside, notes = [], []
    if found == OPEN:
        sentence = f"{name}: open, since {_why_open(number)}."
    elif found == LOSS:
        sentence = f"{name} costs {told} {measured}{_misplaced(section, quantity)}."
    elif found == GAIN:
        sentence = f"{name}: no loss but a gain on golden replies, {told} {measured}."
    else:
        shown = "it cannot be told" if found == BLIND else "no loss is shown"
        sentence = (
            f"{name}: {shown}, {told} {measured}; one above {_excluded(number)} is excluded, and a true one of "
            f"{number.get('smallest_loss') or 0:.2f} would be found in four of five such runs."
        )
    if quantity == "novel":
        beside.append(f"Copied text included: {_with_interval(emi_of(section, 'emid', 'whole'))}.")
    golden = section["estimator_shift"]["club"]["token_rate"]
    if (drop := finding(golden)) in (LOSS, GAIN):
        beside.append(
            f"Golden replies themselves tell {'less' if drop == LOSS else 'more'} there, as this estimator reads them: "
            f"{_with_interval(golden)}."
        )
    if ceiling is not None:
        beside.append(_beside_constant(number, found, ceiling, chance))
    if unlike:
        other, other_told = _in_other_units(section, quantity, horizon)
        notes.append(
            f"Golden replies of {_listed(list(unlike))} hold {_times(unlike.values())} text a token than those of familiar "
            f"conditions, so nats a token compare unlike amounts of text. {other_told}."
        )
        if OPEN not in (seen := finding(other), found) and (seen == LOSS) != (found == LOSS):
            found = UNIT
            notes.append("So whether a loss is shown depends on the unit.")
        elif len({of["value"] > 0 for of in (number, other, _by_character(section, quantity)) if of["value"]}) > 1:
            notes.append("Even the sign depends on the unit: take none of these for a loss or a gain.")
    constant = {"loss": ceiling, "found": chance, "lineages": _lineages_needed(number, ceiling, lineages)}
    return {"finding": found, "sentence": sentence, "beside": beside, "notes": notes, "constant": constant}


def _excluded(number: Estimate) -> str:
    """The end above which a loss is excluded, rounded up to two digits."""
    bounds = number["interval"]
    if bounds is None or bounds["high"] is None:
        return "?"
    digits = max(1 - math.floor(math.log10(abs(bounds["high"]))), 0) if bounds["high"] else 0
    return f"{math.ceil(bounds['high'] * 10**digits - 1e-9) / 10**digits:.{digits}f}"


def _lineages_needed(number: Estimate, loss: float | None, lineages: int) -> int | None:
    """With about how many lineages a category a loss would be found in `POWER` of runs: errors fall with the root of those that
    there are."""
    smallest = number.get("smallest_loss")
    return math.ceil(lineages * (smallest / loss) ** 2) if smallest and loss and loss > 0 else None


def _beside_constant(number: Estimate, found: str, ceiling: float, chance: float | None) -> str:
    """What a shift shows beside the loss of a policy that says one constant reply there."""
    if ceiling <= 0:
        return "Its replies in familiar conditions tell no more than one constant reply would here, which would lose nothing."
    if found not in (BLIND, NONE):
        return f"One constant reply to everybody there would lose {ceiling:+.2f}."
    assert number["interval"] is not None
    outside = (number["interval"]["high"] or 0.0) < ceiling
    if found == BLIND:
        told = f"One constant reply to everybody there would lose {ceiling:+.2f}, which {chance:.0%} of such runs would find"
        return f"{told}; taken as known, that loss lies above this interval." if outside else f"{told}."
    if outside:
        return f"As much as one constant reply to everybody there would lose, {ceiling:+.2f}, is excluded."
    share = "" if chance is None else f"; of such runs {chance:.0%} would find it"
    return f"As much as one constant reply to everybody there would lose, {ceiling:+.2f}, is not excluded{share}."


def _in_other_units(section: Mapping[str, Any], quantity: str, horizon: int | None) -> tuple[Estimate, str]:
    """The loss in nats a reply, which compare languages better than nats a token (docs/doses.md), and how it is told: with the
    share of replies meant for somebody else, whose interval is not validated, and beside nats a character."""
    by_reply = emi_of(section, "emid", quantity, "response")
    cut = f", cut at token {horizon} where it is longer," if horizon else ""
    told = f"In nats a reply{cut} it is {_with_interval(by_reply, 1)}"
    share: Estimate = section["misplaced_equivalent"]["emid"][quantity]
    if share["value"] is not None:
        told = f"{told}, as a share of replies meant for somebody else {_share(share)}"
    return by_reply, f"{told}, and in nats a character {_with_interval(_by_character(section, quantity))}"


def _by_character(section: Mapping[str, Any], quantity: str) -> Estimate:
    return emi_of(section, "emid", quantity, "per_char")


def _unlike(estimates: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, float]:
    """The categories of a shift whose golden replies take far more or fewer tokens a character than their reference's, and how
    many times as many."""
    categories = estimates["categories"]

    def density(name: str) -> float | None:
        value: float | None = categories[name]["lengths"]["golden"]["tokens_per_char"]["value"]
        return value

    pairs = {name: (density(name), density(categories[name]["reference"])) for name in section["categories"]}
    times = {name: own / other for name, (own, other) in pairs.items() if own and other}
    return {name: of for name, of in times.items() if max(of, 1 / of) > DENSE}


def _times(densities: Iterable[float]) -> str:
    """How much less text, or more, a token holds at most."""
    found = list(densities)
    parts = [(max(found), "less"), (1 / min(found), "more")]
    return "up to " + " or ".join(f"{most:.1f} times {word}" for most, word in parts if most > 1)


def _ceiling(estimates: Mapping[str, Any], section: Mapping[str, Any], quantity: str) -> float | None:
    """What a policy would lose under a shift that says one constant reply to everybody there; None if that is not known."""
    scorer, categories = estimates["headline"]["scorer"], estimates["categories"]
    constant = estimates["controls"][scorer].get("constant", {})
    losses = []
    for name in section["categories"]:
        if name not in constant:
            return None
        trees = constant[name] if quantity == "whole" else constant[name][quantity]
        there = emi_of(categories[categories[name]["reference"]][scorer], "emi", quantity)["value"]
        here = trees["club"]["token_rate"]["value"]
        if here is None or there is None:
            return None
        losses.append(there - here)
    return sum(losses) / len(losses)


def _references(estimates: Mapping[str, Any], scorer: str, quantity: str) -> list[str]:
    """How far replies fall short of golden ones in familiar conditions, and how much they copy there."""
    categories, sentences = estimates["categories"], []
    for name in dict.fromkeys(category["reference"] for category in categories.values() if category["reference"]):
        section = categories[name][scorer]
        number = emi_of(section, "emi", quantity)
        if number["value"] is None:
            continue
        familiar = categories[name]["shift"] is None
        where = f"In familiar conditions ({name})" if familiar else f"On {name}, with which others are compared,"
        placed = section["misplaced_equivalent"]["emi"]["novel" if quantity == "novel" else "whole"]
        as_if = (
            f", as if {_share(placed)} of the golden ones were swapped between contexts"
            if (placed["value"] or 0.0) > 0 > number["value"]
            else ""
        )
        sentences.append(
            f"{where} its replies tell {_beside_golden(number)} {WORDS[quantity]} than golden ones, "
            f"nats a token{as_if}"
            + (f"; copied text included, {_beside_golden(emi_of(section, 'emi', 'whole'))}." if quantity == "novel" else ".")
        )
        copied = categories[name].get("copied")
        shares = {side: _copied(copied[side]) for side in ("golden", "policy")} if copied else {}
        if shares and shares["policy"] > shares["golden"] + MUCH_COPIED:
            sentences.append(
                f"{shares['policy']:.0%} of the policy's tokens there repeat its own context ({shares['golden']:.0%} of the "
                "golden ones): figures of whole replies praise that, and their intervals are then too narrow."
            )
    return sentences


def _caution(estimates: Mapping[str, Any], scorer: str, quantity: str) -> list[str]:
    """Where intervals are of means over folds of few lineages: that they are too wide, if anything. Where few lineages carry
    what they are about: that they may end too soon."""
    numbers = {shift: emi_of(section[scorer], "emid", quantity) for shift, section in estimates["shifts"].items()}
    intervals = {shift: number["interval"] for shift, number in numbers.items() if number["interval"] is not None}
    cautions = []
    if cautious := [bounds for bounds in intervals.values() if bounds.get("cautious")]:
        told = "in simulations of such runs 94 to 98% of these 95% intervals held the truth"
        if cautious[0]["level"] != 0.95:
            told = "in simulations of such runs 95% intervals were too wide, if anything"
        cautions.append(f"The estimator is cross-fitted, so intervals come from folds of few lineages; {told}.")
    if skewed := [shift for shift, bounds in intervals.items() if bounds.get("skewed")]:
        cautions.append(
            f"Few lineages carry what is measured under {_listed(skewed)} shift: such an interval may end too soon, and a "
            "loss be larger than it says."
        )
    return cautions


def _copied(shares: Mapping[str, Estimate]) -> float:
    return sum(shares[source]["value"] or 0.0 for source in ("echo", "long_quote"))


def _misplaced(section: Mapping[str, Any], quantity: str) -> str:
    placed = section["misplaced_equivalent"]["emid"][quantity]
    if (placed["value"] or 0.0) <= 0:
        return ""
    return f", as if {_share(placed)} more of the replies had been meant for somebody else"


def _share(number: Estimate) -> str:
    """A share with its interval."""
    bounds = number["interval"]
    if bounds is None or bounds["low"] is None or bounds["high"] is None:
        return f"{number['value']:.0%}"
    mark = "" if is_trusted(bounds) else ", not validated"
    return f"{number['value']:.0%} ({bounds['low']:.0%} to {bounds['high']:.0%}{mark})"


def _with_interval(number: Estimate, digits: int = 2) -> str:
    bounds = number["interval"]
    if number["value"] is None:
        return "not known"
    if bounds is None or bounds["low"] is None or bounds["high"] is None:
        return f"{number['value']:+.{digits}f}"
    mark = "" if is_trusted(bounds) else ", not validated"
    return f"{number['value']:+.{digits}f} ({bounds['low']:+.{digits}f}, {bounds['high']:+.{digits}f}{mark})"


def _beside_golden(number: Estimate) -> str:
    """An EMI as how much less, or more, than golden replies; "0.15 (-0.16 to 0.46) less" may be 0.16 more."""
    bounds, value = number["interval"], number["value"]
    if value is None:
        return "an unknown amount of"
    sign, word = (-1, "less") if value < 0 else (1, "more")
    if bounds is None or bounds["low"] is None or bounds["high"] is None:
        return f"{sign * value:.2f} {word}"
    low, high = sorted((sign * bounds["low"], sign * bounds["high"]))
    mark = "" if is_trusted(bounds) else ", not validated"
    return f"{sign * value:.2f} ({low:.2f} to {high:.2f}{mark}) {word}"


def _why_open(number: Estimate) -> str:
    bounds = number["interval"]
    if bounds is None:
        return number.get("reason", "there is no estimate")
    if bounds["low"] is None:
        return bounds.get("reason", "there is no interval")
    if "kinds" in bounds:
        return "intervals over clusters of several kinds are not validated"
    return "its interval is not validated for so few lineages in a category or fold"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
