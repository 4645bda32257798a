"""How far two categories' contexts are apart, factor by factor, from embeddings of their texts.

The choices are those of docs/protocol.md, rule 15. For a reference (P) and a shifted category (Q), n texts of each factor a
side:
the representation divergence and the classifier's lower bound of every subset of factors, each against its permutation null;
cascades and Shapley shares; and, where g is known for every context, the layered bound's B_k and e_k by regressions of g and of
the side on nested factors (docs/theory.md, T4).
Everything here is an estimate and nothing is a guarantee.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping

import numpy as np

from remid_jax.information.intervals import Estimate, Replicates, Resampling, combine, number
from remid_jax.information.score_table import FACTORS
from remid_jax.shifts.two_samples.relabelling import ENOUGH, RELABELLINGS, against_null, relabellings, weights
from remid_jax.shifts.two_samples.representation import SUBSETS, divergences, gram, standardised, subset_grams
from remid_jax.shifts.two_samples.ridge import LeftOut, classifier_limit, classifier_scores, classify, left_out, regress
from remid_jax.theory.bounds import layered

NAMES = {subset: "+".join(FACTORS[factor] for factor in subset) for subset in SUBSETS if subset}
ORDERS = {", ".join(FACTORS[factor] for factor in order): order for order in layered.ORDERS}
WHOLE = SUBSETS[-1]
SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Pair:
    """A category beside its reference: N = 2n items, those of the reference first."""

    lineage: np.ndarray  # str [N]
    in_p: np.ndarray  # bool [N]
    relabelled: np.ndarray  # bool [RELABELLINGS, N]
    resampling: Resampling  # with room for the lineages of both
    representation: dict[tuple[int, ...], Replicates]
    representation_null: dict[tuple[int, ...], np.ndarray]
    odds: dict[tuple[int, ...], np.ndarray]  # v [N, 1 + RELABELLINGS] of `classify`, labels as they are first
    regressors: dict[tuple[int, ...], LeftOut]

    def mean_of(self, values: np.ndarray) -> Replicates:
        """Half the mean over P plus half the mean over Q of values [N], with its replicates."""
        rows = self.resampling.weights(self.lineage)
        with np.errstate(invalid="ignore", divide="ignore"):
            sides = [(rows[:, side] @ values[side]) / rows[:, side].sum(1) for side in (self.in_p, ~self.in_p)]
        return self.resampling.replicates([((sides[0] + sides[1]) / 2, self.lineage)])

    def classifier(self, subset: tuple[int, ...]) -> Replicates:
        """The classifier's lower bound of D_JS."""
        return self.mean_of(classifier_scores(self.odds[subset][:, 0], self.in_p))

    def excess(self, subset: tuple[int, ...]) -> Replicates:
        """The representation divergence above its null's mean."""
        null = self.representation_null[subset].mean()
        return combine(lambda value: value - null, self.representation[subset])

    def divergence(self) -> Replicates:
        """D_JS(P_X || Q_X), within 0 .. ln 2: the largest estimate over all subsets of factors, since each of them is low."""
        estimates = [estimate(subset) for subset in NAMES for estimate in (self.excess, self.classifier)]
        return combine(lambda *values: np.clip(np.max(values, axis=0), 0, np.log(2)), *estimates)


