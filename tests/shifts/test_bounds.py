"""Bounds of a run against plain loops and against an exact world that its replies are drawn from; and where there are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.information.intervals import Resampling
from remid_jax.information.score_table import Category, CrossBlocks, Replies, SelfScores
from remid_jax.parallel import Devices
from remid_jax.shifts.bounds import Side, bound, gaps, missing, saturated, side_of
from remid_jax.theory.bounds.on_worlds import information, unknown_shift
from remid_jax.theory.worlds import World, quantities


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def random_blocks(rng, n, m, samples):
    """Log-likelihood blocks [contexts, replies, S] of (own P, P's replies in Q, own Q, Q's replies in P)."""
    return {
        "pp": rng.normal(-20, 3, (n, n, samples)), "pq": rng.normal(-22, 3, (m, n, samples)),
        "qq": rng.normal(-20, 3, (m, m, samples)), "qp": rng.normal(-22, 3, (n, m, samples)),
    }  # fmt: skip


def sides_of(blocks, finished_p, finished_q):
    return (side_of(blocks["pp"], blocks["pq"], finished_p, True), side_of(blocks["qq"], blocks["qp"], finished_q, False))


def by_loops(blocks, finished, kept_p, kept_q):
    """{"g", "halves" [2], "to_p", "to_q", "own"} of every reply, contexts and replies outside `kept` left out."""
    samples = blocks["pp"].shape[2]
    found = {"p": {}, "q": {}}
    for side, own, other, kept_own, kept_other in (
        ("p", blocks["pp"], blocks["pq"], kept_p, kept_q),
        ("q", blocks["qq"], blocks["qp"], kept_q, kept_p),
    ):
        for j in kept_own:
            rows = []
            for s in range(samples):
                if not finished[side][j, s]:
                    continue
                mine = np.log(np.mean([np.exp(own[i, j, s]) for i in kept_own if i != j]))
                others = np.log(np.mean([np.exp(other[i, j, s]) for i in kept_other]))
                p, q = (mine, others) if side == "p" else (others, mine)
                middle = np.log((np.exp(p) + np.exp(q)) / 2)
                rows.append((s, own[j, j, s] - middle, p - middle, q - middle, own[j, j, s] - mine))
            rows = np.array(rows)
            first = rows[:, 0] < samples // 2
            found[side][j] = {
                "g": rows[:, 1].mean(), "to_p": rows[:, 2].mean(), "to_q": rows[:, 3].mean(), "own": rows[:, 4].mean(),
                "halves": [rows[first, 1].mean(), rows[~first, 1].mean()] if samples > 1 else [rows[0, 1]] * 2,
            }  # fmt: skip
    return found


def named(prefix, count):
    return np.array([f"{prefix}{i}" for i in range(count)])


def test_every_part_is_that_of_loops_and_a_replicate_is_a_run_without_the_lineage():
    rng = np.random.default_rng(0)
    n, m = 4, 5
    policy, golden = random_blocks(rng, n, m, 4), random_blocks(rng, n, m, 1)
    finished = {"p": np.ones((n, 4), bool), "q": np.ones((m, 4), bool)}
    finished["q"][2, 1] = finished["p"][0, 3] = False
    lineages = (named("l", n), np.array(["l0", "l1", "x", "y", "z"]))
    resampling = Resampling.of({"P": lineages[0], "Q": lineages[1]}, 0, 0).for_pairs(
        {"P": lineages[0], "Q": lineages[1]}, {"Q": "P"}
    )
    sides = {
        "policy": sides_of(policy, finished["p"], finished["q"]),
        "golden": sides_of(golden, np.ones((n, 1), bool), np.ones((m, 1), bool)),
    }
    found = bound(sides, lineages, resampling.constant(0.2), resampling, Devices())
    names = list(resampling.lineages)
    for deleted in (None, "l1", "x"):
        kept_p = [i for i in range(n) if lineages[0][i] != deleted]
        kept_q = [i for i in range(m) if lineages[1][i] != deleted]
        of_policy = by_loops(policy, finished, kept_p, kept_q)
        ones = {"p": np.ones((n, 1), bool), "q": np.ones((m, 1), bool)}
        of_golden = by_loops(golden, ones, kept_p, kept_q)
        g = {side: np.array([of_policy[side][j]["g"] - of_golden[side][j]["g"] for j in of_policy[side]]) for side in "pq"}
        halves = [
            np.concatenate([
                [of_policy[side][j]["halves"][h] - of_golden[side][j]["g"] for j in of_policy[side]] for side in "pq"
            ])
            for h in (0, 1)
        ]  # fmt: skip

        def mean(of, side, part):
            return np.mean([values[part] for values in of[side].values()])

        output = mean(of_policy, "q", "to_q") - mean(of_policy, "p", "to_p")
        output -= mean(of_golden, "q", "to_q") - mean(of_golden, "p", "to_p")
        shift = g["p"].mean() - g["q"].mean()
        weights = np.concatenate([np.full(len(kept_p), 0.5 / len(kept_p)), np.full(len(kept_q), 0.5 / len(kept_q))])
        values = np.concatenate([g["p"], g["q"]])
        variance = weights @ ((halves[0] - weights @ halves[0]) * (halves[1] - weights @ halves[1]))
        order = np.argsort(values)
        median = values[order][np.argmax(np.cumsum(weights[order]) >= 0.5 - 1e-12)]
        spread = 2 * weights @ np.abs(values - median)
        row = 0 if deleted is None else 1 + names.index(deleted)
        expected = {
            "shift": shift, "output": output, "emid": shift + output, "variance": max(variance, 0),
            "unknown_shift": spread + output, "by_variance": np.sqrt(8 * max(variance, 0) * 0.2),
            "kl_policy": mean(of_policy, "q", "to_q") - mean(of_policy, "q", "to_p"),
        }  # fmt: skip
        for name, value in expected.items():
            assert found.values[name].values[row] == pytest.approx(value, abs=1e-9), (name, deleted)
        # the identity: self EMID by left-out mixtures of either side alone
        alone = sum(
            sign * (mean(of_policy, side, "own") - mean(of_golden, side, "own")) for side, sign in (("p", 1), ("q", -1))
        )
        assert found.values["emid"].values[row] == pytest.approx(alone, abs=1e-9)
        assert found.values["plug_in_shift"].values[row] <= spread + 1e-9
    assert found.values["emid"].fewest == 7


def world_of(seed=3, contexts=5, replies=6):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.ones(contexts)), rng.dirichlet(np.ones(contexts))
    golden, theta = rng.dirichlet(np.full(replies, 0.6), contexts), rng.dirichlet(np.full(replies, 0.6), contexts)
    return p, q, golden, theta


def test_on_a_known_world_the_estimates_meet_the_exact_bounds():
    """400 contexts a side drawn from an exact world, 8 replies each under the policy's own kernel: within sampling error."""
    p, q, golden, theta = world_of()
    exact = quantities(World(*(jnp.asarray(a[:, None, None]) for a in (p, q, golden, golden, theta))))
    rng = np.random.default_rng(0)
    n, samples = 400, 8
    contexts = [rng.choice(len(p), n, p=law) for law in (p, q)]

    def blocks(kernel, drawn):
        logs = np.log(kernel)
        replies = [np.stack([rng.choice(kernel.shape[1], drawn, p=kernel[x]) for x in side]) for side in contexts]
        return {a + b: logs[contexts[i]][:, replies[j]] for a, i in (("p", 0), ("q", 1)) for b, j in (("p", 0), ("q", 1))}

    def sides(of):
        finished = np.ones(of["pp"].shape[1:], bool)
        # blocks are keyed (contexts, replies); `side_of` wants a side's own block and the one in the other's contexts
        return (side_of(of["pp"], of["qp"], finished, True), side_of(of["qq"], of["pq"], finished, False))

    lineages = (np.repeat(["a", "b"], n // 2), np.repeat(["a", "b"], n // 2))  # two lineages: few deletions to compute
    resampling = Resampling.of({"P": lineages[0]}, 0, 0)
    both = {"policy": sides(blocks(theta, samples)), "golden": sides(blocks(golden, 1))}
    found = bound(both, lineages, resampling.constant(float(exact.js_x)), resampling, Devices())
    value = {name: float(of.values[0]) for name, of in found.values.items()}
    assert value["emid"] == pytest.approx(float(exact.emid), abs=0.12)
    assert value["output"] == pytest.approx(float(exact.output), abs=0.05)
    # One golden reply a context only widens g: the bounds stay above the exact ones, up to sampling error.
    assert value["plug_in"] >= float(information(exact).value) - 0.05
    assert value["unknown_shift"] >= float(unknown_shift(exact).value) - 0.05
    assert value["plug_in"] < 3 * float(information(exact).value)


def test_a_mixture_that_includes_the_own_context_is_refused_at_its_ceiling():
    assert saturated(np.full(20, np.log(20)), 20) == (
        "100% of the replies stand at log n, the ceiling of a mixture that includes their own context"
    )
    assert saturated(np.full(20, np.log(20) - 0.5), 20) is None
    by_chance = np.append(np.full(6, 1.0), [np.log(8) - 0.05, np.log(8) - 0.05])
    assert saturated(by_chance, 8) is None  # two of eight are no sign of a ceiling
    left_out = np.append(np.full(19, np.log(20)), 12.0)
    assert saturated(left_out, 20) is None  # it passes log n, so it is not capped there
    # And in a whole bound: replies whose every context but their own is out of reach would be capped.
    rng = np.random.default_rng(1)
    n = 12
    blocks = random_blocks(rng, n, n, 4)
    ceiling = {name: block.copy() for name, block in blocks.items()}
    for own in ("pp", "qq"):
        ceiling[own][:] = -50.0
        ceiling[own][np.arange(n), np.arange(n)] = -50.0 + np.log(n)
    finished, alone = np.ones((n, 4), bool), np.ones((n, 1), bool)
    golden = random_blocks(rng, n, n, 1)
    sides = {"policy": sides_of(ceiling, finished, finished), "golden": sides_of(golden, alone, alone)}
    lineages = {"P": named("p", n), "Q": named("q", n)}
    resampling = Resampling.of(lineages, 0, 0).for_pairs(lineages, {"Q": "P"})
    refused = bound(sides, (lineages["P"], lineages["Q"]), None, resampling, Devices())
    assert isinstance(refused, str)
    assert "log n" in refused


def test_why_there_is_no_bound():
    n = 3
    rng = np.random.default_rng(0)

    def category(samples=4, truncated=0, scored=True, cross=True):
        cut = np.zeros((n, samples), bool)
        cut.ravel()[:truncated] = True
        scores = SelfScores(rng.normal(size=(n, n, samples)) if scored else None, np.ones((n, samples), int), cut)
        blocks = CrossBlocks({}, {}) if cross else None
        return Category(named("r", n), named("l", n), {"golden": golden}, scores, blocks)

    golden = Replies(np.ones(n, int), np.ones(n, int), {}, {})
    whole = category()
    assert missing("IDTest", whole, whole) is None
    assert missing("IDTest", category(truncated=3), whole) == "IDTest: 25% of the policy's samples are truncated, more than 10%"
    assert missing("IDTest", whole, category(scored=False)) == "the category: its samples were not scored"
    assert missing("IDTest", whole, category(samples=2)) == "2 samples a context: two independent halves need 4"
    assert (
        missing("IDTest", whole, category(cross=False))
        == "its replies were not scored in the contexts of IDTest, nor the reverse"
    )
    ungraded = Category(named("r", n), named("l", n), {}, whole.self_scores, whole.cross)
    assert missing("IDTest", ungraded, whole) == "IDTest: no golden replies"
    without = Category(named("r", n), named("l", n), {"golden": golden})
    assert missing("IDTest", whole, without) == "the category: no samples scored under the policy's own kernel"


def test_contexts_without_a_finished_sample_in_each_half_are_left_out_and_counted():
    rng = np.random.default_rng(2)
    n = 5
    blocks, golden = random_blocks(rng, n, n, 4), random_blocks(rng, n, n, 1)
    finished = np.ones((n, 4), bool)
    cut = finished.copy()
    cut[3, :2] = False
    lineages = (named("p", n), named("q", n))
    resampling = Resampling.of({"P": lineages[0], "Q": lineages[1]}, 0, 0).for_pairs(
        {"P": lineages[0], "Q": lineages[1]}, {"Q": "P"}
    )
    sides = {"policy": sides_of(blocks, cut, finished), "golden": sides_of(golden, finished[:, :1], finished[:, :1])}
    found = bound(sides, lineages, None, resampling, Devices())
    assert found.left_out == 1
    assert np.isfinite(found.values["emid"].values).all()
    assert "plug_in" not in found.values


def test_gaps_do_not_depend_on_the_devices_share_of_rows():
    rng = np.random.default_rng(3)
    side = Side(rng.normal(-20, 3, (5, 4, 9)), np.ones((5, 4), bool), 0)
    weights, is_p = rng.integers(0, 3, (6, 9)).astype(float), np.arange(9) < 5
    mesh, pmap = (gaps(side, weights, is_p, Devices(kind)) for kind in ("mesh", "pmap"))
    np.testing.assert_allclose(mesh.to_mixture, pmap.to_mixture, rtol=1e-12)
