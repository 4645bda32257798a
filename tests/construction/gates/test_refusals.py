"""Sentences by which models step out of a text, in RPGBench's languages; those that characters say are let pass."""

import pytest

from remid_jax.construction.gates.refusals import Refusals, read_patterns
from remid_jax.dialogues.records import Turn
from remid_jax.errors import UserError


@pytest.fixture(scope="module")
def gate():
    return Refusals(read_patterns())


REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, but I can’t continue this conversation.",
    "I'm sorry, but I can't.",
    "As an AI language model, I have no hives.",
    "I am just a virtual assistant, my friend.",
    "I cannot assist with this request.",
    "That would be against our content guidelines.",
    "Als KI habe ich keine Bienen.",
    "Es tut mir leid, aber ich kann dabei nicht helfen.",
    "Lo siento, pero no puedo ayudar con eso.",
    "Como modelo de lenguaje, no tengo abejas.",
    "抱歉，我无法提供这个内容。",
    "作为一个人工智能，我没有蜜蜂。",
    "AIとして、お答えはできません。",
    "申し訳ありませんが、そのご要望にはお応えできません。",
    "저는 인공지능입니다.",
    "죄송하지만 도와드릴 수 없습니다.",
]
BOILERPLATE = [
    "Certainly! Here is the dialogue you wanted.",
    "Here's a revised version of the reply:",
    "It counts bees. Let me know if you need anything else!",
    "How can I assist you today?",
    "Natürlich! Hier ist der Dialog.",
    "¡Claro! Aquí está la respuesta.",
    "以下是修改后的对话：",
    "もちろん、以下が会話です。",
    "물론입니다! 다음은 대화입니다.",
]
HEADINGS = [
    "User: Good day.",
    "**Agent:** Good day.",
    "Round 3: They talk of bees.",
    "Benutzer: Guten Tag.",
    "第3轮：他们谈蜜蜂。",
    "用户：你好。",
    "ユーザー：こんにちは。",
    "사용자: 안녕하세요.",
    "Golden response: It counts bees.",
    "### Dialogue",
    "**The last turn**",
]
CHARACTERS = [
    "I'm sorry, but I can't stay, the bees are waiting.",
    "I am afraid I cannot lie to you, Mona.",
    "I cannot help laughing.",
    "Here is the honey, and here's a spoon.",
    "Certainly! Sit down.",
    "Sure! Here is your honey.",
    "How may I help you, Mona?",
    "Natürlich! Hier ist der Honig.",
    "Claro, aquí está la miel.",
    "好的，这是您的蜂蜜。",
    "もちろん、こちらが蜂蜜です。",
    "네, 여기 꿀이 있습니다.",
    "Of course, I will write to your sister.",
    "Let me know when the swarm comes.",
    "An engine is no user of honey: it counts.",
    "Round the corner, second door.",
    "Es tut mir leid um die Bienen.",
    "Lo siento, no puedo dormir.",
    "对不起，我不能留下。",
    "申し訳ありません、蜂が逃げました。",
    "죄송합니다, 벌이 도망갔어요.",
    "Act II: enter a bee.",
    "- one comb\n- two combs",
]


@pytest.mark.parametrize(
    ("kind", "text"),
    [("refusal", t) for t in REFUSALS] + [("boilerplate", t) for t in BOILERPLATE] + [("heading", t) for t in HEADINGS],
)
def test_models_that_step_out_are_heard(gate, kind, text, changed, manifest, faults):
    [why] = faults(gate, [changed(golden=text)], manifest).values()
    assert why.startswith(f"{kind}: agent_golden_response holds ")


@pytest.mark.parametrize("text", CHARACTERS)
def test_what_characters_say_is_let_pass(gate, text, changed, manifest, faults):
    assert faults(gate, [changed(golden=text)], manifest) == {}


def test_refusals_are_the_characters_and_headings_anyones(gate, changed, manifest, faults):
    refusal, heading = REFUSALS[0], HEADINGS[0]
    said = {
        "asked": (Turn("user", refusal),),
        "answered": (Turn("user", "Bees?"), Turn("agent", refusal), Turn("user", "Why?")),
        "headed": (Turn("user", f"Bees?\n{heading}"),),
    }
    records = [changed(id=name, dialogue=dialogue) for name, dialogue in said.items()]
    records.append(changed(id="persona", user_persona=BOILERPLATE[1]))
    records.append(changed(id="keys", agent_character={"character": "Ada", "user": {"agent": "Mona"}}))
    assert faults(gate, records, manifest) == {
        "answered": """refusal: dialogue_context[1] holds "I'm sorry, but I can't help\"""",
        "headed": "heading: dialogue_context[0] holds 'User:'",
        "persona": """boilerplate: user_persona holds "Here's a revised version\"""",
    }


def test_a_file_of_ones_own_is_read_instead(tmp_path, changed, manifest, faults):
    path = tmp_path / "patterns.txt"
    path.write_text("# mine\n[refusal]\n\\bcombs?\\b  \n", encoding="utf-8")
    gate = Refusals(read_patterns(path))
    assert faults(gate, [changed(golden="It would sort your COMBS.")], manifest) == {
        "r1": "refusal: agent_golden_response holds 'COMBS'"
    }
    assert faults(gate, [changed(golden=REFUSALS[0])], manifest) == {}


def test_what_is_no_pattern_is_refused_with_its_line(tmp_path):
    path = tmp_path / "patterns.txt"
    path.write_text("bees\n[refusals]\n[heading]\nbees(\n", encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_patterns(path)
    assert str(error.value) == (
        f"{path}: line 1: stands before any section: begin with [refusal]; {path}: line 2: no section [refusals] (did you mean "
        f"'refusal'?): choose one of [refusal], [boilerplate], [heading]; {path}: line 4: is no regular expression (missing ), "
        "unterminated subpattern at position 4): mend it, or begin it with #"
    )
