"""The study of differences between runs against the product's own path, and against exact population values."""

import jax
import numpy as np
import pytest

from remid_jax.information import calibration
from remid_jax.information import estimates as information
from remid_jax.information.differences import Layout, Measuring, Place, differences
from remid_jax.information.estimates import Settings
from remid_jax.information.intervals import interval, jackknife
from remid_jax.information.score_table import Category, Replies, ScoreTable
from remid_jax.parallel import Devices
from remid_jax.validation import comparison_study as study
from remid_jax.validation.coverage_study import channels

N = 16


def as_table(scores, nowhere):
    """A score table of IDTest and one shifted category, whose i-th records are of one lineage."""
    ones = np.full(N, 10)
    names = np.array([f"lineage {i}" for i in range(N)])
    return ScoreTable(
        ("plain",),
        {
            name: Category(
                names,
                names,
                {
                    kind: Replies(ones, ones, {"plain": scores[2 * number + k]}, {"plain": nowhere[2 * number + k]})
                    for k, kind in enumerate(("golden", "policy"))
                },
            )
            for number, name in enumerate(("IDTest", "german"))
        },
    )


@pytest.mark.parametrize("channel", ["misjudged", "heavy"])
def test_differences_and_their_jackknife_are_those_of_the_product(channel, monkeypatch):
    drawn = study.draw_paired(channels()[channel], N, 1, False, np.random.default_rng(4))
    monkeypatch.setattr(
        calibration, "folds", lambda of: {name: int(name.split()[1]) % 2 for names in of.values() for name in names}
    )
    tables = {run: as_table(*(of_run[0] for of_run in sides)) for run, sides in drawn._asdict().items()}
    layout = Layout({"IDTest": None, "german": "IDTest"}, {})
    with jax.enable_x64(True):
        plan = information.plan_of(tables["baseline"], Settings(bootstrap=0), Devices())
        measuring = Measuring(tables["baseline"], layout, plan, has_sources=False)
        found = measuring.quantities([tables["baseline"], tables["run"]])
        studied = study.differences(drawn, N)
    product = differences(found, {"IDTest": np.array([N]), "german": np.array([N])}, layout)
    for estimator, of_estimator in studied.items():
        for quantity, name in (("emi", "IDTest"), ("emid", "german")):
            values = of_estimator[quantity][0]
            by = product[Place("category", name, quantity, "plain", estimator, "response")].by
            theirs = by._replace(values=by.values[0])
            assert theirs.values[0] == pytest.approx(values[0], abs=1e-9), (estimator, quantity)
            bounds = interval(theirs, estimator, 0.95)
            assert (bounds["low"], bounds["high"]) == pytest.approx(jackknife(values[1:], values[0], 0.95), abs=1e-6)


@pytest.mark.parametrize("alike", [False, True])
def test_club_has_the_exact_difference_of_populations_as_its_mean(alike):
    of, tables = channels()["misjudged"], 1000
    drawn = study.draw_paired(of, 8, tables, alike, np.random.default_rng(5))
    exact = study.population(of)
    for side, name in enumerate(("emi", "category")):
        scores = [of_run[0][:, 2 * side + 1] for of_run in drawn]
        own = [np.einsum("tii->t", matrix) / 8 for matrix in scores]
        change = [mine - (matrix.sum((1, 2)) - 8 * mine) / 56 for mine, matrix in zip(own, scores, strict=True)]
        difference = change[1] - change[0]
        expected = exact["emi"] if name == "emi" else exact["emi"] - exact["emid"]
        assert abs(difference.mean() - expected) < 4 * difference.std() / np.sqrt(tables)


def test_so_many_replies_change_as_the_two_kernels_say():
    """With common random numbers a reply stays where the two intervals of its cumulated probabilities overlap."""
    of = channels()["heavy"]
    a, b = of.policy, study.run_policy(of)
    ends = np.minimum(a.cumsum(1), b.cumsum(1)) - np.maximum(a.cumsum(1) - a, b.cumsum(1) - b)
    stays = {True: np.maximum(ends, 0).sum(1), False: (a * b).sum(1)}
    for alike, per_context in stays.items():
        changed = study.changed(study.draw_paired(of, N, 400, alike, np.random.default_rng(6)))
        assert changed.shape == (400, 2)
        for category, law in enumerate(of.laws):
            assert changed[:, category].mean() / N == pytest.approx(1 - law @ per_context, abs=0.025)  # 4 standard errors


def test_coverage_is_near_its_level_where_replies_are_drawn_anew():
    found = study.coverage(channels()["misjudged"], N, 100, False, 1, lambda done, total: None)
    for quantity in ("emi", "emid"):
        assert 0.88 <= found["club"][quantity]["coverage"] <= 0.99  # 95% of 100, give or take three standard errors
        assert found["club"][quantity]["value"] == study.population(channels()["misjudged"])[quantity]
        assert found["mixture"][quantity]["validated"] == 0  # below 64 lineages
