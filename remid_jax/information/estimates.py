"""All estimates of a score table, as one JSON-ready dictionary; needs the stored matrices alone.

    {"version", "settings", "n", "horizon": tokens of an answer, or None for whole replies, "estimators": ["reasoned", "plain"],
     "calibration": {scorer: {"scale": [for replies of fold 0, of fold 1]}},
     "categories": {category: {
         "shift", "reference", "records", "lineages", "subsamples", "clusters": {kind: how many} (where records have several),
         "blocks" (where the table holds folds),
         "lengths": {"golden" | "policy": {"tokens", "chars", "tokens_per_char"}},
         scorer: {
             "golden" | "policy": {estimator: {unit: number}, "retrieval": number, "saturated": number},
             "emi": {estimator: {unit: number}},               Ihat(yhat) - Ihat(y*); under "reasoned" it is R-EMI
             "emid": {estimator: {unit: number}},              EMI(reference) - EMI(category); under "reasoned" it is R-EMID
             "estimator_shift": {estimator: {unit: number}},   Ihat_reference(y*) - Ihat_category(y*)
             "relative": {estimator: number},                  Ihat(yhat) / Ihat(y*) - 1, from responses
             "by_source", "identified", "misplaced_equivalent"},          see `information.copying`
         "copied",                                             see `information.copying`
         "reasoning_gain": {unit: number},                     golden log-likelihood with reasoning minus without
         "self": {"self_information": {unit: number}, "leave_one_out": number, "self_emi_mixed_scorers": {scorer: number},
                  "samples", "truncated"} or {"self_information": None, "reason"}}},
     "shifts": {shift: {"categories", scorer: {"emi", "emid", "estimator_shift", "by_source", "identified",
                                               "misplaced_equivalent"}}},
     "controls": {scorer: {control: {category: {estimator: {unit: number}, "retrieval": number,
                                                "novel", "identified", "copied"}}}},
     "headline": {"estimator", "unit", "scorer", "categories": {category: number}, "shifts": {shift: number}},
     "dials": see `information.dial_curves`, where the table holds any,
     "verdict": see `information.verdict`}

With the bounds that `evaluation.estimating` adds: "bounds", see `shifts.sections`.

A number is {value, unit, estimator, n, interval}, see `intervals.number`, one of "emid" with its `smallest_loss`; its
`estimator` is the formula, one of `measurement.ESTIMATORS`. A scorer is the estimator model with reasoning in its context or
without. "emid" and "estimator_shift" are absent for a category without a reference; "reasoning_gain" needs both scorers. Of a
category without golden replies every number that these make is null, with that as its reason.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from remid_jax.errors import UserError
from remid_jax.information import emi
from remid_jax.information.copying import RATE, Copying
from remid_jax.information.dial_curves import dial_curves
from remid_jax.information.intervals import Estimate, Replicates, difference, number, ratio, smallest_loss
from remid_jax.information.measurement import (
    ESTIMATORS,
    Measured,
    Plan,
    make_plan,
    measure,
    measure_self,
    per_response,
    unmeasured,
)
from remid_jax.information.score_table import NO_GOLDEN, Category, ScoreTable
from remid_jax.information.self_information import unavailable
from remid_jax.information.verdict import verdict
from remid_jax.parallel import Devices

VERSION = 1
HEADLINES = ("club token_rate", *(f"{name} {unit}" for name in ESTIMATORS for unit in ("response", "per_token", "per_char")))
SATURATED_AT_MOST = 0.1  # no headline from `mixture` beyond this share
CONTROLLED = ("club", "mixture")  # estimators that the control policies run through
NO_CRITIC = "the critic needs 3 records in each fold of lineages"


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to estimate; every field is a choice of docs/protocol.md."""

    level: float = 0.95  # of all intervals
    subsamples: int = 32  # where a category has more records than the smallest
    pairs: int = 100_000  # mismatched pairs of `club`, from 64 contexts on
    bootstrap: int = 1000  # draws, from 32 lineages on
    seed: int = 0
    headline: str = "club token_rate"

    def check(self) -> None:
        """Raises UserError naming every field out of range."""
        faults = [] if 0 < self.level < 1 else [f"level={self.level} is not between 0 and 1"]
        faults += [f"{name}={value} is below 1" for name in ("subsamples", "pairs") if (value := getattr(self, name)) < 1]
        faults += [f"{name}={value} is negative" for name in ("bootstrap", "seed") if (value := getattr(self, name)) < 0]
        if self.headline not in HEADLINES:
            faults.append(f"headline={self.headline!r} is not one of: {', '.join(HEADLINES)}")
        if faults:
            raise UserError(f"config.settings: {'; '.join(faults)}")


