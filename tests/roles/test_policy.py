"""What is taken for a policy's reply, from what a stand-in for the sampler wrote."""

import types

from tiny import tiny_chat_model

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.roles.policy import reply_of, respond
from remid_jax.scoring.generation import Sample
from remid_jax.scoring.texts import Reply, answer_ids

MODEL, PROMPTS = tiny_chat_model(), Prompts.load()
ENCODE, END = MODEL.tokenizer.encode, MODEL.tokenizer.end_of_turn_id
WROTE = {
    "whole": ("So dry.\n<Agent Response>\nBecause.\n</Agent Response>", "end", Reply("Because.")),
    "closed, then cut": ("So.\n<Agent Response>\nBecause.\n</Agent Response> and", "length", Reply("Because.")),
    "cut in the reply": ("So.\n<Agent Response>\nBecau", "length", Reply("Becau", False)),
    "cut in the reasoning": ("So dry", "length", Reply("")),
    "no tags": ("So dry.", "end", Reply("")),
}


def test_only_what_stands_between_the_tags_is_scored():
    records = [Record(name, "Ana.", {"name": "Bo"}, (Turn("user", f"{name}?"),), "Yes.", "IDTest") for name in WROTE]
    asked = []

    def generate(prompts, sampler, report):
        asked.extend(prompts)
        ends = {"end": [END], "length": []}
        return [[Sample((*ENCODE(text), *ends[finish]), (), finish)] for text, finish, _ in WROTE.values()]

    generator = types.SimpleNamespace(model=MODEL, generate=generate)
    replies, samples = respond(records, PROMPTS, generator, 512, 1.05, 0, 0, lambda done, total: None, thinking=True)
    assert replies == {name: reply for name, (_, _, reply) in WROTE.items()}
    assert [list(of.ids) for of in asked] == [MODEL.tokenizer.encode_chat(PROMPTS.policy(of, thinking=True)) for of in records]
    assert {len(of) for of in samples.values()} == {0}
    assert list(answer_ids(MODEL.tokenizer, replies["whole"])) == [*ENCODE("Because."), END]


def test_a_reply_of_blanks_that_was_cut_is_an_empty_one_that_ended():
    """Else it would have no token at all, and the evaluation's table would refuse it."""
    tokenizer = tiny_chat_model().tokenizer
    reply = reply_of(tokenizer, tokenizer.encode("   \n  "), ended=False)
    assert reply == Reply("", True, None)
    assert answer_ids(tokenizer, reply) == (tokenizer.end_of_turn_id,)
    said = reply_of(tokenizer, tokenizer.encode("Good day"), ended=False)
    assert (said.text, said.finished) == ("Good day", False)
