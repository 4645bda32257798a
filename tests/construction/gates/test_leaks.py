"""How long a run of the golden reply may stand in its context, against a search of all runs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.construction.gates.leaks import Leaks
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn

WORDS = st.lists(st.sampled_from(["bee", "comb", "wax", "hum", "sting"]), min_size=1, max_size=24)


def longest_common_run(one, other):
    """By trying all."""
    runs = {tuple(one[a:b]) for a in range(len(one)) for b in range(a + 1, len(one) + 1)}
    theirs = {tuple(other[a:b]) for a in range(len(other)) for b in range(a + 1, len(other) + 1)}
    return max(map(len, runs & theirs), default=0)


@settings(max_examples=60, deadline=None)
@given(reply=WORDS, turn=WORDS)
def test_eight_words_or_six_that_are_most_of_the_reply_are_a_leak(reply, turn):
    record = Record("r", "Mona.", {"name": "Ada"}, (Turn("user", " ".join(turn)),), ", ".join(reply).upper(), "IDTest")
    run = longest_common_run(reply, turn)
    leaks = run >= 8 or (run >= 6 and run >= 0.8 * len(reply))
    assert (Leaks().faults([record], RPGBENCH, lambda done, total: None) != {}) == leaks


GOLDEN = "It would sort your combs by weight before breakfast, and ask for honey as its fee."


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("user_persona", {"user_persona": f"Mona, who was told: {GOLDEN}"}),
        ("agent_character.sayings[1]", {"agent_character": {"name": "Ada", "sayings": ["No.", GOLDEN]}}),
        ("dialogue_context[1]", {"dialogue": (Turn("user", "So?"), Turn("agent", GOLDEN), Turn("user", "So?"))}),
    ],
)
def test_a_whole_reply_is_found_wherever_it_stands(field, fields, changed, manifest, faults):
    assert faults(Leaks(), [changed(golden=GOLDEN, **fields)], manifest) == {
        "r1": f"golden reply stands in {field}: 'It would sort your combs by weight before breakfast, and ...'"
    }


def test_runs_do_not_go_on_from_one_text_to_the_next(changed, manifest, faults):
    words = GOLDEN.removesuffix(".").split()
    halves = (Turn("user", " ".join(words[:6])), Turn("agent", " ".join(words[6:12])), Turn("user", "So?"))
    assert faults(Leaks(), [changed(golden=GOLDEN, dialogue=halves)], manifest) == {}


def test_scripts_without_spaces_count_characters(changed, manifest, faults):
    dialogue = (Turn("user", "先生、蜂の巣を数える機械はありますか。"),)
    assert (
        faults(
            Leaks(),
            [changed(golden="ええ、蜂の巣を数える機械なら、朝までに作って差し上げましょう。", dialogue=dialogue)],
            manifest,
        )
        == {}
    )
    assert faults(Leaks(), [changed(golden="蜂の巣を数える機械はあります。", dialogue=dialogue)], manifest) == {
        "r1": "golden reply stands in dialogue_context[0]: '蜂の巣を数える機械はあります'"
    }
