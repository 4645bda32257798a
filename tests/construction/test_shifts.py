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


def four_rounds(name, topic):
    said = {who: [f"{topic}{n}{who} {topic}{n}{who}ish {topic}{n}{who}ness" for n in range(4)] for who in ("user", "agent")}
    rounds = [{"user": user, "agent": agent} for user, agent in zip(*said.values(), strict=True)]
    turns = [Turn(who, each[who]) for each in rounds for who in said]
    return rounds, Record(name, MEETING.persona, PROFILE, tuple(turns[:-1]), turns[-1].text, "IDTest", "idtest-4")


def test_a_merge_has_eight_rounds_of_both_dialogues_and_the_last_answer_is_golden():
    winter, first = four_rounds("idtest-4-1", "winter")
    summer, second = four_rounds("idtest-4-3", "summer")
    last = {"user": "And what do you like best about the winter and the summer?", "agent": "I like that neither of them stays."}
    rounds = [*(of for both in zip(winter, summer, strict=True) for of in both)]
    rounds[-1] = last

    def made(said):
        model, tally = questioner({"rounds": said})
        return merged([(MEETING, first, second)], model, ConstructionPrompts.load()), [each.why for each in tally.failures]

    [(record, sources)], _ = made([*rounds, last])
    assert sources == (first, second)
    assert record == Record(
        "turn_level-4-13", MEETING.persona, PROFILE,
        tuple(Turn(speaker, each[speaker]) for each in rounds for speaker in ("user", "agent"))[:-1],
        "I like that neither of them stays.", "TurnLevelComposition", "idtest-4",
    )  # fmt: skip
    assert made(rounds[:7]) == ([], [("has 7 rounds, not 8",)])
    lacking = "thread is lacking: 0 of 8 turns of 'idtest-4-3' stand in the dialogue, at least 3"
    assert made([*winter, *[last] * 4]) == ([], [(lacking,)])
