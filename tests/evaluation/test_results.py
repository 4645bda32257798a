"""What results.json says in words: its first line, and warnings."""

import dataclasses

import numpy as np
import pytest
from score_arrays import score_arrays

from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.results import first_line, warnings
from remid_jax.evaluation.settings import default_settings
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.parallel import Devices


def test_an_evaluation_and_its_own_arrays_are_estimated_with_the_same_settings():
    chosen = default_settings().statistics.to_dict()
    assert chosen == {name: value for name, value in dataclasses.asdict(Settings()).items() if name in chosen}


@pytest.mark.parametrize("gain", [-2.0, 2.0])
def test_the_first_line_says_that_reasoning_hurt_or_else_which_shift_costs_most(gain):
    arrays = score_arrays({"IDTest": 4, "german": 4, "Gaming": 4})
    for category in ("IDTest", "german", "Gaming"):
        golden = arrays[f"{category}/loglik/plain/golden"]
        arrays[f"{category}/loglik/reasoned/golden"] = golden + gain
    found = estimates(parse(arrays), Settings(), Devices())
    if gain < 0:
        rates = [gain / arrays[f"{name}/tokens/golden"].mean() for name in ("IDTest", "german", "Gaming")]
        gains = [found["categories"][name]["reasoning_gain"]["per_token"] for name in ("IDTest", "german", "Gaming")]
        beyond = sum(of["interval"]["high"] < 0 for of in gains)
        expected = (
            f"in 3 of 3 categories, in {beyond} beyond their intervals (mean change {np.mean(rates):+.3f} nats per token)"
        )
        assert expected in first_line(found)
        return
    losses = {
        name: found["categories"][name]["reasoned"]["emid"]["club"]["token_rate"]["value"] for name in ("german", "Gaming")
    }
    shift = "user" if losses["german"] > losses["Gaming"] else "character"
    assert first_line(found) == f"R-EMID is largest under {shift} shift: {max(losses.values()):+.4f} (club, token_rate)."


def test_replies_in_another_language_come_before_what_else_is_said_of_earlier_categories():
    def category(spoken, truncated):
        replies = {"in_language": spoken, "truncated": truncated, "empty": 0, "different": 8, "thoughts": {"cut": 0}}
        densities = {"golden": 0.3, "policy": 0.3}
        return {
            "shift": "user", "reference": None, "records": 8, "excluded": [], "replies": replies, "golden": {},
            "reasoning_fallbacks": 0, "tokens_per_char": densities,
        }  # fmt: skip

    found = warnings({"IDTest": category(1.0, 3), "spanish": category(0.375, 0), "korean": category(0.0, 8)})
    assert found == [
        "replies not in the user's language, which no number here counts as a fault: spanish 5/8, korean 8/8",
        "replies cut at the token limit: IDTest 3/8, korean 8/8",
    ]


def test_an_estimator_that_knows_the_records_is_a_warning():
    assert warnings({}) == []
    [warning] = warnings({}, in_sample=True)
    assert warning.startswith("the estimator was trained on records that it scores")
