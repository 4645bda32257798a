"""The study of curves over mixtures: its closed form against the product, its truth against sums, and a small run of it."""

import numpy as np
import pytest

from remid_jax.evaluation.estimating import estimates
from remid_jax.information.estimates import Settings
from remid_jax.information.score_table import Category, Design, DialPoint, Replies, ScoreTable
from remid_jax.parallel import Devices
from remid_jax.validation import dial_study as study
from remid_jax.validation.coverage_study import channels

N = 12


@pytest.fixture(scope="module")
def channel():
    return channels()["calm"]


def test_the_curve_is_the_product_s(channel):
    """A score table of the same lineages, through the estimates of a whole evaluation."""
    lineages = study.draw_lineages(channel, N, 1, np.random.default_rng(3))
    logs, names, ones = np.log(channel.critic), np.array([f"lineage {k}" for k in range(N)]), np.ones(N, int)
    categories, design, dials = {}, {}, {}
    for share in (0.0, *study.SHARES):
        name = f"mixture(Q, {share:g})" if share else "P"
        side, places = (np.arange(N) < int(share * N + 0.5)).astype(int), np.arange(N)
        x = lineages.contexts[0, places, side]
        replies = {
            kind: Replies(ones, ones, {"plain": logs[x][:, said[0, places, side]]}, {"plain": np.zeros(N)})
            for kind, said in (("golden", lineages.golden), ("policy", lineages.policy))
        }
        categories[name] = Category(names, names, replies)
        design[name] = Design("mixture(Q)", "P") if share else Design(None, None)
        if share:
            dials[name] = DialPoint("mixture(Q)", share)
    found = estimates(ScoreTable(("plain",), categories, design, dials), Settings(bootstrap=0), Devices())
    [curve] = study.curve(channel, lineages)
    points = found["dials"]["mixture(Q)"]["plain"]["emid"]["points"]
    assert [point["value"] for point in points] == pytest.approx(curve[:, 0], abs=1e-9)
    errors = [(point["interval"]["high"] - point["interval"]["low"]) / 2 for point in points]
    deleted = curve[:, 1:] - curve[:, 1:].mean(1, keepdims=True)
    halves = 2.200985 * np.sqrt((N - 1) / N * (deleted**2).sum(1))  # t of 11 degrees of freedom
    assert errors == pytest.approx(halves, rel=1e-5)


def test_the_truth_is_a_sum_over_contexts_and_replies(channel):
    """Over all pairs of a context and a reply at share 1/2, by the product of matrices alone."""
    law = (channel.laws[0] + channel.laws[1]) / 2
    logs = np.log(channel.critic)

    def emi(law):
        joint = [law[:, None] * kernel for kernel in (channel.policy, channel.golden)]
        informations = [(of * logs).sum() - (np.outer(law, of.sum(0)) * logs).sum() for of in joint]
        return informations[0] - informations[1]

    assert study.population(channel)[study.SHARES.index(0.5)] == pytest.approx(emi(channel.laws[0]) - emi(law), abs=1e-12)


def test_bands_hold_the_exact_curve(channel):
    found = study.coverage(channel, 16, 200, 0)
    assert 0.91 <= found["band"] <= 1
    assert found["pointwise_all"] < found["band"]
    assert np.all(np.abs(found["bias"]) < 0.25 * np.array(found["error"]))