def compare(
    features: tuple[Mapping[str, np.ndarray], Mapping[str, np.ndarray]], lineages: tuple[np.ndarray, np.ndarray],
    resampling: Resampling, seed: int,
) -> Pair:  # fmt: skip
    """A category beside its reference, from unit feature rows [n, D] of each factor and lineages [n], of both in this order.

    Lineages that clusters of any kind link keep together in relabellings, and predict nothing of one another.
    """
    n = len(lineages[0])
    lineage, in_p = np.concatenate(lineages), np.arange(2 * n) < n
    grams = subset_grams(np.stack([gram(np.concatenate([side[factor] for side in features])) for factor in FACTORS]))
    group = np.array([resampling.components[name] for name in lineage.tolist()])
    relabelled = relabellings(group, in_p, RELABELLINGS, seed)
    rows = resampling.weights(lineage)
    with np.errstate(invalid="ignore", divide="ignore"):
        p, q = ((rows * side) / (rows * side).sum(1, keepdims=True) for side in (in_p, ~in_p))
    usable = np.isfinite(p).all(1) & np.isfinite(q).all(1)
    null_p, null_q = weights(relabelled)
    found = divergences(grams[1:], np.concatenate([p[usable], null_p]), np.concatenate([q[usable], null_q]))
    values = np.full((len(rows), len(SUBSETS) - 1), np.nan)
    values[usable] = found[: usable.sum()]
    null = found[usable.sum() :]
    labels = np.concatenate([in_p[None], relabelled]).T
    regressors = {subset: left_out(grams[number], group) for number, subset in enumerate(SUBSETS) if subset}
    return Pair(
        lineage, in_p, relabelled, resampling,
        {subset: resampling.replicates([(values[:, i], lineage)]) for i, subset in enumerate(SUBSETS[1:])},
        {subset: null[:, i] for i, subset in enumerate(SUBSETS[1:])},
        {subset: classify(of, labels) for subset, of in regressors.items()},
        regressors,
    )  # fmt: skip


def features_of(
    embeddings: Mapping[str, Mapping[str, np.ndarray]], dials: Collection[str] = ()
) -> dict[str, dict[str, np.ndarray]]:
    """Unit rows for {category: {factor: [n, D]}}: columns standardised over the texts of all categories together.

    Categories that dials made, `dials`, take part in that only if there are no others.
    """
    deciding = [of_category for name, of_category in embeddings.items() if name not in dials] or list(embeddings.values())
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in embeddings}
    for factor in FACTORS:
        rows = standardised(
            np.concatenate([of_category[factor] for of_category in embeddings.values()]),
            np.concatenate([of_category[factor] for of_category in deciding]),
        )
        ends = np.cumsum([len(of_category[factor]) for of_category in embeddings.values()])
        for name, end, of_category in zip(embeddings, ends, embeddings.values(), strict=True):
            found[name][factor] = rows[end - len(of_category[factor]) : end]
    return found


def section(pair: Pair, level: float) -> dict[str, object]:
    """The pair's divergences, JSON-ready: {"texts", "underpowered", "of": {subset: estimate}, "cascade", "shapley", "shares"}.

    An estimate is {"representation": number, "null", "excess": number, "p_value", "classifier": number, "classifier_limit",
    "classifier_p_value"}. `cascade` {order: {factor: number}} and `shapley` {factor: {"sum": number, "null"}} share out the
    joint representation divergence; `shares` {factor: share} its excess, or {"reason"} where that is not significant.
    """
    n = int(pair.in_p.sum())

    def told(quantity: Replicates, estimator: str) -> Estimate:
        return number(quantity, unit="nats", estimator=estimator, n=n, level=level)

    estimates = {}
    for subset, name in NAMES.items():
        observed, labels = pair.representation[subset], np.concatenate([pair.in_p[None], pair.relabelled]).T
        against = against_null(float(observed.values[0]), pair.representation_null[subset])
        scores = classifier_scores(pair.odds[subset], labels)
        estimates[name] = {
            "representation": told(observed, "representation"),
            "null": against["null"],
            "excess": told(pair.excess(subset), "representation"),
            "p_value": against["p_value"],
            "classifier": told(pair.classifier(subset), "classifier"),
            "classifier_limit": classifier_limit(scores[:, 0], level),
            "classifier_p_value": against_null(float(scores[:, 0].mean()), scores[:, 1:].mean(0))["p_value"],
        }
    by_order = increments({subset: pair.representation[subset] for subset in NAMES})
    chance = increments({subset: _constant(pair.representation_null[subset].mean(), pair) for subset in NAMES})
    shapley = {factor: average_of([order[factor] for order in by_order.values()]) for factor in FACTORS}
    expected = {factor: average_of([order[factor] for order in chance.values()]).values[0] for factor in FACTORS}
    whole = estimates[NAMES[WHOLE]]
    shares: dict[str, float] | None = None
    if whole["p_value"] <= SIGNIFICANT:
        above = {factor: max(float(shapley[factor].values[0] - expected[factor]), 0.0) for factor in FACTORS}
        shares = {factor: above[factor] / total if (total := sum(above.values())) else 0.0 for factor in FACTORS}
    return {
        "texts": n,
        "underpowered": n < ENOUGH,
        "of": estimates,
        "cascade": {
            name: {factor: told(quantity, "representation") for factor, quantity in order.items()}
            for name, order in by_order.items()
        },
        "shapley": {
            factor: {"sum": told(quantity, "representation"), "null": float(expected[factor])}
            for factor, quantity in shapley.items()
        },
        "shares": shares if shares is not None else {"reason": "the joint divergence is not above chance"},
    }


