"""Users and dialogues in the language of a meeting: what is asked, what is kept as it was written, what does not fit."""

import json

import pytest
from building import canned

from remid_jax.construction.answers import Questioner, Tally
from remid_jax.construction.characters import Character
from remid_jax.construction.dialogues import Opening, held, openings_of
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.users import Meeting, with_users
from remid_jax.dialogues.records import Turn
from remid_jax.endpoints.chat import Sampling
from remid_jax.progress import Silent

STEN = Character("Literature", {"name": "Sten", "identity": "a ferryman"}, False)
MEETING = Meeting("german-1", "german", "idtest-1", "de", STEN)
SKETCH = "Hanna ist Bäckerin in Bremen und fährt jeden Morgen mit der Fähre."
PERSONA = SKETCH + " Sie redet wenig, liest viel über Schiffe und glaubt keinem Wetterbericht."
OPENINGS = [
    "Fährt die Fähre heute auch bei Nebel?",
    "Wer hat dir das Rudern beigebracht?",
    "Warum singst du nie auf dem Wasser?",
]
ROUNDS = [
    {"user": "Fährt sie heute?", "agent": "Sie fährt, sie weiß bloß nicht immer, wohin."},
    {"user": "Und bei Frost?", "agent": "Solange das Seil hält, fahren wir hinüber."},
    {"user": "Meine Brötchen werden kalt.", "agent": "Dann setz dich in die Mitte, dort ist es warm."},
    {"user": "Wann sind wir drüben?", "agent": "Wenn du aufhörst zu fragen, Hanna, dann sind wir schneller da."},
]


def questioner(*answers):
    """(questioner, its tally, what it is asked): says one thing after the other."""
    contents, left, tally = [], list(answers), Tally()

    def answer(content):
        contents.append(content)
        return left.pop(0)

    return Questioner(canned(answer)[1], Sampling(64, 1.0), 1, False, tally, Silent()), tally, contents


def test_a_user_is_sketched_and_then_expanded_in_the_language():
    model, _, contents = questioner(f"<persona>{SKETCH}</persona>", f"Gern!\n<persona>\n{PERSONA}\n</persona>")
    [meeting] = with_users([MEETING], model, ConstructionPrompts.load())
    assert (meeting.persona, meeting.id, meeting.character) == (PERSONA, "german-1", STEN)
    assert "name: Sten\nidentity: a ferryman" in contents[0]
    assert SKETCH in contents[1]
    assert all("German" in content for content in contents)


def test_a_sketch_in_another_language_makes_no_user():
    model, tally, contents = questioner("<persona>Hanna is a baker in Bremen who takes the ferry every morning.</persona>")
    assert with_users([MEETING], model, ConstructionPrompts.load()) == []
    assert [(failure.stage, failure.item, failure.why) for failure in tally.failures] == [
        ("infer users", "german-1", ("is in English, not in German",)),
    ]
    assert len(contents) == 1


def test_three_openings_and_no_more():
    model, _, _ = questioner(json.dumps({"openings": [*OPENINGS, "Und noch eine vierte Frage?"]}))
    openings = openings_of([MEETING], model, ConstructionPrompts.load())
    assert openings == [Opening(MEETING, number, text) for number, text in enumerate(OPENINGS, 1)]


@pytest.mark.parametrize(
    ("openings", "why"),
    [
        ([*OPENINGS[:2], OPENINGS[0].replace("?", "??")], "two of its openings are alike"),
        (OPENINGS[:2], "openings: List should have at least 3 items after validation, not 2"),
        (["Does the ferry run in fog?", "Who taught you to row?", "Why do you never sing?"], "is in English, not in German"),
    ],
)
def test_openings_that_do_not_fit(openings, why):
    model, tally, _ = questioner(json.dumps({"openings": openings}))
    assert openings_of([MEETING], model, ConstructionPrompts.load()) == []
    assert tally.failures[0].why == (why,)


def test_a_dialogue_begins_with_its_opening_and_its_last_answer_is_golden():
    model, _, contents = questioner(json.dumps({"rounds": [*ROUNDS, {"user": "Danke!", "agent": "Bitte."}]}))
    [record] = held([Opening(MEETING, 2, OPENINGS[1])], model, ConstructionPrompts.load())
    assert record.id == "german-1-2"
    assert (record.category, record.lineage, record.user_persona) == ("german", "idtest-1", MEETING.persona)
    assert record.dialogue[0] == Turn("user", OPENINGS[1])
    assert [turn.text for turn in record.dialogue[1:]] == [each[who] for each in ROUNDS for who in ("user", "agent")][1:-1]
    assert record.golden == ROUNDS[-1]["agent"]
    assert record.agent_character == STEN.profile
    assert OPENINGS[1] in contents[0]


@pytest.mark.parametrize(
    ("rounds", "why"),
    [
        (ROUNDS[:3], "has 3 rounds, not 4"),
        ([*ROUNDS[:3], {"user": "Wann?"}], "rounds.3.agent: missing"),
        (
            [*ROUNDS[:3], ROUNDS[3] | {"agent": "Once you stop asking, we will be there sooner."}],
            "is in English, not in German",
        ),
        ([each | {"agent": "Si dejas de preguntar, llegaremos antes."} for each in ROUNDS], "is in Spanish, not in German"),
    ],
)
def test_dialogues_that_do_not_fit(rounds, why):
    model, tally, _ = questioner(json.dumps({"rounds": rounds}))
    assert held([Opening(MEETING, 1, OPENINGS[0])], model, ConstructionPrompts.load()) == []
    assert tally.failures[0].why == (why,)
