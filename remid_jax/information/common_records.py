"""Score tables of several runs on the records that all of them hold, in one order (docs/protocol.md, rule 27)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from remid_jax.errors import UserError
from remid_jax.information.exchanges import of_records
from remid_jax.information.score_table import NO_GOLDEN, Category, Replies, ScoreTable

FEWEST_RECORDS = 3  # of a fold: mutual information needs another context, and a jackknife leaves one out


@dataclasses.dataclass(frozen=True)
class Common:
    """What runs have in common.

    Attributes:
      tables: {run: its table}, all with the same categories, records, order and folds; golden and policy replies only.
      missing: {category: {run: records that another run holds and this one does not}}; only where there are some.
      left_out: {category: why it is in no table}.
    """

    tables: dict[str, ScoreTable]
    missing: dict[str, dict[str, list[str]]]
    left_out: dict[str, str]


class Gap(NamedTuple):
    """The largest difference between the golden log-likelihoods of two runs."""

    nats_per_token: float
    category: str
    record: str  # whose golden reply it is


def on_common_records(tables: Mapping[str, ScoreTable]) -> Common:
    """Returns the tables on the records, paired by id and category, that every run holds; the first is the baseline.

    Records keep their order where it is the same in all runs, and are sorted by id where it is not, so that it does not matter
    which run is the baseline. A category of which records are missing goes where fewer than 3 of a fold are left: as many
    contexts are compared in every category, so it would take the others' intervals with it.

    Raises:
      UserError: two runs part the same records into other folds, so other estimators scored them.
    """
    kept: dict[str, dict[str, Category]] = {run: {} for run in tables}
    missing: dict[str, dict[str, list[str]]] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys(name for table in tables.values() for name in table.categories):
        in_runs = {run: table.categories[name] for run, table in tables.items() if name in table.categories}
        if absent := [run for run in tables if run not in in_runs]:
            left_out[name] = f"not evaluated in {', '.join(absent)}"
            continue
        if any(category.golden is None for category in in_runs.values()):
            left_out[name] = NO_GOLDEN
            continue
        records = _common([category.record for category in in_runs.values()])
        if lacking := _lacking({run: category.record for run, category in in_runs.items()}):
            missing[name] = lacking
        places = {run: _places(category.record, records) for run, category in in_runs.items()}
        first = next(iter(tables))
        fold = in_runs[first].folds[places[first]]
        counts = np.unique(fold, return_counts=True)[1]
        fewest = int(counts.min()) if len(counts) else 0
        if lacking and fewest < FEWEST_RECORDS:
            where = " of a fold" if len(counts) > 1 else ""
            left_out[name] = f"{fewest} record{'s' * (fewest != 1)}{where} in common, which needs {FEWEST_RECORDS}"
            continue
        for run, category in in_runs.items():
            kept[run][name] = _restricted(category, places[run])
    return Common(_with_one_fold(tables, kept), missing, left_out)


def _common(records: Sequence[np.ndarray]) -> np.ndarray:
    if all(np.array_equal(records[0], others) for others in records[1:]):
        return records[0]
    return np.array(sorted(set.intersection(*(set(of_run.tolist()) for of_run in records))), dtype=str)


def _lacking(records: Mapping[str, np.ndarray]) -> dict[str, list[str]]:
    everything = set().union(*(of_run.tolist() for of_run in records.values()))
    lacking = {run: sorted(everything - set(of_run.tolist())) for run, of_run in records.items()}
    return {run: names for run, names in lacking.items() if names}


def _places(records: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    place = {record: number for number, record in enumerate(records.tolist())}
    return np.array([place[record] for record in wanted.tolist()], dtype=np.int64)


def _restricted(category: Category, places: np.ndarray) -> Category:
    """The category with these records alone, and of their scores what comparing needs."""
    replies = {name: of_records(scores, places) for name, scores in category.replies.items() if name in ("golden", "policy")}
    return dataclasses.replace(
        category,
        record=category.record[places],
        lineage=category.lineage[places],
        clusters={kind: of[places] for kind, of in category.clusters.items()},
        replies=replies,
        self_scores=None,
        cross=None,
        embeddings={},
        identities={},
        fold=None if category.fold is None else category.fold[places],
        unreasoned=None if category.unreasoned is None else category.unreasoned[places],
    )


def _with_one_fold(tables: Mapping[str, ScoreTable], kept: dict[str, dict[str, Category]]) -> dict[str, ScoreTable]:
    """Gives every run the baseline's numbers of folds, which may differ where a run held other records besides."""
    baseline, *others = tables
    names = list(kept[baseline])
    folds = {run: np.concatenate([kept[run][name].folds for name in names] or [np.empty(0)]) for run in tables}
    for run in others:
        pairs = set(zip(folds[baseline].tolist(), folds[run].tolist(), strict=True))
        if len(pairs) > len({mine for mine, _ in pairs}) or len(pairs) > len({theirs for _, theirs in pairs}):
            raise UserError(
                f"{run}: its records are scored in other folds than in {baseline}: evaluate both with one estimator"
            )
    return {
        run: ScoreTable(
            tables[run].scorers,
            {name: dataclasses.replace(kept[run][name], fold=kept[baseline][name].fold) for name in names},
            tables[baseline].design,
        )
        for run in tables
    }


def changed_lineages(run: ScoreTable, baseline: ScoreTable, within: float) -> dict[str, int]:
    """Returns {category: lineages in which a policy reply is another}, of two tables on the same records; where clusters are of
    several kinds, those of the kind with fewest.

    A reply is the same if it is as long and its log-likelihoods in every context are `within` nats a token of one another.
    """
    counts = {}
    for name, category in baseline.categories.items():
        before, now = category.replies["policy"], run.categories[name].replies["policy"]
        other = (now.tokens != before.tokens) | (now.chars != before.chars)
        for scorer in before.loglik:
            other |= _gaps(now, before, scorer, category.folds) > within
        kinds = category.clusters.values() or [category.lineage]
        counts[name] = min(len(np.unique(clusters[other])) for clusters in kinds)
    return counts


def _gaps(run: Replies, baseline: Replies, scorer: str, folds: np.ndarray) -> np.ndarray:
    """The largest difference of each reply's log-likelihoods over the contexts of its fold [n], nats a token."""
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
