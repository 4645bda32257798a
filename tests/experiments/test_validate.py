"""The validate script on a small scale: parts are kept, the page is made of them, and too large a claim fails it."""

import pytest
from scripts import ROOT, load

CONFIG = f"--config={ROOT}/configs/validate.py"
SMALL = (
    "--config.scenarios=('user',)", "--config.worlds=50", "--config.restarts=4", "--config.steps=100",
    "--config.replications=20", "--config.draws=4",
)  # fmt: skip


def test_parts_are_kept_and_too_large_a_claim_is_an_error(run, tmp_path):
    flags = (CONFIG, *SMALL, "--config.workdir=work", "--config.page=page.md")
    first = run("validate", *flags)
    # 20 tables do not show coverage of 93 to 97%, so the product claims more than such a run finds.
    assert "the product claims more than was found: intervals of club" in first.error
    found = load(tmp_path / "work" / "validation.json")
    assert found["settings"]["replications"] == 20
    assert list(found["worlds"]) == list(found["ascents"]) == ["user"]
    assert found["worlds"]["user"]["bounds"]["information"]["violations"] == 0
    text = (tmp_path / "page.md").read_text()
    assert "# What was validated, and what was found" in text
    assert f"{found['worlds']['user']['bounds']['layered']['median']:.3f}"[1:] in text
    assert "worlds user" in first.err

    parts = {path: path.read_bytes() for path in (tmp_path / "work" / "parts").iterdir()}
    one = tmp_path / "work" / "parts" / "divergences.json"
    one.unlink()  # as if the run had been killed before it
    again = run("validate", *flags)
    assert again.error == first.error
    assert "divergences" in again.err
    assert "worlds user" not in again.err
    same = load(tmp_path / "work" / "validation.json")
    assert {k: v for k, v in same.items() if k != "seconds"} == {k: v for k, v in found.items() if k != "seconds"}
    assert all(path.read_bytes() == content for path, content in parts.items() if path != one)


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--config.worlds=0", "config.worlds=0 is below 1"),
        ("--config.scenarios=('weather',)", "config.scenarios: 'weather' is not one of user, character"),
        ("--config.run=missing.json", "missing.json"),
    ],
)
def test_what_cannot_be_is_refused_at_once(run, flag, said):
    assert said in run("validate", CONFIG, flag).error


def test_a_run_is_the_results_of_an_evaluation(run, tmp_path):
    (tmp_path / "other.json").write_text('{"estimates": {}}')
    assert "not the results.json of an evaluation" in run("validate", CONFIG, "--config.run=other.json").error