def _constant(value: float, pair: Pair) -> Replicates:
    return combine(lambda values: np.full_like(values, value), pair.representation[WHOLE])


def increments(of: Mapping[tuple[int, ...], Replicates]) -> dict[str, dict[str, Replicates]]:
    """What each factor adds to a quantity known for every subset of factors (0 for none), in each of the six `ORDERS`."""
    found: dict[str, dict[str, Replicates]] = {}
    for name, order in ORDERS.items():
        added = {}
        for turn, factor in enumerate(order):
            now, before = tuple(sorted(order[: turn + 1])), tuple(sorted(order[:turn]))
            added[FACTORS[factor]] = combine(np.subtract, of[now], of[before]) if before else of[now]
        found[name] = {factor: added[factor] for factor in FACTORS}
    return found


def average_of(parts: list[Replicates]) -> Replicates:
    """The mean over orders of one factor's increments."""
    return combine(lambda *values: np.mean(values, axis=0), *parts)


def layered_section(pair: Pair, g: np.ndarray, variance: Replicates, level: float) -> dict[str, object]:
    """B_k and e_k of the layered bound, averaged over the six orders: {factor: {"bound", "signed", "null", "p_value"}}.

    `g` [N] is the mean over replies, `variance` Var_M(g) from independent halves of them. E_M[g | factors] and E_M[s | factors]
    are predicted for each context from all other lineages; second moments pair a prediction with what it predicts, which a
    noisy prediction lowers and never raises. `null`: the mean B_k under relabelling; `p_value`: of B_k against it.
    """
    n = int(pair.in_p.sum())
    signs = np.where(np.concatenate([pair.in_p[None], pair.relabelled]), 1.0, -1.0).T
    centred = g - g.mean()
    of_g = {subset: regress(of, centred) for subset, of in pair.regressors.items()}
    moments: dict[str, dict[tuple[int, ...], Replicates]] = {"variance": {}, "tilt": {}, "signed": {}}
    chance_tilt: dict[tuple[int, ...], np.ndarray] = {}
    for subset in NAMES:
        tilts = np.tanh(pair.odds[subset])
        whole = subset == WHOLE
        moments["variance"][subset] = variance if whole else pair.mean_of(centred * of_g[subset])
        moments["tilt"][subset] = pair.mean_of(signs[:, 0] * tilts[:, 0])
        moments["signed"][subset] = pair.mean_of(2 * signs[:, 0] * (centred if whole else of_g[subset]))
        chance_tilt[subset] = (signs[:, 1:] * tilts[:, 1:]).mean(0)
    by_order = {quantity: increments(of) for quantity, of in moments.items()}
    found: dict[str, object] = {}
    for factor in FACTORS:

        def product(variance: np.ndarray, tilt: np.ndarray) -> np.ndarray:
            return 2 * np.sqrt(np.maximum(variance, 0) * np.maximum(tilt, 0))

        bounds = [combine(product, by_order["variance"][o][factor], by_order["tilt"][o][factor]) for o in ORDERS]
        chance = np.zeros(RELABELLINGS)
        for name, order in ORDERS.items():
            turn = order.index(FACTORS.index(factor))
            now, before = tuple(sorted(order[: turn + 1])), tuple(sorted(order[:turn]))
            tilt = chance_tilt[now] - (chance_tilt[before] if before else 0)
            chance += product(by_order["variance"][name][factor].values[:1], tilt) / len(ORDERS)
        bound = average_of(bounds)
        signed = average_of([by_order["signed"][order][factor] for order in ORDERS])
        against = against_null(float(bound.values[0]), chance)
        found[factor] = {
            "bound": number(bound, unit="response", estimator="layered", n=n, level=level),
            "signed": number(signed, unit="response", estimator="layered", n=n, level=level),
            "null": against["null"],
            "p_value": against["p_value"],
        }
    return found
