"""The answer in words: which shifts cost the policy something, how much, and what the run could not have seen.

By rule (docs/protocol.md, rule 26), from estimates alone, so that a sentence never says more than its interval:

    {"quantity": "novel" | "whole",                what R-EMID the sentences are about
     "sentences": [the answer first, then a sentence on the reference and one a shift],
     "shifts": {shift: {"finding": "loss" | "gain" | "none" | "open" | "unit", "sentence"}}}

loss: the interval lies above 0; gain: below 0; none: it includes 0, so that a loss above its upper end is excluded at its
level; open: there is no interval that is validated or errs on the side of width; unit: golden replies there hold unlike
amounts of text a token, and nats a token disagree with shares of misplaced replies, or with nats a reply where those are not
known, whether there is a loss. Figures are those of `club token_rate` under the headline's scorer. Of a table without a shift
or golden replies: {"quantity": None, "sentences": [why], "shifts": {}}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from remid_jax.information.intervals import Estimate, is_trusted

LOSS, GAIN, NONE, OPEN, UNIT = "loss", "gain", "none", "open", "unit"
DENSE = 1.5  # tokens a character of replies over others, from which rates a token compare unlike amounts of text
MUCH_COPIED = (
    0.1  # by how much the policy's share of copied tokens exceeds that of golden replies before it is worth a sentence
)
WORDS = {"novel": "novel information", "whole": "information"}


def verdict(estimates: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the dictionary of the module docstring from that of `information.estimates`."""
    headline = estimates["headline"]
    if headline["shifts"] is None:
        return {"quantity": None, "sentences": [f"No answer: {headline['reason']}."], "shifts": {}}
    scorer = headline["scorer"]
    novel = all("by_source" in section[scorer] for section in estimates["shifts"].values())
    quantity = "novel" if novel else "whole"
    shifts = {
        shift: _of_shift(shift, section[scorer], quantity, _unlike(estimates, section), _ceiling(estimates, section, quantity))
        for shift, section in estimates["shifts"].items()
    }
    sentences = [
        _answer({shift: of["finding"] for shift, of in shifts.items()}),
        *_references(estimates, scorer, quantity),
        *(of["sentence"] for of in shifts.values()),
        *_caution(estimates, scorer, quantity),
    ]
    return {"quantity": quantity, "sentences": sentences, "shifts": shifts}


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


def _answer(findings: Mapping[str, str]) -> str:
    of_kind = {kind: [shift for shift, found in findings.items() if found == kind] for kind in (LOSS, NONE, GAIN, UNIT, OPEN)}
    parts = []
    if of_kind[LOSS]:
        parts.append(f"{_listed(of_kind[LOSS])} shift costs this policy something")
    if of_kind[GAIN]:
        parts.append(f"under {_listed(of_kind[GAIN])} shift its replies fit better than in familiar conditions")
    if of_kind[NONE]:
        parts.append(f"no loss is shown under {_listed(of_kind[NONE])} shift")
    if of_kind[UNIT]:
        parts.append(f"whether {_listed(of_kind[UNIT])} shift costs it something depends on the unit")
    if of_kind[OPEN]:
        parts.append(f"nothing can be said of {_listed(of_kind[OPEN])} shift")
    return f"On this benchmark, by this estimator: {'; '.join(parts)}."


