"""The risk curve of a run: its gradient by loops, its replicates, its attack, and pure shifts of one factor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from score_arrays import score_arrays, with_shifts

from remid_jax.information.intervals import Resampling, jackknife
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices
from remid_jax.shifts.risk import RADII, grouping, section, structured_rows
from remid_jax.theory.bounds.balls import BALLS
from remid_jax.theory.bounds.risk import Gradient, risk, structured

N = 6
RADIUS = RADII.index(0.05)


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def of_id():
    arrays = with_shifts(score_arrays({"IDTest": N}, samples=4))
    arrays["IDTest/self/truncated"][2, 1] = True
    arrays["IDTest/self/truncated"][4, :] = True  # a context without a finished sample
    return parse(arrays).categories["IDTest"]


def sections(of_id, chosen):
    lineage = of_id.lineage[chosen]
    return section(of_id, "plain", [(1.0, chosen)], Resampling.of({"IDTest": lineage}, 0, 0), Devices(), 0.95)


@pytest.fixture(scope="module")
def whole(of_id):
    with jax.enable_x64(True):
        return sections(of_id, np.arange(N))


def gradient_by_loops(of_id, chosen):
    """(g_theta, g_golden, p), contexts without a finished sample left out."""
    own, golden = of_id.self_scores.loglik, of_id.replies["golden"].loglik["plain"]
    rows = []
    for j in chosen:
        others = [i for i in chosen if i != j]
        of_samples = [
            own[j, j, s] - np.log(np.mean([np.exp(own[i, j, s]) for i in others]))
            for s in range(4)
            if not of_id.self_scores.truncated[j, s]
        ]
        if of_samples:
            rows.append((np.mean(of_samples), golden[j, j] - np.log(np.mean([np.exp(golden[i, j]) for i in others]))))
    g_theta, g_golden = np.array(rows).T
    return Gradient(*(jnp.asarray(part)[None] for part in (g_theta, g_golden, np.full(len(rows), 1 / len(rows)))))


def test_the_curve_is_the_risk_of_the_gradient_by_loops_and_its_interval_that_of_reruns(of_id, whole):
    full = gradient_by_loops(of_id, range(N))
    reruns = [gradient_by_loops(of_id, [i for i in range(N) if i != left_out]) for left_out in range(N)]
    for ball in BALLS:
        solve = jax.jit(lambda of, rho, ball=ball: risk(ball, of, rho))
        for k, rho in enumerate(RADII):
            found = solve(full, rho)
            assert whole["balls"][ball]["risk"][k]["value"] == pytest.approx(float(found.value), abs=1e-7)
            assert whole["balls"][ball]["linear"][k]["value"] == pytest.approx(float(found.linear), abs=1e-7)
        expected = jackknife(
            np.array([float(solve(of, RADII[RADIUS]).value) for of in reruns]), float(solve(full, RADII[RADIUS]).value), 0.95
        )
        interval = whole["balls"][ball]["risk"][RADIUS]["interval"]
        assert (interval["low"], interval["high"]) == pytest.approx(expected, abs=1e-6)
        assert interval["validated"] is False


def test_wider_balls_risk_more_and_an_attack_no_more_than_the_risk(whole):
    for ball in BALLS:
        curve = np.array([number["value"] for number in whole["balls"][ball]["risk"]])
        assert np.all(np.diff(curve) >= -1e-9)
        attacks = whole["balls"][ball]["attack"]
        found = [(attack, risk) for attack, risk in zip(attacks, curve, strict=True) if attack is not None]
        assert found
        assert all(-1e-9 <= attack <= risk + 1e-9 for attack, risk in found)


def test_pure_shifts_are_those_of_the_structured_gradient_on_a_lattice():
    """Contexts on a full 2 x 2 x 3 lattice of user, character and dialogue: groups and means as on a finite world."""
    rng = np.random.default_rng(0)
    shape = (2, 2, 3)
    g_theta, g_golden, p = rng.normal(size=shape), rng.normal(size=shape), rng.dirichlet(np.ones(12)).reshape(shape)
    user, character, _ = (index.ravel() for index in np.indices(shape))
    identities = {
        "user": np.array([f"user {u}" for u in user]),
        "character": np.array([f"character {c}" for c in character]),
    }
    for shift in ("user", "character", "dialogue"):
        groups = grouping(identities, shift)
        rows = structured_rows(*(part.reshape(1, -1) for part in (g_theta, g_golden, p)), shift, groups)
        of_lattice = structured(Gradient(*map(jnp.asarray, (g_theta, g_golden, p))), shift)
        for ball in BALLS:
            of_rows = Gradient(*(jnp.asarray(part[0]) for part in rows))
            found, expected = (float(risk(ball, of, jnp.asarray(0.1)).value) for of in (of_rows, of_lattice))
            assert found == pytest.approx(expected, abs=1e-8), (shift, ball)


def test_a_shift_that_contexts_cannot_tell_apart_is_refused_in_words():
    identities = {"user": np.array(["a", "b", "c"]), "character": np.array(["x", "x", "y"])}
    assert grouping(identities, "user") == "every context has a user of its own"
    assert grouping(identities, "character").tolist() == [0, 0, 1]
    assert grouping(identities, "dialogue") == "every context has a pair of user and character of its own"
    assert grouping({}, "user") == "the users and characters of the contexts are not known"


def test_pure_shifts_of_a_run_risk_no_more_than_any_shift(whole):
    for shift in ("user", "character"):
        for ball in BALLS:
            pure, any_shift = (
                [number["value"] for number in of["balls"][ball]["risk"]] for of in (whole["structured"][shift], whole)
            )
            assert all(a <= b + 1e-7 for a, b in zip(pure, any_shift, strict=True)), (shift, ball)
    assert whole["structured"]["dialogue"] == {"reason": "every context has a pair of user and character of its own"}
