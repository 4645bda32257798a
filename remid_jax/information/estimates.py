"""All estimates of a score table, as one JSON-ready dictionary; needs the stored matrices alone.

    {"version", "settings", "n", "estimators": ["reasoned", "plain"],
     "calibration": {estimator: {"scale": [for replies of fold 0, of fold 1]}},
     "categories": {category: {
         "shift", "records", "lineages", "subsamples",
         "lengths": {"golden" | "policy": {"tokens", "chars", "tokens_per_char"}},
         estimator: {
             "golden" | "policy": {method: {unit: number}, "retrieval": number, "saturated": number},
             "emi": {method: {unit: number}},               Ihat(yhat) - Ihat(y*); under "reasoned" it is R-EMI
             "emid": {method: {unit: number}},              EMI(IDTest) - EMI(category); under "reasoned" it is R-EMID
             "estimator_shift": {method: {unit: number}},   Ihat_IDTest(y*) - Ihat_category(y*)
             "relative": {method: number}},                 Ihat(yhat) / Ihat(y*) - 1, from responses
         "reasoning_gain": {"response", "per_token"},       golden log-likelihood with reasoning minus without
         "self": {"self_information", "leave_one_out", "self_emi_mixed_scorers": {estimator: number}, ...}}},
     "shifts": {shift: {"categories", estimator: {"emi", "emid", "estimator_shift"}}},
     "controls": {estimator: {control: {category: {method: {unit: number}, "retrieval"}}}},
     "headline": {"method", "unit", "scorer", "categories": {category: number}, "shifts": {shift: number}}}

A number is {value, unit, estimator, n, interval}, see `intervals.number`; `method` above, `estimator` in a number, is one of
`measurement.ESTIMATORS`. "emid" and "estimator_shift" are absent for IDTest and for everything in a table without IDTest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from remid_jax.errors import UserError
from remid_jax.information import emi
from remid_jax.information.intervals import VALIDATED_FROM, Replicates, combine, difference, number, ratio
from remid_jax.information.measurement import ESTIMATORS, Measured, Plan, make_plan, measure, measure_self, per_response
from remid_jax.information.score_table import ESTIMATORS as SCORERS
from remid_jax.information.score_table import Category, ScoreTable
from remid_jax.information.self_information import unavailable

VERSION = 1
UNITS = ("token_rate", "response", "per_token", "per_char")
HEADLINES = ("club token_rate", *(f"{method} {unit}" for method in ESTIMATORS for unit in UNITS[1:]))
SATURATED_AT_MOST = 0.1
REASONS = {
    "mixture": "the critic needs 3 records in each fold of lineages",
    "retrieval": "the critic needs 3 records in each fold of lineages",
    "per_char": "these replies have no characters",
}
UNTRIED = "the interval of the golden estimate includes 0"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to estimate; every field is a choice of protocol.md."""

    level: float = 0.95  # of all intervals
    subsamples: int = 16  # where a category has more records than the smallest
    pairs: int = 10_000  # mismatched pairs of `club`, from 64 contexts on
    bootstrap: int = 1000  # draws, from 32 lineages on
    seed: int = 0
    headline: str = "club token_rate"

    def check(self) -> None:
        """Raises UserError naming every field out of range."""
        faults = []
        if not 0 < self.level < 1:
            faults.append(f"level={self.level} is not between 0 and 1")
        faults += [f"{name}={value} is below 1" for name in ("subsamples", "pairs") if (value := getattr(self, name)) < 1]
        faults += [f"{name}={value} is negative" for name in ("bootstrap", "seed") if (value := getattr(self, name)) < 0]
        if self.headline not in HEADLINES:
            faults.append(f"headline={self.headline!r} is not one of {', '.join(HEADLINES)}")
        if faults:
            raise UserError(f"settings: {'; '.join(faults)}")


def estimates(table: ScoreTable, settings: Settings) -> dict[str, Any]:
    """Every estimate of the table (the dictionary of the module docstring), computed in float64.

    Raises:
      UserError: a setting is out of range.
      RuntimeError: the golden control has an EMI other than exactly 0 (protocol.md, rule 17).
    """
    settings.check()
    with jax.enable_x64(True):
        plan = make_plan(
            table, subsamples=settings.subsamples, pairs=settings.pairs, bootstrap=settings.bootstrap, seed=settings.seed
        )
        return _Report(table, settings, plan).all()


