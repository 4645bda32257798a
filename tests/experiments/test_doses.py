"""The script of doses from end to end, twice: on a tiny model, with four of its rungs."""

import pytest
from scripts import load

from remid_jax.evaluation import doses
from remid_jax.roles.degraded import RUNGS

SMALL = {
    "estimator.dtype": "float32", "estimator.max_reasoning": 2, "horizon": 16, "devices.tokens_per_step": 1024,
    "devices.sampling_rows": 4, "benchmark.categories": ("IDTest", "german"),
    "benchmark.source": "package:rpgbench_compact/eight",
}  # fmt: skip


@pytest.fixture
def few_rungs(monkeypatch):
    names = ("golden", "misplaced 50%", "parrot 100%", "half_golden_parrot")
    monkeypatch.setattr(doses, "RUNGS", [rung for rung in RUNGS if rung.name in names])
    return names


def test_the_script_writes_its_page_and_goes_on_from_its_store(call, tiny_directory, few_rungs, monkeypatch):
    changes = SMALL | {"estimator.model": str(tiny_directory), "draws": 2, "page": "doses.md"}
    work = call("doses", changes)
    found = load(work / "doses.json")
    assert found["records"] == {"IDTest": 8, "german": 8}
    assert tuple(found["rungs"]) == few_rungs
    assert found["rungs"]["misplaced 50%"]["changed"] == {"IDTest": 0.5, "german": 0.5}
    assert list(found["power"]) == ["8"]
    assert found["claims"]["identified"].keys() == {"golden > half_golden_parrot", "half_golden_parrot > parrot 100%"}
    assert [(row["lineages"], row["shift"], row["share"], row["view"]) for row in found["planted"]] == [
        (n, "user", share, view) for n in (8, 16) for share in (0.1, 0.25, 0.5, 1.0) for view in ("whole", "novel")
    ]
    golden = {name: of["IDTest"]["golden"]["value"] for name, of in found["values"].items()}
    assert {name for name, value in golden.items() if value is not None and value != 0} == set()
    assert "![Values by rung](doses.png)" in (work.parent / "doses.md").read_text()
    assert (work.parent / "doses.png").is_file()
    monkeypatch.setattr("remid_jax.scoring.engine.ScoringEngine.begin_scores", None)  # nothing is computed again
    before = (work / "doses.json").read_bytes()
    call("doses", changes)
    assert (work / "doses.json").read_bytes() == before


def test_records_in_which_no_shift_can_be_planted_have_all_else(call, tiny_directory, few_rungs):
    changes = SMALL | {
        "estimator.model": str(tiny_directory),
        "draws": 2,
        "page": "doses.md",
        "benchmark.categories": ("IDTest",),
    }
    changes |= {"benchmark.records": 6}
    work = call("doses", changes)
    found = load(work / "doses.json")
    assert found["planted"] == []
    assert found["left_out"] == {
        "planted shift": "no shift can be planted: 6 lineages have one record in every category, which needs 8"
    }
    assert found["records"] == {"IDTest": 6}
    page = (work.parent / "doses.md").read_text()
    assert "## A planted shift" not in page
    assert "- `planted shift` is left out: no shift can be planted: 6 lineages have one record" in page
