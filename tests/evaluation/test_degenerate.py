"""Records and replies of which little can be learnt: each is told in one line, and what can be measured is."""

import pytest
from tiny import tiny_chat_model

import remid_jax
from remid_jax.progress import Silent

SAME = "The same words to all of you."


@pytest.fixture(scope="module")
def evaluation():
    """IDTest, to which all replies are one; german, all of one lineage, with its golden replies; Literature, whose golden
    replies say the user's turn back, and whose replies are empty."""
    test = remid_jax.read_benchmark("package:rpgbench_compact", categories=["german", "Literature"]).test
    rows = {name: [record.to_json() for record in members[:4]] for name, members in test.items()}
    for row in rows["german"]:
        row["lineage"] = "one"
    for row in rows["Literature"]:
        row["agent_golden_response"] = row["dialogue_context"][-1]["user_query"]
    said = {"IDTest": lambda row: SAME, "german": lambda row: row["agent_golden_response"], "Literature": lambda row: ""}
    replies = {row["sample_ID"]: said[name](row) for name, of_category in rows.items() for row in of_category}
    model = tiny_chat_model()
    return remid_jax.evaluate(
        [row for of_category in rows.values() for row in of_category],
        policy={"replies": replies},
        estimator={"model": model, "adapters": "", "max_reasoning": 4},
        statistics={"bootstrap": 0, "subsamples": 2},
        devices={"tokens_per_step": 1024, "sampling_rows": 2},
        progress=Silent(),
    )


def test_each_is_told_in_one_line(evaluation):
    warnings = list(evaluation.warnings)
    assert "empty replies: Literature 4/4" in warnings
    assert "the same reply to all: IDTest 4/4, Literature 4/4" in warnings
    assert "no interval for german: all records there have one lineage" in warnings
    [copied] = [line for line in warnings if line.startswith("golden replies mostly say their own context back")]
    assert copied == "golden replies mostly say their own context back, so little is novel: Literature 100%"
    assert evaluation.verdict[0] == "On this benchmark, by this estimator: nothing can be said of user and character shift."


def test_replies_that_are_all_the_same_tell_nothing_of_their_contexts(evaluation):
    """A reply's log-likelihood in its own context, less its mean over the others, is 0 in the mean over contexts."""
    for name in ("IDTest", "Literature"):
        scored = evaluation.estimates["categories"][name]["reasoned"]
        assert scored["policy"]["club"]["response"]["value"] == pytest.approx(0, abs=1e-6)
        assert scored["by_source"]["policy"]["novel"]["club"]["response"]["value"] == pytest.approx(0, abs=1e-6)
        assert scored["identified"]["policy"]["whole"]["value"] == 0.5


def test_golden_replies_taken_for_the_policys_lose_nothing(evaluation):
    german = evaluation.estimates["categories"]["german"]["reasoned"]
    assert german["emi"]["club"]["token_rate"]["value"] == 0
    assert german["emi"]["club"]["token_rate"]["interval"]["reason"] == "an interval needs two lineages"
    assert german["identified"]["policy"]["whole"]["reason"] == "identification needs records of two lineages in each fold"


def test_the_copied_part_of_copies_is_nearly_all(evaluation):
    copied = evaluation.estimates["categories"]["Literature"]["copied"]
    assert copied["golden"]["echo"]["value"] > 0.9
    assert copied["policy"]["own"]["value"] == 1.0  # the end of an empty reply