class _Report:
    """The sections of the result; holds what they share, so that each matrix is measured once."""

    def __init__(self, table: ScoreTable, settings: Settings, plan: Plan):
        self.table, self.settings, self.plan = table, settings, plan
        self.measured: dict[tuple[str, str, str], Measured] = {
            (scorer, name, replies): measure(name, category, category.replies[replies], scorer, plan)
            for scorer in table.estimators
            for name, category in table.categories.items()
            for replies in ("golden", "policy")
        }
        self.emi = {
            (scorer, name): emi.cross(self.measured[scorer, name, "policy"].estimates, self.measured[scorer, name, "golden"].estimates)
            for scorer in table.estimators
            for name in table.categories
        }
        self.shifted = [name for name in table.categories if name != emi.ID] if emi.ID in table.categories else []
        self.emid = {(s, name): emi.drop(self.emi[s, emi.ID], self.emi[s, name]) for s in table.estimators for name in self.shifted}
        self.estimator_shift = {
            (s, name): emi.drop(self.measured[s, emi.ID, "golden"].estimates, self.measured[s, name, "golden"].estimates)
            for s in table.estimators
            for name in self.shifted
        }

    def number(self, quantity: Replicates, unit: str, estimator: str, kind: str | None = None, reason: str = "") -> dict[str, Any]:
        reason = reason or REASONS.get(unit, REASONS.get(estimator, ""))
        return number(
            quantity, unit=unit, estimator=estimator, n=self.plan.n, level=self.settings.level, kind=kind, reason=reason
        )

    def tree(self, quantities: emi.Estimates) -> dict[str, dict[str, Any]]:
        """{method: {unit: number}}."""
        result: dict[str, dict[str, Any]] = {}
        for (method, unit), quantity in quantities.items():
            result.setdefault(method, {})[unit] = self.number(quantity, unit, method)
        return result

    def share(self, quantity: Replicates, name: str) -> dict[str, Any]:
        return self.number(quantity, "share", name, kind="mean", reason=REASONS["retrieval"])

    def all(self) -> dict[str, Any]:
        plan = self.plan
        return {
            "version": VERSION,
            "settings": dataclasses.asdict(self.settings),
            "n": plan.n,
            "estimators": list(self.table.estimators),
            "calibration": {s: {"scale": [None if np.isnan(a) else float(a) for a in plan.scales[s]]} for s in self.table.estimators},
            "categories": {name: self.category(name, category) for name, category in self.table.categories.items()},
            "shifts": {shift: self.shift(here) for shift, names in emi.SHIFTS.items() if (here := self.present(names))},
            "controls": {scorer: self.controls(scorer) for scorer in self.table.estimators},
            "headline": self.headline(),
        }

    def present(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in self.table.categories]

    def category(self, name: str, category: Category) -> dict[str, Any]:
        golden, policy = (self.measured[self.table.estimators[0], name, replies] for replies in ("golden", "policy"))
        result: dict[str, Any] = {
            "shift": next((shift for shift, names in emi.SHIFTS.items() if name in names), None),
            "records": len(category.record),
            "lineages": len(np.unique(category.lineage)),
            "subsamples": len(self.plan.subsamples[name]),
            "lengths": {"golden": self.lengths(golden), "policy": self.lengths(policy)},
        }
        for scorer in self.table.estimators:
            result[scorer] = self.scored(scorer, name)
        if len(self.table.estimators) == len(SCORERS):
            result["reasoning_gain"] = self.reasoning_gain(name, category)
        result["self"] = self.self_section(name, category)
        return result

    def lengths(self, measured: Measured) -> dict[str, Any]:
        return {
            "tokens": self.number(measured.tokens, "tokens", "mean"),
            "chars": self.number(measured.chars, "chars", "mean"),
            "tokens_per_char": self.number(ratio(measured.tokens, measured.chars), "per_char", "mean"),
        }

    def scored(self, scorer: str, name: str) -> dict[str, Any]:
        sides = {replies: self.measured[scorer, name, replies] for replies in ("golden", "policy")}
        result: dict[str, Any] = {
            replies: self.tree(side.estimates)
            | {"retrieval": self.share(side.retrieved, "retrieval"), "saturated": self.share(side.saturated, "saturated")}
            for replies, side in sides.items()
        }
        result["emi"] = self.tree(self.emi[scorer, name])
        if name in self.shifted:
            result["emid"] = self.tree(self.emid[scorer, name])
            result["estimator_shift"] = self.tree(self.estimator_shift[scorer, name])
        result["relative"] = {}
        for method in ESTIMATORS:
            key = (method, "response")
            quotient, reason = emi.relative(
                sides["policy"].estimates[key], sides["golden"].estimates[key], method, self.settings.level
            )
            result["relative"][method] = self.number(quotient, "relative", method, reason=reason)
        return result

    def reasoning_gain(self, name: str, category: Category) -> dict[str, Any]:
        golden = category.replies["golden"]
        gained = np.diagonal(golden.loglik["reasoned"]) - np.diagonal(golden.loglik["plain"])
        nats = self.plan.of_items(name, category.lineage, gained)
        lengths = self.measured["reasoned", name, "golden"]
        in_units = per_response("mean", nats, lengths.tokens, lengths.chars)
        return {unit: self.number(in_units["mean", unit], unit, "mean") for unit in ("response", "per_token")}

    def self_section(self, name: str, category: Category) -> dict[str, Any]:
        scores = category.self_scores
        reason = unavailable(None if scores is None else scores.truncated)
        if scores is None or reason:
            return {"self_information": None, "reason": reason}
        measured = measure_self(name, category, scores, self.plan)
        per_token = ratio(measured["mixture"], measured["tokens"])
        return {
            "self_information": {
                "response": self.number(measured["mixture"], "response", "mixture"),
                "per_token": self.number(per_token, "per_token", "mixture"),
            },
            "leave_one_out": self.number(measured["leave_one_out"], "response", "leave_one_out"),
            "self_emi_mixed_scorers": {
                scorer: self.number(
                    difference(measured["mixture"], self.measured[scorer, name, "golden"].estimates["mixture", "response"]),
                    "response", "mixture",
                )
                for scorer in self.table.estimators
            },
            "samples": int(scores.loglik.shape[2]),
            "truncated": int(scores.truncated.sum()),
        }  # fmt: skip

    def shift(self, names: list[str]) -> dict[str, Any]:
        result: dict[str, Any] = {"categories": names}
        for scorer in self.table.estimators:
            rows: dict[str, Mapping[tuple[str, str], dict]] = {"emi": self.emi}
            if self.shifted:
                rows |= {"emid": self.emid, "estimator_shift": self.estimator_shift}
            result[scorer] = {row: self.tree(emi.shift_row([of[scorer, name] for name in names])) for row, of in rows.items()}
        return result

    def controls(self, scorer: str) -> dict[str, Any]:
        """EMI of the control policies, in one method per critic and the headline's units."""
        result: dict[str, Any] = {}
        for control in emi.CONTROLS:
            for name, category in self.table.categories.items():
                golden = category.replies["golden"]
                replies = emi.golden_of_another(golden) if control == "golden_other" else category.replies.get(control)
                if replies is None:
                    continue
                measured = measure(name, category, replies, scorer, self.plan)
                quantities = emi.cross(measured.estimates, self.measured[scorer, name, "golden"].estimates)
                if control == "golden" and any(np.any(q.values[np.isfinite(q.values)] != 0) for q in quantities.values()):
                    raise RuntimeError(f"{name}: the golden control has an EMI other than 0: scores or estimators are not deterministic")
                shown = {key: quantity for key, quantity in quantities.items() if key[0] in ("club", "mixture")}
                result.setdefault(control, {})[name] = self.tree(shown) | {"retrieval": self.share(measured.retrieved, "retrieval")}
        return result

    def headline(self) -> dict[str, Any]:
        """R-EMID by category and shift in the one method and unit that the settings name."""
        method, unit = self.settings.headline.split()
        scorer = self.table.estimators[0]
        result: dict[str, Any] = {"method": method, "unit": unit, "scorer": scorer, "categories": None, "shifts": None}
        full = [key for key, side in self.measured.items() if key[0] == scorer and not side.saturated.values[0] <= SATURATED_AT_MOST]
        if not self.shifted:
            return result | {"reason": f"no {emi.ID} in the table"}
        if method.startswith("mixture") and full:
            return result | {"reason": f"mixture is saturated on more than {SATURATED_AT_MOST:.0%} of {full[0][2]} replies in {full[0][1]}"}
        result["categories"] = {name: self.number(self.emid[scorer, name][method, unit], unit, method) for name in self.shifted}
        result["shifts"] = {
            shift: self.number(emi.shift_row([self.emid[scorer, name] for name in here])[method, unit], unit, method)
            for shift, names in emi.SHIFTS.items()
            if (here := self.present(names))
        }
        return result
