"""The study of intervals that hold together: its tables against loops and exact laws, and what it finds on few tables."""

import numpy as np
import pytest

from remid_jax.validation import simultaneous_study as study
from remid_jax.validation.copying_study import worlds
from remid_jax.validation.coverage_study import CONTEXTS, channels


@pytest.fixture(scope="module")
def of():
    return study.world(channels()["misjudged"])


def test_club_without_each_lineage_is_that_of_the_smaller_table():
    scores = np.random.default_rng(0).normal(size=(2, 5, 5))
    found = study.club_without_each(scores)
    for table, matrix in enumerate(scores):
        for dropped in (None, 0, 3):
            kept = [i for i in range(5) if i != dropped]
            own = np.mean([matrix[i, i] for i in kept])
            other = np.mean([matrix[i, j] for i in kept for j in kept if i != j])
            assert found[table, 0 if dropped is None else 1 + dropped] == pytest.approx(own - other, abs=1e-12)


def test_contexts_follow_the_laws_and_are_shared_as_often_as_these_allow(of):
    drawn = study.draw_contexts(of, 16, 4_000, np.random.default_rng(1))
    for law, contexts in zip(of.laws, drawn, strict=True):
        hard = np.arange(CONTEXTS) % 2 == 1
        assert (contexts % 2 == 1).mean() == pytest.approx(law[hard].sum(), abs=4 / np.sqrt(contexts.size))
        same = np.minimum(law, of.laws[0]).sum()
        assert (contexts == drawn[0]).mean() == pytest.approx(same, abs=0.02)


def test_tables_have_the_exact_differences_as_their_mean(of):
    drawn = study.replicated(of, 8, 600, np.random.default_rng(2))
    for quantity, cells in study.population(of).items():
        values = drawn[quantity][:, 1:, :, 0] - drawn[quantity][:, :1, :, 0]
        error = values.std(0) / np.sqrt(len(values))
        assert np.all(np.abs(values.mean(0) - (cells[1:] - cells[:1])) < 5 * error), quantity


def test_runs_have_ranks_of_their_own(of):
    overall = study.population(of)["emid"][:, -1]
    assert np.all(np.diff(overall) < 0)  # nearer to golden replies, less is lost


def test_the_novel_part_of_replies_that_copy_has_the_exact_value_of_each_kind():
    copying = worlds()["copying"]
    novel, plain = study.novel_world(copying), study.world(copying.channel)
    law, logs = plain.laws[1], plain.logs
    for run, share in enumerate(study.TOWARDS_GOLDEN):
        total = 0.0
        for kind, tokens in enumerate(copying.tokens()[:2]):
            often = copying.shares[:, kind] + share * ((kind == 0) - copying.shares[:, kind])
            joint = law[:, None] * often[:, None] * plain.policies[run]
            total += (joint * logs / tokens).sum() - ((law @ (logs / tokens)) * joint.sum(0)).sum()
        assert study.population(novel)["emi"][run, 1] == pytest.approx(total, abs=1e-12)
    np.testing.assert_allclose(novel.policies.sum(-1), 1, atol=1e-12)


def test_what_is_found_on_few_tables_is_near_its_level(of):
    found = study.study(of, 16, 30, 3, lambda done, total: None)
    assert 0.85 <= found["emid"] <= 1  # 95% of 30, give or take two and a half standard errors
    assert 0.85 <= found["both"] <= 1
    assert found["ranks"] >= 0.85
    assert 0.65 <= found["found"] <= 0.95
    assert found["wrong_best"] <= 0.1
