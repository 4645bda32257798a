"""Folds of crossed clusters: nothing is shared between them, and where that cannot be, one line says so."""

import pytest
from ml_collections import ConfigDict
from refusal import refusal

from remid_jax.dialogues.records import Record, Turn
from remid_jax.learning.estimator_training import split
from remid_jax.learning.groups import unrelated_groups

CONFIG = ConfigDict({"protocol": "cross_fitted", "batch": 1, "prompts_per_step": 1, "benchmark": {"source": "talks.jsonl"}})


def record(user, character):
    clusters = {"user": f"u{user}", "character": f"c{character}"}
    return Record(f"{user}-{character}", "", {"name": "Bo"}, (Turn("user", "Hi?"),), "Ho.", "IDTest", clusters=clusters)


def test_folds_share_no_user_and_no_character():
    houses = [range(0, 2), range(2, 4), range(4, 7), range(7, 9)]  # users of a house meet its characters alone
    records = [record(user, character) for house in houses for user in house for character in house]
    first, second = split(CONFIG, records)
    assert sorted(of.id for of in first.seen + first.unseen) == sorted(of.id for of in records)
    assert first.seen == second.unseen
    assert second.seen == first.unseen
    for kind in ("user", "character"):
        assert not {of.clusters[kind] for of in first.seen} & {of.clusters[kind] for of in first.unseen}
    assert abs(len(first.seen) - len(first.unseen)) <= 4 + 1  # 4, 4, 9 and 4 records: as even as houses allow
    assert sorted(set(unrelated_groups(records))) == ["c0", "c2", "c4", "c7"]


def test_what_hangs_together_cannot_be_divided():
    records = [record(user, character) for user in range(4) for character in range(3)]
    assert refusal(split, CONFIG, records) == (
        "talks.jsonl: all 12 records hang together by the clusters of their lineages (user, character), so no two folds are "
        "unrelated: measure with the bare estimator (config.estimator.adapters=), or name as lineage only what no two folds "
        "may share"
    )


@pytest.mark.parametrize("lineages", [["a", "b", "a", "c"], ["x"] * 3, []])
def test_records_of_one_kind_of_lineage_are_grouped_by_it(lineages):
    records = [Record(str(n), "", {"name": "Bo"}, (), "Ho.", "IDTest", lineage) for n, lineage in enumerate(lineages)]
    assert unrelated_groups(records) == lineages