def plan_of(table: ScoreTable, settings: Settings, devices: Devices) -> Plan:
    """Returns what all measurements of a table share."""
    return make_plan(
        table,
        devices,
        subsamples=settings.subsamples,
        pairs=settings.pairs,
        bootstrap=settings.bootstrap,
        seed=settings.seed,
    )


def estimates(table: ScoreTable, settings: Settings, plan: Plan) -> dict[str, Any]:
    """Returns the dictionary of the module docstring; wants float64.

    Raises:
      RuntimeError: the golden control has an EMI other than exactly 0 (docs/protocol.md, rule 17).
    """
    return _Report(table, settings, plan).sections()


Tree = dict[str, dict[str, Estimate]]


class _Report:
    """The sections of the result, over measurements made once: (scorer, category, replies) -> `Measured`."""

    def __init__(self, table: ScoreTable, settings: Settings, plan: Plan):
        self.table, self.settings, self.plan = table, settings, plan
        self.measured: dict[tuple[str, str, str], Measured] = {
            (scorer, name, replies): self.measure(name, category, replies, scorer)
            for scorer in table.scorers
            for name, category in table.categories.items()
            for replies in ("golden", "policy")
        }
        self.references = table.references
        self.rows: dict[str, dict[tuple[str, str], emi.Estimates]] = {"emi": {}, "emid": {}, "estimator_shift": {}}
        for scorer in table.scorers:
            golden = {name: self.measured[scorer, name, "golden"].estimates for name in table.categories}
            for name in table.categories:
                self.rows["emi"][scorer, name] = emi.cross(self.measured[scorer, name, "policy"].estimates, golden[name])
            for name, reference in self.references.items():
                rows = self.rows["emi"]
                self.rows["emid"][scorer, name] = emi.drop(rows[scorer, reference], rows[scorer, name])
                self.rows["estimator_shift"][scorer, name] = emi.drop(golden[reference], golden[name])
        self.shifts = table.shifts
        self.copying = Copying(table, plan, self.number, settings.level)
        self.controlled: dict[tuple[str, str, str], Replicates] = {}  # EMI by (scorer, control, category)

    def measure(self, name: str, category: Category, replies: str, scorer: str) -> Measured:
        if replies == "golden" and category.golden is None:
            return unmeasured(self.plan, category.no_golden)
        return measure(name, category, category.replies[replies], scorer, self.plan)

    def number(self, quantity: Replicates, unit: str, estimator: str, reason: str = "", loss: bool = False) -> Estimate:
        """A number; of a `loss` with the smallest that a run of this size finds."""
        if not reason and estimator == "mixture":
            reason = NO_CRITIC
        made = number(quantity, unit=unit, estimator=estimator, n=self.plan.n, level=self.settings.level, reason=reason)
        if loss and made["interval"] is not None:
            made["smallest_loss"] = smallest_loss(made["interval"])
        return made

    def tree(self, quantities: emi.Estimates, loss: bool = False) -> Tree:
        """{estimator: {unit: number}}."""
        result: Tree = {}
        for (estimator, unit), quantity in quantities.items():
            result.setdefault(estimator, {})[unit] = self.number(quantity, unit, estimator, loss=loss)
        return result

    def sections(self) -> dict[str, object]:
        scales = {
            scorer: [float(a.values[0]) if np.isfinite(a.values[0]) else None for a in pair]
            for scorer, pair in self.plan.scales.items()
        }
        found: dict[str, Any] = {
            "version": VERSION,
            "settings": dataclasses.asdict(self.settings),
            "n": self.plan.n,
            "horizon": self.table.horizon,
            "estimators": list(self.table.scorers),
            "calibration": {scorer: {"scale": scale} for scorer, scale in scales.items()},
            "categories": {name: self.category(name, category) for name, category in self.table.categories.items()},
            "shifts": {shift: {"categories": names} | self.shift(names) for shift, names in self.shifts.items()},
            "controls": {scorer: self.controls(scorer) for scorer in self.table.scorers},
            "headline": self.headline(),
        }
        if self.table.dials:
            found["dials"] = self.dials()
        return found | {"verdict": verdict(found)}

    def category(self, name: str, category: Category) -> dict[str, object]:
        result: dict[str, object] = {
            "shift": self.table.design[name].shift,
            "reference": self.table.design[name].reference,
            "records": len(category.record),
            "lineages": len(np.unique(category.lineage)),
            "subsamples": sum(len(block.draws) for block in self.plan.blocks[name]),
            "lengths": {
                replies: self.lengths(self.measured[self.table.scorers[0], name, replies]) for replies in ("golden", "policy")
            },
        }
        if category.clusters:
            result["clusters"] = {kind: len(np.unique(clusters)) for kind, clusters in category.clusters.items()}
        if category.fold is not None:
            result["blocks"] = len(category.blocks)
        for scorer in self.table.scorers:
            result[scorer] = self.scored(scorer, name)
        if "reasoned" in self.table.scorers and (category.golden is None or category.golden_unreasoned is not None):
            result["reasoning_gain"] = self.reasoning_gain(name, category)
        if self.copying.parted:
            result["copied"] = self.copying.copied(name)
        result["self"] = self.self_section(name, category)
        return result

    def lengths(self, measured: Measured) -> dict[str, Estimate]:
        return {
            "tokens": self.number(measured.tokens, "tokens", "mean"),
            "chars": self.number(measured.chars, "chars", "mean"),
            "tokens_per_char": self.number(ratio(measured.tokens, measured.chars), "tokens_per_char", "mean"),
        }

    def scored(self, scorer: str, name: str) -> dict[str, object]:
        golden, policy = (self.measured[scorer, name, replies] for replies in ("golden", "policy"))
        result: dict[str, Any] = {}
        for replies, side in (("golden", golden), ("policy", policy)):
            result[replies] = self.tree(side.estimates) | {
                "retrieval": self.number(side.retrieved, "share", "mean", NO_CRITIC),
                "saturated": self.number(side.saturated, "share", "mean", NO_CRITIC),
            }
        for row, of in self.rows.items():
            if (scorer, name) in of:
                result[row] = self.tree(of[scorer, name], loss=row == "emid")
        result |= self.copying.category(scorer, name)
        result["relative"] = {}
        for estimator in ESTIMATORS:
            sides = (policy.estimates[estimator, "response"], golden.estimates[estimator, "response"])
            quotient, reason = emi.relative(*sides, estimator, self.settings.level)
            result["relative"][estimator] = self.number(quotient, "relative", estimator, reason)
        return result

    def reasoning_gain(self, name: str, category: Category) -> dict[str, Estimate]:
        """Paired difference of golden log-likelihoods; below 0 where reasoning makes golden replies less likely."""
        lengths, golden, unreasoned = self.measured["reasoned", name, "golden"], category.golden, category.golden_unreasoned
        if golden is None or unreasoned is None:
            nats = self.plan.resampling.constant(np.nan, category.no_golden)
        else:
            gained = np.diagonal(golden.loglik["reasoned"]) - unreasoned
            nats = self.plan.of_items(name, category.lineage, gained)
        in_units = per_response("mean", nats, lengths.tokens, lengths.chars)
        return {unit: self.number(quantity, unit, "mean") for (_, unit), quantity in in_units.items()}

    def self_section(self, name: str, category: Category) -> dict[str, object]:
        scores = category.self_scores
        reason = unavailable(None if scores is None else scores.truncated, category.horizon)
        if scores is None or scores.loglik is None or reason:
            return {"self_information": None, "reason": reason or "the policy's samples were not scored"}
        measured = measure_self(name, category, scores, self.plan)
        in_nats, mixed = measured["mixture"], {}
        for scorer in self.table.scorers:
            golden = self.measured[scorer, name, "golden"].estimates["mixture", "response"]
            mixed[scorer] = self.number(difference(in_nats, golden), "response", "mixture")
        return {
            "self_information": {
                "response": self.number(in_nats, "response", "mixture"),
                "per_token": self.number(ratio(in_nats, measured["tokens"]), "per_token", "mixture"),
            },
            "leave_one_out": self.number(measured["leave_one_out"], "response", "leave_one_out"),
            "self_emi_mixed_scorers": mixed,
            "samples": int(scores.loglik.shape[2]),
            "truncated": int(scores.truncated.sum()),
        }

    def shift(self, names: list[str]) -> dict[str, dict[str, Tree]]:
        result: dict[str, dict[str, Tree]] = {scorer: {} for scorer in self.table.scorers}
        for row, of in self.rows.items():
            for scorer in result:
                if all((scorer, name) in of for name in names):
                    result[scorer][row] = self.tree(emi.shift_row([of[scorer, name] for name in names]), loss=row == "emid")
        for scorer, section in result.items():
            section |= self.copying.shift(scorer, names)
        return result

    def controls(self, scorer: str) -> dict[str, dict[str, dict[str, object]]]:
        """EMI of the control policies by the estimators of `CONTROLLED`, and how often their context is retrieved."""
        result: dict[str, dict[str, dict[str, object]]] = {}
        plan = self.plan.without_bootstrap()
        for name, category in self.table.categories.items():
            policies, absent = dict(category.replies), unmeasured(plan, category.no_golden, CONTROLLED)
            of_golden = absent
            if category.golden is not None:
                of_golden = measure(name, category, category.golden, scorer, plan, CONTROLLED)
                policies.setdefault("golden_other", emi.golden_of_another(category.golden, category.blocks))
            for control in emi.CONTROLS:
                if control in policies:
                    measured = measure(name, category, policies[control], scorer, plan, CONTROLLED)
                elif category.golden is None and control in emi.OF_GOLDEN:
                    measured = absent
                else:
                    continue
                quantities = emi.cross(measured.estimates, of_golden.estimates)
                if control == "golden" and any(np.any(np.nan_to_num(quantity.values) != 0) for quantity in quantities.values()):
                    raise RuntimeError(f"{name}: the EMI of the golden control is not 0: estimators are not deterministic here")
                self.controlled[scorer, control, name] = quantities[RATE]
                retrieval = self.number(measured.retrieved, "share", "mean", NO_CRITIC)
                more = self.copying.control(scorer, name, control)
                result.setdefault(control, {})[name] = {**self.tree(quantities), "retrieval": retrieval, **more}
        return result

    def dials(self) -> dict[str, Any]:
        estimator, unit = self.settings.headline.split()
        keys = {"emid": (estimator, unit), "estimator_shift": (estimator, unit), "novel_emid": RATE}
        rows: dict[str, dict[str, dict[str, Replicates]]] = {}
        for scorer in self.table.scorers:
            rows[scorer] = {
                quantity: {name: self.rows[quantity][scorer, name][estimator, unit] for name in self.table.dials}
                for quantity in ("emid", "estimator_shift")
            }
            if self.copying.parted:
                novel = self.copying.parts[scorer, "novel"].rows["emid"]
                rows[scorer]["novel_emid"] = {name: novel[name][RATE] for name in self.table.dials}
        controls: dict[str, dict[str, dict[str, Replicates]]] = {scorer: {} for scorer in self.table.scorers}
        for (scorer, control, name), quantity in self.controlled.items():
            reference = self.controlled.get((scorer, control, self.references.get(name, "")))
            if name in self.table.dials and reference is not None:
                controls[scorer].setdefault(control, {})[name] = difference(reference, quantity)
        for scorer, of_controls in controls.items():  # a category may lack what a control is made of
            controls[scorer] = {name: of for name, of in of_controls.items() if of.keys() == self.table.dials.keys()}
        return dial_curves(self.table, rows, controls, keys, self.number, self.settings.level)

    def headline(self) -> dict[str, object]:
        """R-EMID by category and shift in the one estimator and unit that the settings name."""
        estimator, unit = self.settings.headline.split()
        scorer = self.table.scorers[0]
        result: dict[str, object] = {"estimator": estimator, "unit": unit, "scorer": scorer, "categories": None, "shifts": None}
        if not self.references:
            return result | {"reason": "the table holds no shift: it needs a category with a reference"}
        if all(category.golden is None for category in self.table.categories.values()):
            return result | {"reason": NO_GOLDEN}
        if estimator.startswith("mixture"):
            for (of, name, replies), side in self.measured.items():
                if of == scorer and side.saturated.values[0] > SATURATED_AT_MOST:
                    return result | {"reason": f"mixture is saturated on over {SATURATED_AT_MOST:.0%} of {name}/{replies}"}
        rows = {name: self.rows["emid"][scorer, name] for name in self.references}
        result["categories"] = {
            name: self.number(row[estimator, unit], unit, estimator, loss=True) for name, row in rows.items()
        }
        result["shifts"] = {
            shift: self.number(emi.shift_row([rows[name] for name in names])[estimator, unit], unit, estimator, loss=True)
            for shift, names in self.shifts.items()
        }
        return result
