"""Each way to make a golden reply worse, against the exact text, and shares against counts."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.dialogues.copying import units
from remid_jax.dialogues.records import Record, Turn
from remid_jax.roles.degraded import (
    LADDERS,
    MEANINGS,
    RUNGS,
    degraded_records,
    degraded_sets,
    half_golden_parrot,
    misnamed,
    stale,
    without_words,
)


def record(number, name="Priya", golden="Take up your needles, Priya. Count each row.", spoken=("A table, my dear.",)):
    turns = [turn for said in spoken for turn in (Turn("user", "And then?"), Turn("agent", said))]
    persona = f"{name}, 19, knits lace. She is bright."
    return Record(
        f"r{number}", persona, {"name": "Ada"}, (*turns, Turn("user", "What is a cycle?")), golden, "IDTest", f"l{number}"
    )


def test_texts_are_these():
    one = record(0, spoken=("A table.", "You read notation."))
    assert half_golden_parrot(one).text == "Take up your needles, What is a cycle?"
    assert stale(one).text == "You read notation."
    assert stale(record(0, spoken=())) is None
    assert misnamed(one, record(1, "Iain")).text == "Take up your needles, Iain. Count each row."
    assert misnamed(record(0, golden="Priyanka counts."), record(1, "Iain")).text == "Priyanka counts."
    nameless = Record("r2", "I like tea.", {}, one.dialogue, "I like it, too.", "IDTest")
    assert misnamed(nameless, one).text == "I like it, too."
    assert misnamed(one, nameless).text == one.golden


@given(
    st.lists(st.sampled_from(["needles,", "Priya.", "row", "東京", "don't", "—", "“Yes!”"]), min_size=1, max_size=30),
    st.sampled_from([0.25, 0.5, 0.75]),
    st.integers(0, 5),
)
def test_as_many_words_are_gone_as_the_share_says_and_the_others_stay_in_order(words, share, seed):
    golden = " ".join(words)
    whole = [unit.folded for unit in units(golden)]
    left = without_words(record(seed, golden=golden), share, seed).text
    kept = [unit.folded for unit in units(left)]
    assert len(kept) == len(whole) - math.floor(share * len(whole) + 0.5)
    rest = iter(whole)
    assert all(word in rest for word in kept)  # each after the one before it


def test_a_larger_share_of_words_takes_away_what_a_smaller_one_does():
    text = "one two three four five six seven eight"
    kept = [set(without_words(record(0, golden=text), share, 3).text.split()) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert [len(words) for words in kept] == [8, 6, 4, 2, 0]
    assert all(more > fewer for more, fewer in itertools.pairwise(kept))
    assert without_words(record(0, golden=text), 0.0, 3).text == text


@given(st.integers(2, 40), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.integers(0, 9))
def test_a_share_of_records_is_exact_and_part_of_every_larger_one(n, share, seed):
    records = [record(number) for number in range(n)]
    chosen = degraded_records(records, share, seed)
    assert chosen.sum() == math.floor(share * n + 0.5)
    assert not (chosen & ~degraded_records(records, min(1.0, share + 0.25), seed)).any()
    back = degraded_records(records[::-1], share, seed)[::-1]
    np.testing.assert_array_equal(chosen, back)  # of the records, not of their order


def test_sets_are_the_rungs_and_what_a_category_cannot_have_is_said():
    names = ["Priya", "Marcus", "Helen", "Tom"]
    records = [record(number, name, f"Well, {name}, count.") for number, name in enumerate(names)]
    sets, absent = degraded_sets(records, {of.lineage: f"Nun, {of.id}." for of in records}, 0)
    assert absent == {}
    assert {*sets, "golden_other"} == {rung.said for rung in RUNGS} == set(MEANINGS)
    assert [reply.text for reply in sets["misnamed"]] == [
        f"Well, {name}, count." for name in ("Helen", "Tom", "Priya", "Marcus")
    ]
    assert [reply.text for reply in sets["other_language"]] == ["Nun, r0.", "Nun, r1.", "Nun, r2.", "Nun, r3."]
    assert {reply.text for reply in sets["constant"]} == {"I see. Please tell me more about that."}
    silent = [record(number, golden="Count.", spoken=()) for number in range(4)]
    sets, absent = degraded_sets(silent, {"l0": "Nun."}, 0)
    assert absent == {
        "misnamed": "no golden reply says the name that its user's persona begins with",
        "stale": "the character has not spoken before in some record",
        "other_language": "some lineage has no golden reply in another language",
    }
    assert not set(absent) & set(sets)


def test_ladders_go_down():
    shares = {rung.name: rung.dose for rung in RUNGS if rung.ladder}
    assert LADDERS["misplaced"] == ("golden", "misplaced 25%", "misplaced 50%", "misplaced 75%", "misplaced 100%")
    for rungs in LADDERS.values():
        doses = [shares[rung] for rung in rungs[1:]]
        assert doses == sorted(doses)
        assert doses[-1] == pytest.approx(1.0) or rungs[0] == "golden"
