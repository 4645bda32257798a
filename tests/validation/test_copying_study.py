"""The study of copied replies against the product's own estimators, and its truths against sums by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from remid_jax.information import mutual_information
from remid_jax.information.intervals import VALIDATED_FROM
from remid_jax.validation import copying_study as study
from remid_jax.validation.coverage_study import Channel, covered

WORLDS = study.worlds()


def test_club_without_each_item_is_that_of_the_product():
    scores = np.random.default_rng(0).normal(size=(2, 5, 5))
    weights = np.concatenate([np.ones((1, 5)), 1 - np.eye(5)])
    with jax.enable_x64(True):
        expected = [
            [float(mutual_information.club(jnp.asarray(of), jnp.asarray(row), 1 - jnp.eye(5))) for row in weights]
            for of in scores
        ]
    np.testing.assert_allclose(study.club(scores), expected, rtol=1e-12)


def test_the_population_value_is_a_sum_over_contexts_kinds_and_replies(monkeypatch):
    """Two contexts, two replies, all outcomes written out."""
    monkeypatch.setattr(study, "CONTEXTS", 2)
    golden, critic = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[0.7, 0.3], [0.4, 0.6]])
    policy, law = np.array([[0.6, 0.4], [0.3, 0.7]]), np.array([0.25, 0.75])
    shares, lengths = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1]]), np.array([5, 10])
    world = study.CopyingWorld(Channel("small", "", golden, critic, policy, (law, law)), shares, lengths)
    gain = 5 * np.exp(0.5)  # the mean of the lognormal
    for view in ("whole", "novel"):
        emi = 0.0
        for sign, kernel, of_kinds in ((1, policy, shares), (-1, golden, np.array([[1, 0, 0], [1, 0, 0]]))):
            for x in range(2):
                for kind, copied in enumerate((0, 8, 12)):
                    for y in range(2):
                        chance, tokens = law[x] * of_kinds[x, kind] * kernel[x, y], copied + (kind < 2) * lengths[y]
                        elsewhere = sum(law[z] * np.log(critic[z, y]) for z in range(2))
                        told = (np.log(critic[x, y]) - elsewhere) * (kind < 2)
                        emi += sign * chance * (told + gain * (kind > 0 and view == "whole")) / tokens
        assert world.population_club(0, view) == pytest.approx(emi, rel=1e-12)


@pytest.mark.parametrize("name", WORLDS)
def test_the_population_value_of_club_is_the_mean_over_many_tables(name):
    made = study.estimates(WORLDS[name], study.draw_tables(WORLDS[name], 6, 6000, np.random.default_rng(1)), False)
    for view in WORLDS[name].views:
        for side in (0, 1):
            emi = made["club", view][side][:, 0]
            assert abs(emi.mean() - WORLDS[name].population_club(side, view)) < 4 * emi.std() / np.sqrt(len(emi))


def test_wholly_copied_replies_say_nothing_novel_and_their_gain_is_in_the_own_context_alone():
    [(golden, _), (_, policy)] = study.draw_tables(WORLDS["copying"], 8, 200, np.random.default_rng(2))
    np.testing.assert_array_equal(golden.whole, golden.novel)
    copied = policy.tokens - policy.novel_tokens
    wholly = policy.novel_tokens == 0
    assert set(np.unique(copied)) == {0, 8, 12}
    np.testing.assert_array_equal(wholly, copied == 12)
    assert np.isnan(policy.rates("novel")).all(axis=1).tolist() == wholly.tolist()
    gains = policy.whole - policy.novel + 3 * copied[:, None]
    own = np.eye(8, dtype=bool)
    np.testing.assert_allclose(gains[:, ~own], 0, atol=1e-9)
    logs = np.log(np.diagonal(gains, axis1=1, axis2=2)[copied > 0] / 5)
    assert abs(logs.mean()) < 4 / np.sqrt(len(logs))
    assert logs.std() == pytest.approx(1, abs=0.1)


def test_misplaced_has_a_number_only_where_the_interval_of_others_leaves_out_0():
    values = np.array([[1.0, 0.9, 1.1, 1.0], [0.1, -0.9, 1.1, 0.1]])
    assert study.excludes_zero(values).tolist() == [True, False]
    inside = [covered(of[None, 0], of[None, 1:], 0.0) for of in values]
    assert inside == [0.0, 1.0]


def test_intervals_of_copied_parts_are_too_short_and_of_novel_ones_are_not():
    rows = {(row["quantity"], row["view"]): row for row in study.coverage(WORLDS["copying"], 16, 200, 0, lambda a, b: None)}
    assert rows["club", "whole"]["emi"] < 0.91
    assert min(rows["club", "novel"][term] for term in ("emi", "emid")) > 0.95 - 3 * 0.0155
    assert rows["club", "novel"]["emi_value"] < 0 < rows["club", "whole"]["emi_value"]
    assert rows["club", "novel"]["emi_shown"] == 1.0
    assert rows["misplaced", "novel"]["emi_shown"] < 1.0


@pytest.mark.parametrize(
    ("coverages", "expected"),
    [((0.95, 0.94, 0.96, 0.95), 8), ((0.98, 0.95, 0.95, 0.95), 16), ((0.95, 0.95, 0.92, 0.95), 64),
     ((0.95, 0.95, 0.95, None), None)],
)  # fmt: skip
def test_validated_is_what_is_right_from_then_on(coverages, expected):
    rows = [
        {"n": n, "quantity": quantity, "view": view, "emi": emi, "emid": 0.95}
        for n, emi in zip(study.SIZES, coverages, strict=True)
        for judged in study.JUDGED.values()
        for quantity, view in judged
    ]
    raw = [row | {"quantity": "club", "view": "whole", "emi": 0.5} for row in rows]
    assert study.smallest_validated(rows + raw) == dict.fromkeys(study.JUDGED, expected)


def test_the_product_claims_nothing_that_the_study_does_not_judge():
    assert set(study.claims()) == set(study.JUDGED) <= set(VALIDATED_FROM)
