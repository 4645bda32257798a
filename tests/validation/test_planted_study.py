"""A planted loss on tables whose truth is known by loops; how often its interval holds it; and the real verdict on one draw."""

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from remid_jax.errors import UserError
from remid_jax.information.emi import golden_of_another
from remid_jax.information.estimates import Settings, estimates, plan_of
from remid_jax.information.exchanges import exchanged, of_records
from remid_jax.information.measurement import make_plan
from remid_jax.information.score_table import Category, Design, Replies, ScoreTable
from remid_jax.parallel import Devices
from remid_jax.validation import planted_study

N = 16
DESIGN = {"IDTest": Design(None, None), "german": Design("user", "IDTest"), "Gaming": Design("character", "IDTest")}


def category(name, seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(36, 45, N)
    loglik = rng.normal(0, 2, (N, 1)) - 2.0 * tokens + rng.normal(0, 3, (N, N)) + np.diag(rng.uniform(18, 22, N))
    golden = Replies(tokens, 4 * tokens, {"reasoned": loglik}, {"reasoned": loglik.mean(axis=0)})
    said = {"golden": golden, "policy": golden, "golden_other": golden_of_another(golden, [np.arange(N)])}
    return Category(np.array([f"{name}-{k}" for k in range(N)]), np.array([f"l{k:02}" for k in range(N)]), said)


@pytest.fixture(scope="module")
def table():
    return ScoreTable(("reasoned",), {name: category(name, seed) for seed, name in enumerate(DESIGN)}, DESIGN)


def loss_by_loops(of):
    """Golden `club token_rate` minus that of golden replies of others."""
    rates = []
    for side in ("golden", "golden_other"):
        loglik, tokens = of.replies[side].loglik["reasoned"], of.replies[side].tokens
        own = [loglik[i, i] / tokens[i] for i in range(N)]
        rates.append(np.mean(own) - np.mean([loglik[k, i] / tokens[i] for i in range(N) for k in range(N) if k != i]))
    return rates[0] - rates[1]


def test_the_planted_loss_is_the_share_of_that_of_all_and_intervals_hold_it(table):
    rows = planted_study.study(table, (0.5,), 60, 0.95, 0, lambda *_: None)
    assert [(row["lineages"], row["shift"], row["share"], row["view"]) for row in rows] == [
        (N, "user", 0.5, "whole"), (N, "character", 0.5, "whole"),
        (2 * N, "user", 0.5, "whole"), (2 * N, "character", 0.5, "whole"),
    ]  # fmt: skip
    for row, name in zip(rows, ("german", "Gaming") * 2, strict=True):
        assert row["planted"] == pytest.approx(0.5 * loss_by_loops(table.categories[name]), rel=1e-9)
        assert row["mean"] == pytest.approx(row["planted"], rel=0.1)
        assert row["changed"] == row["lineages"] / 2
        assert row["covered"] >= 0.88  # of 60 draws at 95%: less once in 60 times
        assert row["covered"] + row["short"] + row["beyond"] == pytest.approx(1)
        assert row["named"] >= 0.9


def planted_by_loops(of, chosen, misplaced):
    """R-EMID of one draw [1 + n], then without each of its lineages."""

    def rate(context, reply):
        side = of.replies["golden_other" if misplaced[reply] else "golden"]
        return side.loglik["reasoned"][chosen[context], chosen[reply]] / side.tokens[chosen[reply]]

    def golden(context, reply):
        side = of.replies["golden"]
        return side.loglik["reasoned"][chosen[context], chosen[reply]] / side.tokens[chosen[reply]]

    def loss(context, reply, told):
        if context != reply and chosen[context] == chosen[reply]:
            others = [k for k in told if chosen[k] != chosen[reply]]
            return np.mean([golden(k, reply) - rate(k, reply) for k in others])
        return golden(context, reply) - rate(context, reply)

    n = len(chosen)
    every = [[loss(k, i, range(n)) for i in range(n)] for k in range(n)]

    def club(kept):
        pairs = [every[k][i] for i in kept for k in kept if k != i]
        return np.mean([every[i][i] for i in kept]) - np.mean(pairs)

    return np.array([club(range(n)), *(club([k for k in range(n) if k != left]) for left in range(n))])


def test_a_draw_and_its_deletions_are_those_of_loops(table):
    german = table.categories["german"]
    pairs = {"german": (german.replies["golden"], german.replies["golden_other"])}
    draws = [planted_study.draw(["german"], N, N, 0.25, np.random.default_rng(seed)) for seed in (1, 2)]
    alone = dataclasses.replace(table, categories={"german": german})
    with jax.enable_x64(True):
        plan = make_plan(alone, Devices(local=True), subsamples=1, pairs=1, bootstrap=0, seed=0)
        found = planted_study.lost(alone, plan, pairs, draws).values
    for values, of in zip(found, draws, strict=True):
        np.testing.assert_allclose(values, planted_by_loops(german, of.chosen, of.misplaced["german"]), atol=1e-12)


def test_the_mean_over_all_draws_there_are_is_the_planted_loss():
    """Three lineages: each of their 27 draws with each of 8 choices whom to misplace, by their chances.

    All but the three draws that are one lineage thrice: what its replies are worth elsewhere is not in them.
    """
    few, share = np.arange(3), 0.25

    def three(of):
        replies = {name: of_records(replies, few) for name, replies in of.replies.items() if name != "policy"}
        return Category(of.record[few], of.lineage[few], replies)

    german = three(category("german", 5))
    small = ScoreTable(("reasoned",), {"IDTest": three(category("IDTest", 4)), "german": german}, DESIGN)
    pairs = {"german": (german.replies["golden"], german.replies["golden_other"])}
    chosen = [np.array(of) for of in itertools.product(few, repeat=3) if len(set(of)) > 1]
    misplaced = [np.array(of) for of in itertools.product((False, True), repeat=3)]
    draws = [planted_study.Draw(of, {"german": told}) for of in chosen for told in misplaced]
    chances = [share ** told.sum() * (1 - share) ** (3 - told.sum()) / len(chosen) for _ in chosen for told in misplaced]
    with jax.enable_x64(True):
        plan = make_plan(small, Devices(local=True), subsamples=1, pairs=1, bootstrap=0, seed=0)
        found = planted_study.lost(small, plan, pairs, draws).values[:, 0]
        everybody = planted_study.lost(small, plan, pairs, [planted_study.Draw(few, {"german": np.ones(3, bool)})]).values[0, 0]
    assert sum(chances) == pytest.approx(1)
    assert chances @ found == pytest.approx(share * everybody, abs=1e-12)


def test_a_drawn_double_takes_the_mean_of_other_contexts(table):
    golden = table.categories["german"].replies["golden"]
    chosen = np.array([3, 5, 3, 7])
    drawn, whole = planted_study.drawn(golden, chosen).loglik["reasoned"], golden.loglik["reasoned"]
    assert drawn[0, 2] == pytest.approx((whole[5, 3] + whole[7, 3]) / 2)
    assert drawn[2, 0] == drawn[0, 2]
    assert (drawn[0, 0], drawn[2, 2], drawn[1, 0], drawn[3, 1]) == (whole[3, 3], whole[3, 3], whole[5, 3], whole[7, 5])


def test_the_verdict_names_the_shift_and_no_other(table):
    german = table.categories["german"]
    policy = exchanged(german.replies["golden"], german.replies["golden_other"], np.arange(N) % 2 == 0)
    degraded = dataclasses.replace(german, replies={**german.replies, "policy": policy})
    planted = dataclasses.replace(table, categories={**table.categories, "german": degraded})
    settings = Settings(bootstrap=0)
    with jax.enable_x64(True):
        found = estimates(planted, settings, plan_of(planted, settings, Devices(local=True)))
    assert {shift: of["finding"] for shift, of in found["verdict"]["shifts"].items()} == {"user": "loss", "character": "none"}


def test_what_cannot_be_planted_is_said(table):
    def of(change):
        return dataclasses.replace(table, categories={name: change(each) for name, each in table.categories.items()})

    def asked(other):
        with pytest.raises(UserError) as error:
            planted_study.study(other, (0.5,), 1, 0.95, 0, lambda *_: None)
        return str(error.value)

    folds = of(lambda each: dataclasses.replace(each, fold=np.arange(N) % 2))
    assert asked(folds) == "no shift can be planted where an estimator has folds: take one without adapters"
    alone = of(lambda each: dataclasses.replace(each, replies={"golden": each.replies["golden"]}))
    assert asked(alone) == "no shift can be planted without the golden replies of others in every category"
    few = of(lambda each: dataclasses.replace(each, lineage=np.array(["a"] * 10 + [f"l{k}" for k in range(6)])))
    assert asked(few) == "no shift can be planted: 6 lineages have one record in every category, which needs 8"
