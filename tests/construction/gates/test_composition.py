"""How much of a record a word-level edit may change, and how much of its golden reply it must."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.construction.gates.composition import MOST_EDITED, WORD_LEVEL, Composition
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn

REPLIES = (
    "It would sort your combs by weight before breakfast, and ask for honey as its fee.",
    "Never! I was promised clockwork, sir, with no creature in it that may sting a lady.",
)


def edited(source, text, golden=REPLIES[1]):
    return Record(
        "edited", source.user_persona, source.agent_character, (Turn("user", text),), golden, WORD_LEVEL, source.lineage
    )


def asked(record, source):
    return Composition({record.id: (source,)}).faults([record], RPGBENCH, lambda done, total: None).get(0)


WORDS = st.lists(st.sampled_from(["bee", "comb", "wax", "hum", "sting"]), min_size=1, max_size=20)


def put_in_and_left_out(one, other):
    """The words of both that are not in their longest common subsequence."""
    best = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            best[i + 1][j + 1] = best[i][j] + 1 if a == b else max(best[i][j + 1], best[i + 1][j])
    return len(one) + len(other) - 2 * best[-1][-1]


@settings(max_examples=60, deadline=None)
@given(before=WORDS, after=WORDS)
def test_edits_are_counted_in_words(before, after):
    source = Record("source", "Mona.", {"name": "Ada"}, (Turn("user", " ".join(before)),), REPLIES[0], "IDTest")
    count = put_in_and_left_out(before, after)
    why = asked(edited(source, " ".join(after).upper()), source)
    if count == 0:
        assert why == "nothing was edited: the context is that of 'source'"
    elif count > MOST_EDITED:
        assert why == f"edited too much: {count} words put in and left out against 'source', at most 16"
    else:
        assert why is None


@pytest.mark.parametrize(
    ("golden", "why"),
    [
        (REPLIES[0], "golden reply changed too little: 100% alike that of 'r1', must be below 70%"),
        (REPLIES[0].upper(), "golden reply changed too little: 100% alike that of 'r1', must be below 70%"),
        (REPLIES[1], None),
    ],
)
def test_the_golden_reply_must_change(golden, why, changed):
    source = changed(dialogue=(Turn("user", "Could your engine count bees?"),), golden=REPLIES[0])
    assert asked(edited(source, "Could your engine fear bees?", golden), source) == why


def test_only_word_level_records_with_a_source_are_asked(changed, faults):
    source = changed(category="IDTest")
    records = [changed(id=name, category=name) for name in ("german", "TurnLevelComposition")]
    records.append(changed(id="unknown", category=WORD_LEVEL))
    assert faults(Composition({record.id: (source,) for record in records[:2]}), records) == {}
