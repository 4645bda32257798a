"""What policies learn from: augmented records, reasoning, the best of their own replies."""

import dataclasses

import numpy as np
import pytest
from tiny import tiny_chat_model

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_training
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError
from remid_jax.learning.augmentation import augmented
from remid_jax.learning.policies import asked_of, best_of, golden_examples, preferred
from remid_jax.learning.rewards import Rewards
from remid_jax.learning.rollouts import Asked, Group
from remid_jax.learning.supervised import Example
from remid_jax.scoring.generation import Sample

TOKENIZER, PROMPTS = tiny_chat_model().tokenizer, Prompts.load()
RECORDS = read_training("package:rpgbench_compact")[:5]


def test_augmentation_teaches_every_turn_of_the_agent_once():
    found = augmented(RECORDS, 0)
    assert found[:5] == RECORDS
    turns = [turn.text for record in RECORDS for turn in record.dialogue if turn.speaker == "agent"]
    assert [of.golden for of in found[5:]] == turns
    assert len({of.id for of in found}) == len(found) == 5 + len(turns)
    for of in found[5:]:
        [record] = [r for r in RECORDS if r.lineage == of.lineage]
        assert of.dialogue == record.dialogue[: len(of.dialogue)]
        assert record.dialogue[len(of.dialogue)] == Turn("agent", of.golden)
        assert of.agent_character == record.agent_character
        assert list(of.agent_character) != list(record.agent_character)
        assert (of.user_persona, of.category) == (record.user_persona, record.category)


def test_augmentation_follows_its_seed():
    orders = [[list(of.agent_character) for of in augmented(RECORDS, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]


def test_a_turn_that_nothing_precedes_is_no_target():
    record = Record("a", "Ana.", {"name": "Bo"}, (Turn("agent", "Hi."), Turn("user", "Ho?")), "Yes.", "IDTrain")
    assert augmented([record], 0) == [record]


def test_a_thinking_policy_learns_reasoning_and_reply():
    reasoning = {record.id: f"so {record.id}\n" for record in RECORDS}
    examples = golden_examples(RECORDS, PROMPTS, TOKENIZER, reasoning)
    for record, of in zip(RECORDS, examples, strict=True):
        text = f"so {record.id}\n<Agent Response>\n{record.golden}\n</Agent Response>"
        assert list(of.answer) == [*TOKENIZER.encode(text), TOKENIZER.end_of_turn_id]
        messages = PROMPTS.policy(record, thinking=True)
        assert "between <Agent Response> and </Agent Response>" in messages[1]["content"]
        assert list(of.prefix) == TOKENIZER.encode_chat(messages)


def test_the_judge_is_told_the_core_features_of_ready_reasoning():
    block = "```\n[Core Features of the Golden Response]\n- {}\n```"
    reasoning = {record.id: block.format(record.id) for record in RECORDS}
    asked = asked_of(RECORDS, PROMPTS, TOKENIZER, False, reasoning)
    assert [of.features for of in asked] == [f"- {record.id}" for record in RECORDS]
    assert {of.features for of in asked_of(RECORDS, PROMPTS, TOKENIZER, False, None)} == {None}
    assert [list(of.ids) for of in asked] == [list(of.prefix) for of in golden_examples(RECORDS, PROMPTS, TOKENIZER)]


def group(n, draws=3):
    samples = [Sample((10 * n + k,), (-1.0,), "end") for k in range(draws)]
    return Group(Asked(f"record {n}", [n]), samples, [f"reply {n} {k}" for k in range(draws)])


def test_the_best_reply_of_each_group_is_kept():
    first = np.array([[0.1, 0.9, 0.9], [np.nan, 0.2, 0.1], [np.nan] * 3])
    rewards = Rewards(
        {"a": (2.0, lambda groups: first), "b": (1.0, lambda groups: np.array([[0, 0, 0], [9, 0, 0.5], [1, 1, 1]]))}
    )
    found = best_of([group(0), group(1), group(2)], rewards)
    assert [(of.name, of.prefix, of.answer) for of in found] == [("record 0", [0], (1,)), ("record 1", [1], (12,))]
    assert [[row["kept"] for row in of.rollouts] for of in found] == [[False, True, False], [False, False, True]]
    assert found[1].rollouts[0] == {
        "record": "record 1", "text": "reply 1 0", "reward": None, "reward/a": None, "reward/b": 9.0, "kept": False
    }  # fmt: skip
    assert found[1].rollouts[2]["reward"] == pytest.approx(0.7)


def test_replies_without_any_reward_are_refused():
    rewards = Rewards({"odd": (1.0, lambda groups: np.full((1, 3), np.nan))})
    with pytest.raises(UserError, match="no reward of any drawn reply is a number: look at what odd make"):
        best_of([group(0)], rewards)


def test_drawn_replies_are_rejected_in_favour_of_golden_ones():
    examples = [Example(f"record {n}", [n], (7, 8)) for n in range(2)]
    pairs = preferred(examples, [group(0, 1), group(1, 1)])
    assert [dataclasses.replace(of, rejected=(), rollouts=()) for of in pairs] == examples
    assert [of.rejected for of in pairs] == [(0,), (10,)]
    assert [row["text"] for of in pairs for row in of.rollouts] == ["reply 0 0", "reply 1 0"]
