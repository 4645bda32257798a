"""A planted loss on tables whose truth is known by loops; how often its interval holds it; and the real verdict on one draw."""

import dataclasses

import jax
import numpy as np
import pytest

from remid_jax.errors import UserError
from remid_jax.information.emi import golden_of_another
from remid_jax.information.estimates import Settings, estimates, plan_of
from remid_jax.information.exchanges import exchanged
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
    assert [(row["shift"], row["share"], row["view"], row["lineages"]) for row in rows] == [
        ("user", 0.5, "whole", N), ("character", 0.5, "whole", N),
    ]  # fmt: skip
    for row, name in zip(rows, ("german", "Gaming"), strict=True):
        assert row["planted"] == pytest.approx(0.5 * loss_by_loops(table.categories[name]), rel=1e-9)
        assert row["mean"] == pytest.approx(row["planted"], rel=0.1)
        assert row["covered"] >= 0.88  # of 60 draws at 95%: less once in 60 times
        assert row["named"] >= 0.9


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