def _of_shift(
    shift: str, section: Mapping[str, Any], quantity: str, unlike: Sequence[str], ceiling: float | None
) -> dict[str, str]:
    """The finding and sentence of a shift, of whose categories `unlike` have golden replies of another density."""
    number = emi_of(section, "emid", quantity)
    found, name, told = finding(number), f"{shift[:1].upper()}{shift[1:]} shift", _with_interval(number)
    measured = f"nats a token of {WORDS[quantity]}"
    if found == OPEN:
        sentence = f"{name}: open, since {_why_open(number)}."
    elif found == LOSS:
        sentence = f"{name} costs {told} {measured}{_misplaced(section, quantity)}."
    elif found == GAIN:
        sentence = f"{name}: the loss is {told} {measured}, so replies tell more."
    else:
        assert number["interval"] is not None
        assert number["interval"]["high"] is not None
        sentence = (
            f"{name}: no loss is shown, {told} {measured}; a loss above {number['interval']['high']:.2f} is excluded at "
            f"{number['interval']['level']:.0%}, and one of {number.get('smallest_loss') or 0:.2f} would be found in four of "
            "five such runs."
        )
    if quantity == "novel":
        whole = _with_interval(emi_of(section, "emid", "whole"))
        sentence += f" Of whole replies, copies among them, the loss is {whole}."
    golden = section["estimator_shift"]["club"]["token_rate"]
    if (drop := finding(golden)) in (LOSS, GAIN):
        sentence += f" Golden replies themselves tell {'less' if drop == LOSS else 'more'} there: {_with_interval(golden)}."
    if ceiling is not None:
        missed = ", which a run of this size would mostly miss" if ceiling < (number.get("smallest_loss") or 0) else ""
        sentence += f" One constant reply to everybody there would lose {ceiling:+.2f}{missed}."
    if unlike:
        other, other_told = _without_tokens(section, quantity)
        sentence += (
            f" Golden replies of {_listed(unlike)} and of familiar conditions differ over {DENSE} times in tokens a character, "
            f"so nats a token compare unlike amounts of text; {other_told}."
        )
        if OPEN not in (seen := finding(other), found) and (seen == LOSS) != (found == LOSS):
            found, sentence = UNIT, f"{sentence} So whether there is a loss depends on the unit."
    return {"finding": found, "sentence": sentence}


def _without_tokens(section: Mapping[str, Any], quantity: str) -> tuple[Estimate, str]:
    """The loss in what compares languages better than a rate a token does (docs/doses.md), and how it is told."""
    share: Estimate = section["misplaced_equivalent"]["emid"][quantity]
    if share["value"] is not None:
        return share, f"as the share of replies meant for somebody else, which needs no unit, the loss is {_share(share)}"
    by_reply = emi_of(section, "emid", quantity, "response")
    told = f"in nats a reply, which a horizon in tokens cuts after unlike contents, the loss is {_with_interval(by_reply, 1)}"
    return by_reply, told


def _unlike(estimates: Mapping[str, Any], section: Mapping[str, Any]) -> list[str]:
    """The categories of a shift whose golden replies take far more or fewer tokens a character than their reference's."""
    categories = estimates["categories"]

    def density(name: str) -> float | None:
        value: float | None = categories[name]["lengths"]["golden"]["tokens_per_char"]["value"]
        return value

    pairs = {name: (density(name), density(categories[name]["reference"])) for name in section["categories"]}
    return [name for name, (own, other) in pairs.items() if own and other and max(own, other) > DENSE * min(own, other)]


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
        placed = section["misplaced_equivalent"]["emi"]["novel" if quantity == "novel" else "whole"]
        as_if = f", as if {_share(placed)} of them had been meant for somebody else" if placed["value"] is not None else ""
        sentences.append(
            f"In familiar conditions ({name}) its replies tell {_with_interval(number)} nats a token of {WORDS[quantity]} "
            f"against golden ones{as_if}"
            + (f"; of whole replies {_with_interval(emi_of(section, 'emi', 'whole'))}." if quantity == "novel" else ".")
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
    """Where intervals are of means over folds of few lineages: that they are too wide, if anything."""
    numbers = [emi_of(section[scorer], "emid", quantity) for section in estimates["shifts"].values()]
    if any(number["interval"] is not None and number["interval"].get("cautious") for number in numbers):
        return [
            "The estimator is cross-fitted, so these intervals come from folds of few lineages; in simulated runs of such "
            "folds they were too wide, if anything."
        ]
    return []


def _copied(shares: Mapping[str, Estimate]) -> float:
    return sum(shares[source]["value"] or 0.0 for source in ("echo", "long_quote"))


def _misplaced(section: Mapping[str, Any], quantity: str) -> str:
    placed = section["misplaced_equivalent"]["emid"][quantity]
    if placed["value"] is None:
        return ""
    return f", as if {placed['value']:.0%} more of the replies had been meant for somebody else"


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


def _why_open(number: Estimate) -> str:
    bounds = number["interval"]
    if bounds is None:
        return number.get("reason", "there is no estimate")
    if bounds["low"] is None:
        return bounds.get("reason", "there is no interval")
    return f"{bounds['clusters']} lineages are fewer than its interval was validated for"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
