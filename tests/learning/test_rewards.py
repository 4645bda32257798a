"""Rewards that read texts alone, by hand; names that are none."""

import numpy as np
import pytest

from remid_jax.dialogues.parsing import MARKER
from remid_jax.dialogues.prompts import Prompts
from remid_jax.errors import UserError
from remid_jax.learning.rewards import Resources, make_rewards, names
from remid_jax.learning.rollouts import Asked, Group

BLOCK = f"## Link\nx\n```\n{MARKER}\none two three\n```"
ALONE = Resources(Prompts.load(), [])  # no model to ask
GROUPS = [Group(Asked("a", [1]), (), (BLOCK, "## Link", "none", f"{MARKER} one two"))]


def test_format_and_length_by_hand():
    weights, settings = {"format": 2.0, "length": 1.0}, {"format": {"headings": ["## Link"]}, "length": {"enough": 2}}
    apart, total = make_rewards(weights, ALONE, settings)(GROUPS)
    np.testing.assert_allclose(apart["format"], [[1.0, 0.5, 0.0, 0.0]])
    np.testing.assert_allclose(apart["length"], [[1.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(total, [[3.0, 1.0, 0.0, 1.0]])


def test_without_headings_the_block_is_all():
    apart, _ = make_rewards({"format": 1.0}, ALONE, {})(GROUPS)
    np.testing.assert_allclose(apart["format"], [[1.0, 0.0, 0.0, 0.0]])


def test_a_header_is_there_or_not():
    apart, _ = make_rewards({"format": 1.0}, ALONE, {"format": {"header": "## Link"}})(GROUPS)
    np.testing.assert_allclose(apart["format"], [[1.0, 1.0, 0.0, 0.0]])


def test_a_reward_that_does_not_exist_is_refused():
    assert names() == ["format", "judge_ratio", "length", "likelihood", "pointwise_information"]
    for weights, said in (({"lenght": 1.0}, "lenght"), ({}, "none given")):
        with pytest.raises(UserError, match=f"config.rewards: {said}: choose among format, judge_ratio, length"):
            make_rewards(weights, ALONE, {})


@pytest.mark.parametrize(
    ("name", "role"), [("judge_ratio", "judge"), ("likelihood", "responder"), ("pointwise_information", "responder")]
)
def test_a_reward_without_the_model_it_asks_is_refused(name, role):
    with pytest.raises(UserError) as refusal:
        make_rewards({"format": 1.0, name: 1.0}, ALONE, {})
    assert str(refusal.value) == (
        f"config.rewards: {name} needs a {role}, and there is none here: give weights to other rewards"
    )
