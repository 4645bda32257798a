"""The records that several runs hold, and their score tables on these in one order (docs/protocol.md, rule 27)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.errors import UserError
from remid_jax.information.exchanges import of_records
from remid_jax.information.score_table import NO_GOLDEN, Category, Replies, ScoreTable

SIDES = ("golden", "policy")
FEWEST_RECORDS = 3  # of a fold: mutual information needs another context, and a jackknife leaves one out


class Outline(NamedTuple):
    """What of a category tells which records runs have in common, and what they can be compared by."""

    record: np.ndarray  # [n] str
    fold: np.ndarray | None  # [n] int; None: all in one
    has_golden: bool
    has_sources: bool  # whether golden and policy replies are parted by source


@dataclasses.dataclass(frozen=True)
class Common:
    """What runs have in common.

    Attributes:
      records: {category: the records that every run holds, in the order that tables get}.
      folds: {category: the baseline's folds of these records, or None}.
      has_sources: whether the replies of all runs are parted by source.
      missing: {category: {run: records that another run holds and this one does not}}; only where there are some.
      left_out: {category: why it is in no table}.
    """

    records: dict[str, np.ndarray]
    folds: dict[str, np.ndarray | None]
    has_sources: bool
    missing: dict[str, dict[str, list[str]]]
    left_out: dict[str, str]

    def table(self, table: ScoreTable, baseline: ScoreTable) -> ScoreTable:
        """Returns a run's table on these records alone, in this order: golden and policy replies, folds as the baseline's."""
        categories = {
            name: _restricted(table.categories[name], records, self.folds[name]) for name, records in self.records.items()
        }
        dials = {name: point for name, point in baseline.dials.items() if name in categories}
        return ScoreTable(table.scorers, categories, baseline.design, dials=dials)


class Gap(NamedTuple):
    """The largest difference between the golden log-likelihoods of two runs."""

    nats_per_token: float
    category: str
    record: str  # whose golden reply it is


def outline(table: ScoreTable) -> dict[str, Outline]:
    """Returns {category: what tells its records} of a table."""
    return {
        name: Outline(
            category.record,
            category.fold,
            category.golden is not None,
            all(of.by_source is not None for side, of in category.replies.items() if side in SIDES),
        )
        for name, category in table.categories.items()
    }


def in_common(outlines: Mapping[str, Mapping[str, Outline]]) -> Common:
    """Returns the records, paired by id and category, that every run holds; the first is the baseline.

    Records keep their order where it is the same in all runs, and are sorted by id where it is not, so that it does not matter
    which run is the baseline. A category of which records are missing goes where fewer than 3 of a fold are left: as many
    contexts are compared in every category, so it would take the others' intervals with it.

    Raises:
      UserError: two runs part the same records into other folds, so other estimators scored them.
    """
    records: dict[str, np.ndarray] = {}
    missing: dict[str, dict[str, list[str]]] = {}
    left_out: dict[str, str] = {}
    first = next(iter(outlines))
    for name in dict.fromkeys(name for of_run in outlines.values() for name in of_run):
        in_runs = {run: of_run[name] for run, of_run in outlines.items() if name in of_run}
        if absent := [run for run in outlines if run not in in_runs]:
            left_out[name] = f"not evaluated in {', '.join(absent)}"
            continue
        if not all(of.has_golden for of in in_runs.values()):
            left_out[name] = NO_GOLDEN
            continue
        found = _common([of.record for of in in_runs.values()])
        if lacking := _lacking({run: of.record for run, of in in_runs.items()}):
            missing[name] = lacking
        counts = np.unique(_folds(in_runs[first], found), return_counts=True)[1]
        fewest = int(counts.min()) if len(counts) else 0
        if lacking and fewest < FEWEST_RECORDS:
            where = " of a fold" if len(counts) > 1 else ""
            left_out[name] = f"{fewest} record{'s' * (fewest != 1)}{where} in common, which needs {FEWEST_RECORDS}"
            continue
        records[name] = found
    _check_folds(outlines, records)
    baseline = outlines[first]
    folds = {name: None if baseline[name].fold is None else _folds(baseline[name], of) for name, of in records.items()}
    has_sources = all(of_run[name].has_sources for of_run in outlines.values() for name in records)
    return Common(records, folds, has_sources, missing, left_out)


def _common(records: Sequence[np.ndarray]) -> np.ndarray:
    if all(_alike(records[0], others) for others in records[1:]):
        return records[0]
    return np.array(sorted(set.intersection(*(set(of_run.tolist()) for of_run in records))), dtype=str)


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    return one is other or np.array_equal(one, other)


def _lacking(records: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    first = next(iter(records.values()))
    if all(_alike(first, of_run) for of_run in records.values()):
        return {}
    everything = set().union(*(of_run.tolist() for of_run in records.values()))
    lacking = {run: sorted(everything - set(of_run.tolist())) for run, of_run in records.items()}
    return {run: names for run, names in lacking.items() if names}


def _places(records: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = {record: number for number, record in enumerate(records.tolist())}
    return np.array([place[record] for record in wanted.tolist()], dtype=np.int64)


def _folds(of: Outline, records: np.ndarray) -> np.ndarray:
    """The folds of these records."""
    return np.zeros(len(records), np.int64) if of.fold is None else of.fold[_places(of.record, records)]


def _restricted(category: Category, records: np.ndarray, fold: np.ndarray | None) -> Category:
    """The category with these records alone, and of their scores what comparing needs."""
    replies = {name: scores for name, scores in category.replies.items() if name in SIDES}
    category = dataclasses.replace(
        category, replies=replies, self_scores=None, cross=None, embeddings={}, identities={}, fold=fold
    )
    if _alike(category.record, records):
        return category
    places = _places(category.record, records)
    return dataclasses.replace(
        category,
        record=category.record[places],
        lineage=category.lineage[places],
        clusters={kind: of[places] for kind, of in category.clusters.items()},
        replies={name: of_records(scores, places) for name, scores in replies.items()},
        unreasoned=None if category.unreasoned is None else category.unreasoned[places],
    )


def _check_folds(outlines: Mapping[str, Mapping[str, Outline]], records: Mapping[str, np.ndarray]) -> None:
    """Refuses runs whose folds are others than the baseline's; their numbers may differ where a run holds other records."""

    def of_run(run: str) -> list[int]:
        return [fold for name, of_category in records.items() for fold in _folds(outlines[run][name], of_category).tolist()]

    baseline, *others = outlines
    known = {name: outlines[baseline][name] for name in records}
    expected = of_run(baseline)
    for run in others:
        if all(_same_folds(outlines[run][name], of) for name, of in known.items()):
            continue
        pairs = set(zip(expected, of_run(run), strict=True))
        if len(pairs) > len({mine for mine, _ in pairs}) or len(pairs) > len({theirs for _, theirs in pairs}):
            raise UserError(
                f"{run}: its records are scored in other folds than in {baseline}: evaluate both with one estimator"
            )


def _same_folds(one: Outline, other: Outline) -> bool:
    if one.fold is None or other.fold is None:
        return one.fold is other.fold
    return _alike(one.record, other.record) and _alike(one.fold, other.fold)


def changed_lineages(run: ScoreTable, baseline: ScoreTable, within: float) -> dict[str, int]:
    """Returns {category: lineages in which a policy reply is another}, of two tables on the same records.

    Of folds the one counts in which they are fewest, but some; where clusters are of several kinds, the kind with fewest.

    A reply is the same if it is as long and its log-likelihoods in every context are `within` nats a token of one another.
    """
    counts = {}
    for name, category in baseline.categories.items():
        before, now = category.replies["policy"], run.categories[name].replies["policy"]
        other = (now.tokens != before.tokens) | (now.chars != before.chars)
        for scorer in before.loglik:
            other |= _gaps(now, before, scorer, category.folds) > within
        kinds = category.clusters.values() or [category.lineage]
        folds = [other & (category.folds == fold) for fold in np.unique(category.folds[other])]
        counts[name] = min((len(np.unique(clusters[fold])) for clusters in kinds for fold in folds), default=0)
    return counts


def _gaps(run: Replies, baseline: Replies, scorer: str, folds: np.ndarray) -> np.ndarray:
    """The largest difference of each reply's log-likelihoods over the contexts of its fold [n], nats a token."""
    if run.loglik[scorer] is baseline.loglik[scorer]:
        return np.zeros(len(folds))
    within = folds[:, None] == folds
    return np.where(within, np.abs(run.loglik[scorer] - baseline.loglik[scorer]), 0.0).max(axis=0) / baseline.tokens


def golden_gap(run: ScoreTable, baseline: ScoreTable) -> Gap:
    """Returns how far the golden log-likelihoods of two tables on the same records are apart, infinitely where lengths differ.

    Only contexts and replies of one fold are looked at, as in every estimate.
    """
    worst = Gap(0.0, "", "")
    for name, category in baseline.categories.items():
        golden, same = category.replies["golden"], run.categories[name].replies["golden"]
        for scorer in golden.loglik:
            gaps = np.where(same.tokens == golden.tokens, _gaps(same, golden, scorer, category.folds), np.inf)
            reply = int(gaps.argmax())
            if gaps[reply] > worst.nats_per_token:
                worst = Gap(float(gaps[reply]), name, str(category.record[reply]))
    return worst
