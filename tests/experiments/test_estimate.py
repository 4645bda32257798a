"""The estimate script: from a stored table to a printed table and a JSON file, without a model."""

import numpy as np
import pytest
from score_arrays import score_arrays, with_sources
from scripts import ROOT, load

from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices

CONFIG = f"--config={ROOT}/configs/estimate.py"


@pytest.fixture(scope="module")
def arrays():
    return with_sources(score_arrays({"IDTest": 8, "german": 8, "Film & Television": 8}))


def test_all_estimates_come_from_the_stored_matrices_alone(run, tmp_path, arrays):
    np.savez(tmp_path / "scores.npz", **arrays)
    done = run("estimate", CONFIG, "--config.input=scores.npz", "--config.output=estimates.json", "--config.settings.level=0.9")
    assert done.code == 0, done.err
    written = load(tmp_path / "estimates.json")
    assert written == estimates(parse(arrays), Settings(level=0.9), Devices())
    for row in ("IDTest", "Film & Television", "character shift", "user shift", "90% intervals"):
        assert row in done.out
    emid = written["headline"]["categories"]["german"]
    low, high = emid["interval"]["low"], emid["interval"]["high"]
    assert f"{emid['value']:+.4f} ({low:+.4f}, {high:+.4f})†" in done.out
    said = " ".join(done.out.split())
    assert said.startswith(" ".join(written["verdict"]["sentences"]))
    german = written["categories"]["german"]["reasoned"]
    novel, traced = german["by_source"]["emid"]["novel"]["club"]["token_rate"], german["identified"]["policy"]["novel"]
    assert f"{novel['value']:+.4f} ({novel['interval']['low']:+.4f}, " in said
    assert f"{traced['value']:.0%} (" in said


def test_bad_input_is_refused_and_leaves_no_file(refused, tmp_path, arrays):
    (tmp_path / "text.npz").write_text("not an archive")
    np.savez(tmp_path / "faulty.npz", **(arrays | {"german/loglik/plain/golden": np.full((8, 8), np.nan)}))
    for name, said in (("missing", "no such file"), ("text", "not an .npz"), ("faulty", "64 values that are not finite")):
        assert said in refused("estimate", {"input": f"{name}.npz", "output": "estimates.json"})
    assert "config.input is not set" in refused("estimate", {})
    assert not (tmp_path / "estimates.json").exists()
