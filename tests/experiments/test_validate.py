"""The validate script on a small scale: parts are kept, the page is made of them, and too large a claim fails it."""

import pytest
from scripts import load

from experiments import validate
from remid_jax.validation import (
    copying_study,
    coverage_study,
    crossed_study,
    dial_study,
    fold_study,
    simultaneous_study,
    world_study,
)

# Ascents are those of tests/validation/test_ascent.py: compiling one takes half a minute, running it few seconds.
SMALL = {
    "scenarios": ("user",), "worlds": 50, "restarts": 12, "steps": 600, "replications": 20, "draws": 4, "page": "page.md",
}  # fmt: skip


def test_parts_are_kept_and_too_large_a_claim_is_an_error(refused, tmp_path, monkeypatch, capsys):
    whole = world_study.ascents

    def two_climbs(name, bounds, *rest):
        """Of all bounds the ascents of two: every bound is compiled for a long time, and attacked in test_ascent.py."""
        climbed = whole(name, ("information", "published"), *rest)
        return {bound: climbed.get(bound, climbed["information"]) for bound in bounds}

    monkeypatch.setattr(world_study, "ascents", two_climbs)
    # Each size of a table is compiled anew.
    for name, few in (("SIZES", (16, 32)), ("BIAS_SIZES", (16,)), ("SMOOTHINGS", (0.0, 0.3)), ("PAIRS_COMPARED", (100,))):
        monkeypatch.setattr(coverage_study, name, few)
    monkeypatch.setattr(crossed_study, "DESIGNS", crossed_study.DESIGNS[:2])
    monkeypatch.setattr(simultaneous_study, "SIZES", (16,))
    monkeypatch.setattr(copying_study, "SIZES", copying_study.SIZES[:2])
    monkeypatch.setattr(dial_study, "SIZES", dial_study.SIZES[:1])
    monkeypatch.setattr(fold_study, "SIZES", (16,))  # the size of tests/validation/test_fold_study.py
    first = refused("validate", SMALL)
    # 20 tables do not show coverage of 93 to 97%, so the product claims more than such a run finds.
    assert "the product claims more than was found: intervals of club" in first
    found = load(tmp_path / "work" / "validation.json")
    assert found["settings"]["replications"] == 20
    assert list(found["worlds"]) == list(found["ascents"]) == ["user"]
    assert found["worlds"]["user"]["bounds"]["information"]["violations"] == 0
    assert found["folds"]["worlds"]["user"]["worlds"] > 0
    assert [(row["n"], row["quantity"]) for row in found["folds"]["coverage"]["calm"]] == [
        (16, name) for name in fold_study.QUANTITIES
    ]
    text = (tmp_path / "page.md").read_text()
    assert "# What was validated, and what was found" in text
    assert f"{found['worlds']['user']['bounds']['layered']['median']:.3f}"[1:] in text
    assert "worlds user" in capsys.readouterr().err

    parts = {path: path.read_bytes() for path in (tmp_path / "work" / "parts").iterdir()}
    one = tmp_path / "work" / "parts" / "divergences.json"
    one.unlink()  # as if the run had been killed before it
    assert refused("validate", SMALL) == first
    said = capsys.readouterr().err
    assert "divergences" in said
    assert "worlds user" not in said
    same = load(tmp_path / "work" / "validation.json")
    assert {k: v for k, v in same.items() if k != "seconds"} == {k: v for k, v in found.items() if k != "seconds"}
    assert all(path.read_bytes() == content for path, content in parts.items() if path != one)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"worlds": 0}, "config.worlds=0: must be a whole number from 1 to 2147483647"),
        ({"scenarios": ("weather",)}, "config.scenarios: 'weather' is not one of user, character"),
        ({"run": "missing.json"}, "missing.json"),
    ],
)
def test_what_cannot_be_is_refused_at_once(refused, changes, said):
    assert said in refused("validate", changes)


@pytest.mark.parametrize("room", ["information", "shifts", "theory"])
def test_whatever_changes_in_these_rooms_is_validated_anew(room, tmp_path, monkeypatch):
    package = tmp_path / "remid_jax"
    for name in validate.ROOMS:
        (package / name).mkdir(parents=True)
        (package / name / "some.py").write_text("A = 1")
    monkeypatch.setattr(validate.remid_jax, "__file__", str(package / "__init__.py"))
    before = validate.sources()
    (package / room / "some.py").write_text("A = 2")
    assert validate.sources() != before


def test_a_run_is_the_results_of_an_evaluation(refused, tmp_path):
    headline = '{"headline": {"estimator": "club", "unit": "token_rate"}, "categories": []}'
    for estimates in ("{}", headline):
        (tmp_path / "other.json").write_text(f'{{"estimates": {estimates}}}')
        assert "not the results.json of an evaluation" in refused("validate", {"run": "other.json"})
