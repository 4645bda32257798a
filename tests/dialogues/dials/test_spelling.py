"""Dials as they are written: what they say, what their curves are called, and what is wrong with those that are not."""

import re

import pytest

from remid_jax.dialogues.dials.spelling import Step, parse_dials
from remid_jax.errors import UserError

EXAMPLE = "without(user) + mixture(german, 0.5)"
NAMES = "mixture, language, edited, turns, shortened, without, exchanged"


@pytest.mark.parametrize(("text", "written", "curve", "position"), [
    ("mixture(german,.25)", "mixture(german, 0.25)", "mixture(german)", 0.25),
    (" mixture( Film & Television , 1 )", "mixture(Film & Television, 1)", "mixture(Film & Television)", 1),
    ("mixture(Tea, no sugar, 0)", "mixture(Tea, no sugar, 0)", "mixture(Tea, no sugar)", 0),
    ("turns(3)", "turns(3)", "turns", 3),
    ("shortened(user, 0.5)", "shortened(user, 0.5)", "shortened(user)", 0.5),
    ("without(user)", "without(user)", "without(user)", None),
    ("language(de)", "language(de)", "language(de)", None),
    ("edited(some/folder/edits.jsonl)", "edited(edits.jsonl)", "edited(edits.jsonl)", None),
    ("without(user)+mixture(german, 0.5)", EXAMPLE, "without(user) + mixture(german)", 0.5),
    ("mixture(german, 0.5) + turns(2)", "mixture(german, 0.5) + turns(2)", "mixture(german, 0.5) + turns", 2),
    ("without(user) on german", "without(user) on german", "without(user) on german", None),
    ("mixture(on ice, 0.5)  on  paris ", "mixture(on ice, 0.5) on paris", "mixture(on ice) on paris", 0.5),
])  # fmt: skip
def test_a_dial_has_one_way_to_be_written(text, written, curve, position):
    [dial] = parse_dials([text])
    assert (str(dial), dial.curve, dial.position) == (written, curve, position)


def test_steps_keep_their_order_and_their_words():
    [dial] = parse_dials(["without(dialogue) + mixture(german, 0.5) on IDTest"])
    assert dial.steps == (Step("without", "dialogue"), Step("mixture", "german", 0.5))
    assert dial.base == "IDTest"


@pytest.mark.parametrize(("texts", "said"), [
    (["mixtur(german, 0.5)"], "config.benchmark.dials: 'mixtur(german, 0.5)': unknown dial 'mixtur' (did you mean 'mixture'?)"),
    (["zzz(german)"], f"config.benchmark.dials: 'zzz(german)': unknown dial 'zzz': choose one of {NAMES}"),
    (["mixture(german)"],
     "config.benchmark.dials: 'mixture(german)': mixture takes category and share: write mixture(german, 0.5)"),
    (["turns()"], "config.benchmark.dials: 'turns()': turns takes threads: write turns(2)"),
    (["mixture(german, 1.5)"], "config.benchmark.dials: 'mixture(german, 1.5)': the share 1.5 must be a number from 0 to 1"),
    (["shortened(user, half)"], "config.benchmark.dials: 'shortened(user, half)': the share half must be a number from 0 to 1"),
    (["turns(1.5)"], "config.benchmark.dials: 'turns(1.5)': the threads 1.5 must be a whole number from 1 up"),
    (["without(usr)"], "config.benchmark.dials: 'without(usr)': 'usr' is no factor (did you mean 'user'?): choose one of user, "
                       "character, dialogue"),
    (["german"], f"config.benchmark.dials: 'german' is no dial: write it as '{EXAMPLE}', of {NAMES}"),
    (["without(user) mixture(german, 0.5)"],
     f"config.benchmark.dials: 'without(user) mixture(german, 0.5)' is no dial: write it as '{EXAMPLE}', of {NAMES}"),
    (["turns(2) +"], f"config.benchmark.dials: 'turns(2) +' is no dial: write it as '{EXAMPLE}', of {NAMES}"),
    (["turns(2)", "turns( 2 )"], "config.benchmark.dials: 'turns(2)' is named twice: name each setting once"),
    ("turns(2)", "config.benchmark.dials='turns(2)': must be a list of texts, such as ('turns(2)',)"),
])  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(texts, said):
    with pytest.raises(UserError, match=f"^{re.escape(said)}$"):
        parse_dials(texts)


def test_all_faults_are_said_at_once():
    with pytest.raises(UserError, match=r"unknown dial 'a'.*; .*the share 2 must be"):
        parse_dials(["a(user)", "shortened(user, 2)"])
