"""The study of multi-way intervals against the product's own estimators, and its truths against sums and means by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.information import mutual_information
from remid_jax.information.intervals import VALIDATED_FROM
from remid_jax.validation import crossed_study as study

SMALL = study.CrossedDesign(4, 3, 3)


@pytest.mark.parametrize("design", study.DESIGNS, ids=lambda of: of.name)
def test_designs_are_balanced_and_count_related_pairs(design):
    user, character = design.pairs
    n = design.users * design.each
    assert len(set(zip(user.tolist(), character.tolist(), strict=True))) == n
    assert set(np.bincount(user, minlength=design.users)) == {design.each}
    assert set(np.bincount(character, minlength=design.characters)) == {n // design.characters}
    same = [sum(of[i] == of[j] for i in range(n) for j in range(n) if i != j) / (n * (n - 1)) for of in (user, character)]
    assert design.related() == pytest.approx(tuple(same))


def test_estimates_under_deletions_are_those_of_the_product():
    scores, marginals = study.draw_tables(study.WORLDS["heavy"], SMALL, 1, np.random.default_rng(0))
    weights = np.concatenate([np.ones((1, 12)), 1 - np.eye(12), (SMALL.pairs[0] != np.arange(4)[:, None]).astype(float)])
    found = study.replicated(scores, marginals, weights)
    with jax.enable_x64(True):
        for k in range(4):
            matrix, nowhere = jnp.asarray(scores[0, k]), jnp.asarray(marginals[0, k])
            product = {
                "club": lambda w, of=matrix: mutual_information.club(of, w, 1 - jnp.eye(12)),
                "prompt_marginal": functools.partial(mutual_information.prompt_marginal, matrix, nowhere),
                "mixture_raw": functools.partial(mutual_information.mixture, matrix),
                "leave_one_out": functools.partial(mutual_information.leave_one_out, matrix),
            }
            for name, estimator in product.items():
                expected = [float(estimator(jnp.asarray(row))) for row in weights]
                np.testing.assert_allclose(found[name][0, k], expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("world", ["both", "heavy"])
def test_the_population_value_of_club_is_the_mean_over_many_tables(world):
    design = study.CrossedDesign(5, 4, 2)
    found = study.replicated(
        *study.draw_tables(study.WORLDS[world], design, 6000, np.random.default_rng(1)), np.ones((1, 10))
    )["club"][..., 0]  # fmt: skip
    emi = np.stack([found[:, 1] - found[:, 0], found[:, 3] - found[:, 2]], axis=1)
    error = emi.std(axis=0) / np.sqrt(len(emi))
    assert np.all(np.abs(emi.mean(axis=0) - study.population_club(design)) < 4 * error)


def test_clusters_of_one_kind_or_none_say_too_much_and_of_both_do_not():
    [found] = [study.coverage(study.WORLDS["both"], study.CrossedDesign(8, 5, 5), 150, 0, lambda done, total: None)]
    assert min(found["both"][name][of] for name in study.ESTIMATED for of in ("emi", "emid")) > 0.93 - 3 * 0.02
    assert max(found["record"][name]["emi"] for name in study.ESTIMATED) < 0.9
    assert found["record"]["club"]["emi_half"] < found["user"]["club"]["emi_half"] < found["both"]["club"]["emi_half"]


def row(fewest, emi, way="both"):
    return {"fewest": fewest, "way": way, "emi": emi, "emid": 0.95}


@pytest.mark.parametrize(
    ("coverages", "expected"),
    [((0.95, 0.94, 0.96), 5), ((0.98, 0.95, 0.95), 8), ((0.95, 0.92, 0.95), 16), ((0.95, 0.95, 0.98), None)],
)
def test_validated_is_what_is_right_from_then_on(coverages, expected):
    rows = [row(n, emi) | {"estimator": name} for name in study.ESTIMATED for n, emi in zip((5, 8, 16), coverages, strict=True)]
    rows += [row(16, 0.5, "record") | {"estimator": name} for name in study.ESTIMATED]
    assert study.smallest_validated(rows) == dict.fromkeys(study.ESTIMATED, expected)


def test_the_product_claims_nothing_that_the_study_does_not_judge():
    assert set(study.claims()) == set(study.ESTIMATED) <= set(VALIDATED_FROM)
