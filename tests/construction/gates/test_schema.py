"""What a whole record is, and remains of templates and of JSON; what only looks like them is let pass."""

import pytest

from remid_jax.construction.gates.schema import Schema, rounds_of
from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.records import Turn


def user(text):
    return Turn("user", text)


def agent(text):
    return Turn("agent", text)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"user_persona": " "}, "empty field: user_persona"),
        ({"agent_character": {"name": "", "age": None}}, "empty field: agent_character"),
        ({"golden": ""}, "empty field: agent_golden_response"),
        ({"dialogue": (user("Hello?"), agent("\n"), user("Hello!"))}, "empty field: dialogue_context[1]"),
        ({"dialogue": (user("Hello?"), user("Hello!"))}, "one speaker twice in a row: dialogue_context[1], user"),
        (
            {"dialogue": (user("Hello?"), agent("Yes?"))},
            "no turn of the user before the golden reply: the agent ends it",
        ),
        ({"dialogue": ()}, "no turn of the user before the golden reply: no dialogue"),
    ],
)
def test_what_lacks_is_named(fields, why, changed, manifest, faults):
    assert faults(Schema(), [changed(**fields)], manifest) == {"r1": why}


@pytest.mark.parametrize(
    "remains",
    [
        "[name]", "[Your Name]", "[user's name]", "[User 1’s name]", "[user 2]", "[link]",
        "[insert a reply here]", "[Character]", "[nombre]", "[角色]", "【名前】",
        "[이름]", "{character}", "{{user}}", "{user_persona}", "<name>", "<USER>", "TODO:", "Lorem ipsum",
    ],
)  # fmt: skip
def test_placeholders_are_found_anywhere(remains, changed, manifest, faults):
    why = f"holds {remains}"
    texts = {
        "user_persona": {"user_persona": f"Mona, friend of {remains}."},
        "agent_character.name": {"agent_character": {"name": remains}},
        "dialogue_context[0]": {"dialogue": (user(f"I greet you, {remains}!"),)},
        "agent_golden_response": {"golden": f"Good day, {remains}."},
    }
    for field, fields in texts.items():
        assert faults(Schema(), [changed(**fields)], manifest) == {"r1": f"placeholder: {field} {why}"}


@pytest.mark.parametrize(
    "remains",
    ['```', '{"reply": "Good day."}', '"golden": "Good day."', 'Good day."}', "Good day.\\nSit down.", "caf\\u00e9"],
)  # fmt: skip
def test_remains_of_json_are_found(remains, changed, manifest, faults):
    [why] = faults(Schema(), [changed(golden=f"{remains}")], manifest).values()
    assert why.startswith("remains of JSON: agent_golden_response holds ")


@pytest.mark.parametrize(
    "text",
    [
        "[laughs] Come in.", "(He bows.)", "*sits down*", 'She said: "No." And I: "Yes."', "I <3 tea", "a < b > c",
        "Todo está listo, y TODO es mío.", "xxx, your Mona", "The set {1, 2}", "Chapter XXX", "1:0 \\o/",
        "Mein Name? [flüstert] Keiner.", "C:\\temp", "the user name is on the door",
    ],
)  # fmt: skip
def test_what_people_write_is_let_pass(text, changed, manifest, faults):
    assert faults(Schema(), [changed(golden=text)], manifest) == {}


def test_rounds_are_those_of_rpgbench(changed, faults):
    turns = [agent("Yes?") if number % 2 else user("And then?") for number in range(15)]
    four, eight = turns[:7], turns
    records = [
        changed(id="four", category="IDTest", dialogue=tuple(four)),
        changed(id="five", category="IDTrain", dialogue=tuple(turns[:9])),
        changed(id="eight", category="TurnLevelComposition", dialogue=tuple(eight)),
        changed(id="short", category="TurnLevelComposition", dialogue=tuple(four)),
    ]
    assert faults(Schema(), records) == {
        "five": "rounds: 9 turns before the golden reply, must be 7",
        "short": "rounds: 7 turns before the golden reply, must be 15",
    }


def test_other_manifests_say_nothing_of_rounds():
    assert rounds_of(RPGBENCH)["IDTrain"] == 4
    assert rounds_of(Manifest({"IDTest": Category("IDTest", language="fr")})) == {}
    assert rounds_of(Manifest({"IDTest": RPGBENCH.categories["IDTest"]})) == {"IDTest": 4}
