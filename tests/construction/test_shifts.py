"""An edit goes into the user's words, changes the answer, and is the smallest for what it changes; merges have eight rounds."""

import json

import pytest
from building import canned

from remid_jax.construction.answers import Questioner, Tally
from remid_jax.construction.characters import Character
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.shifts import edited, merged
from remid_jax.construction.users import Meeting
from remid_jax.dialogues.records import Record, Turn
from remid_jax.endpoints.chat import Sampling
from remid_jax.progress import Silent

PROFILE = {"name": "Sten", "identity": "a ferryman"}
MEETING = Meeting("idtest-4", "IDTest", "idtest-4", "en", Character("Literature", PROFILE, False), "Ana, a baker.")
TURNS = (
    Turn("user", "Does the ferry run in fog, and does the ferry run in frost?"),
    Turn("agent", "It runs in fog, it just does not know where."),
    Turn("user", "And does the ferry run at night?"),
)
GOLDEN = "At night it sleeps as all of us should, and so do I."
RECORD = Record("idtest-4-1", MEETING.persona, PROFILE, TURNS, GOLDEN, "IDTest", "idtest-4")
OTHER = "Not while my brother has the oars and the wind is from the north."


def questioner(said):
    tally = Tally()
    return Questioner(canned(lambda content: json.dumps(said))[1], Sampling(64, 1.0), 1, False, tally, Silent()), tally


def edit(old, new, golden=OTHER):
    return {"old": old, "new": new, "golden": golden}


def edited_by(*edits):
    """(the edited record or None, why not)"""
    model, tally = questioner({"edits": edits})
    made = edited([(MEETING, RECORD)], model, ConstructionPrompts.load())
    assert all(source is RECORD for _, source in made)
    return (made[0][0] if made else None), [failure.why for failure in tally.failures]


def test_the_last_message_with_the_words_is_changed_once_and_the_record_is_new():
    record, _ = edited_by(edit("the ferry", "your brother"))
    assert record.dialogue == (*TURNS[:2], Turn("user", "And does your brother run at night?"))
    assert (record.id, record.category, record.lineage, record.golden) == (
        "word_level-4-1", "WordLevelComposition", "idtest-4", OTHER,
    )  # fmt: skip
    record, _ = edited_by(edit("the ferry run in", "a sled go in"))
    assert record.dialogue[0].text == "Does a sled go in fog, and does the ferry run in frost?"
    assert record.dialogue[1:] == TURNS[1:]


def test_the_edit_is_taken_that_changes_most_for_each_letter():
    similar = GOLDEN.replace("sleeps", "rests")
    small, large = edit("night", "noon"), edit("And does the ferry run at night?", "And does your brother have the oars?")
    for edits in ([small, large], [large, small]):
        assert edited_by(*edits)[0].dialogue[2].text == "And does the ferry run at noon?"
    assert edited_by(edit("night", "dusk", similar), edit("run at", "bite by"))[0].dialogue[2].text == (
        "And does the ferry bite by night?"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edit("the boat", "the sled"), "the words to change stand in no message of the user"),
        (edit("it just does not know", "it knows"), "the words to change stand in no message of the user"),
        (edit("night", "night"), "the words do not change"),
        (
            edit("night", "noon", GOLDEN.replace("sleeps", "rests")),
            "golden reply changed too little: 93% alike that of 'idtest-4-1', must be below 70%",
        ),
        (
            edit(
                "And does the ferry run at night?",
                "My sister asks whether you could bring four loaves to her house by Tuesday.",
            ),
            "edited too much: 21 words put in and left out against 'idtest-4-1', at most 16",
        ),
        (edit("night", "noon", "Nachts schläft die Fähre, und ich schlafe auch, mein Kind."), "is in German, not in English"),
    ],
)
def test_an_edit_that_is_none_does_not_fit(change, why):
    assert edited_by(change) == (None, [(why,)])
    assert edited_by(change, edit("night", "noon"))[0].dialogue[2].text == "And does the ferry run at noon?"


def test_a_merge_has_eight_rounds_and_the_last_answer_is_golden():
    rounds = [{"user": f"What happens in winter number {n}?", "agent": f"In winter number {n} it snows."} for n in range(9)]
    model, tally = questioner({"rounds": rounds})
    second = Record("idtest-4-3", MEETING.persona, PROFILE, TURNS, GOLDEN, "IDTest", "idtest-4")
    [record] = merged([(MEETING, RECORD, second)], model, ConstructionPrompts.load())
    assert record == Record(
        "turn_level-4-13", MEETING.persona, PROFILE,
        tuple(Turn(speaker, each[speaker]) for each in rounds[:8] for speaker in ("user", "agent"))[:-1],
        "In winter number 7 it snows.", "TurnLevelComposition", "idtest-4",
    )  # fmt: skip
    model, tally = questioner({"rounds": rounds[:7]})
    assert merged([(MEETING, RECORD, second)], model, ConstructionPrompts.load()) == []
    assert tally.failures[0].why == ("has 7 rounds, not 8",)
