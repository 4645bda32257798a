import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import remid_jax.dialogues
from remid_jax.dialogues.parsing import MARKER, core_features, reply_text
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError

RECORD = Record(
    "a", "Ana, 30, a baker.", {"name": "Bo", "traits": ["dry", "kind"]},
    (Turn("user", "Hi?"), Turn("agent", "Ho."), Turn("user", "Why?")), "Because.", "IDTest",
)  # fmt: skip
SYSTEM = """\
Play the agent in this conversation.

[User]
Ana, 30, a baker.

[Agent]
name: Bo
traits: dry; kind

[Conversation]
User: Hi?
Agent: Ho.
User: Why?"""
REPLY = "Write the agent's next reply, in the user's language."
FOLDER = Path(remid_jax.dialogues.__file__).parent / "prompts"
NAMES = ("policy.md", "reasoner.md", "responder.md", "contextless.md", "thinking.md", "judge.md", "teacher.md")


@pytest.fixture(scope="module")
def prompts():
    return Prompts.load()


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(FOLDER, tmp_path / "mine"))


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def chat(system, user):
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def test_the_prompts_of_this_package(prompts):
    assert prompts.policy(RECORD) == chat(SYSTEM, REPLY)
    assert prompts.responder(RECORD, None) == (chat(SYSTEM, REPLY), "## Agent Response\n")
    with_features = chat(SYSTEM, REPLY + "\n\nCore features of the reply:\n- dry\n- one word")
    assert prompts.responder(RECORD, "- dry\n- one word") == (with_features, "## Agent Response\n")
    question = "Link this user, this agent and the last message: what must the agent's next reply say, and how? "
    question += f"End with a fenced block that begins with {MARKER}."
    assert prompts.reasoner(RECORD) == (chat(SYSTEM, question), f"```\n{MARKER}\n")
    assert prompts.contextless() == (chat("Play an agent in a conversation.", REPLY), "## Agent Response\n")


def test_the_judge_compares_a_candidate_with_the_golden_reply(prompts):
    system = SYSTEM.replace("Play the agent", "Judge a reply of the agent")
    question = "Reference reply, which matches 100% of the features:\nBecause.\n\nCandidate reply:\nNo {golden}.\n\n"
    question += "What share of the features does the candidate match?"
    opening = "Share of the features that the candidate matches:\n"
    assert prompts.judge(RECORD, None, "No {golden}.") == (chat(system, question), opening)
    with_features = f"Core features of the reply:\n- dry\n\n{question}"
    assert prompts.judge(RECORD, "- dry", "No {golden}.") == (chat(system, with_features), opening)


def test_no_core_features_and_empty_ones_give_one_prompt(prompts):
    assert prompts.responder(RECORD, "") == prompts.responder(RECORD, None)


def test_prompts_share_their_beginning(prompts):
    """Scoring computes a shared beginning once: what differs must come last."""
    policy, (plain, _), (reasoned, _), (reasoner, _) = (
        prompts.policy(RECORD), prompts.responder(RECORD, None), prompts.responder(RECORD, "- dry"), prompts.reasoner(RECORD),
    )  # fmt: skip
    assert policy == plain
    thinking = prompts.policy(RECORD, thinking=True)
    assert policy[0] == reasoned[0] == reasoner[0] == thinking[0]
    assert thinking[1]["content"].startswith(policy[1]["content"] + "\n\n")
    assert reasoned[1]["content"].startswith(policy[1]["content"])
    assert reasoned[1]["content"].endswith("- dry")


def test_the_primed_opening_and_the_header_are_what_parsing_expects(prompts):
    _, opening = prompts.reasoner(RECORD)
    assert core_features(opening + "- dry\n- one word\n```\nand so on") == ("- dry\n- one word", False)
    _, header = prompts.responder(RECORD, None)
    assert reply_text(header + "Because.") == "Because."


awkward = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "{dialogue}",
        "{unknown}",
        "{",
        "}}",
        "$user_persona",
        "%s",
        "\\1",
        "# system",
        "# user\n\n# assistant opening",
        "```",
        MARKER,
        "a\n\n{core_features}\n\nb",
    ]
)


@given(awkward, awkward, awkward, awkward, st.none() | awkward)
def test_what_a_record_says_stays_literal(prompts, persona, value, query, golden, features):
    record = Record("a", persona, {"key": f"x{value}x"}, (Turn("user", query),), golden, "IDTest")
    system = f"[User]\n{persona}\n\n[Agent]\nkey: x{value}x\n\n[Conversation]\nUser: {query}"
    system = f"Play the agent in this conversation.\n\n{system}"
    assert prompts.policy(record) == chat(system, REPLY)
    user = f"{REPLY}\n\nCore features of the reply:\n{features}" if features else REPLY
    assert prompts.responder(record, features)[0] == chat(system, user)


def test_no_prompt_depends_on_the_golden_reply(prompts):
    other = dataclasses.replace(RECORD, golden="Never.")
    for make in (prompts.policy, prompts.reasoner, lambda record: prompts.responder(record, "f")):
        assert make(RECORD) == make(other)


def test_a_thinking_policy_is_asked_for_the_block_and_the_tags(prompts):
    asked = prompts.policy(RECORD, thinking=True)[1]["content"]
    assert MARKER in asked
    assert asked.endswith("between <Agent Response> and </Agent Response>.")


def test_a_folder_of_ones_own(folder, prompts):
    assert Prompts.load(str(folder)).fingerprint == prompts.fingerprint
    edit(folder / "policy.md", "Write the", 'Braces {"a": 1} and {} stay. Write the')
    edited = Prompts.load(folder)
    assert edited.fingerprint != prompts.fingerprint
    assert edited.policy(RECORD) == chat(SYSTEM, 'Braces {"a": 1} and {} stay. ' + REPLY)
    assert edited.responder(RECORD, "f") == prompts.responder(RECORD, "f")


def test_line_ends_of_windows_change_no_prompt(folder, prompts):
    for name in NAMES:
        path = folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    loaded = Prompts.load(folder)
    assert loaded.templates == prompts.templates


def test_a_model_without_a_system_message_needs_none(folder, prompts):
    for path in folder.glob("*.md"):
        path.write_text(re.sub(r"# system\n.*?(?=# user)", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))
    mine = Prompts.load(folder)
    for ask in (Prompts.policy, Prompts.teacher):
        [user] = ask(mine, RECORD) if ask is Prompts.policy else ask(mine, RECORD)[0]
        assert user == (ask(prompts, RECORD) if ask is Prompts.policy else ask(prompts, RECORD)[0])[1]
    assert mine.contextless()[0] == prompts.contextless()[0][1:]


def test_every_fault_of_a_folder_is_named_at_once(folder):
    edit(folder / "policy.md", "{character}", "{charakter} {golden}")
    edit(folder / "reasoner.md", "# user\n", "# users\n")
    edit(folder / "responder.md", "{core_features}", "them")
    edit(folder / "responder.md", "## Agent Response", "## {dialogue}")
    edit(folder / "contextless.md", "# system\n", "Hello\n# user\nTwice.\n")
    edit(folder / "judge.md", "{candidate}", "it")
    with pytest.raises(UserError) as caught:
        Prompts.load(folder)
    known = "{character}, {dialogue}, {user_persona}"
    assert str(caught.value).split("; ") == [
        f"{folder}/policy.md: unknown placeholder {{charakter}} in `# system`, which may hold {known}",
        f"{folder}/policy.md: unknown placeholder {{golden}} in `# system`, which may hold {known}",
        f"{folder}/reasoner.md: section `# user` is missing or empty",
        f"{folder}/responder.md: unknown placeholder {{dialogue}} in `# assistant opening`, which may hold none",
        f"{folder}/responder.md: {{core_features}} is missing: the responder would never see any reasoning",
        f"{folder}/contextless.md: text before the first section: begin with `# system`",
        f"{folder}/contextless.md: section `# user` occurs twice",
        f"{folder}/judge.md: {{candidate}} is missing: the judge would see no reply",
    ]


def test_missing_files_and_sections_out_of_place(folder):
    (folder / "reasoner.md").unlink()
    (folder / "contextless.md").write_bytes(b"\xff")
    with (folder / "policy.md").open("a") as file:
        file.write("\n# assistant opening\n> \n")
    with pytest.raises(UserError) as caught:
        Prompts.load(folder)
    mend = f"a prompts folder holds {', '.join(NAMES)}"
    assert str(caught.value).split("; ") == [
        f"{folder}/policy.md: section `# assistant opening` has no place here",
        f"{folder}/reasoner.md: cannot be read (No such file or directory): {mend}",
        f"{folder}/contextless.md: cannot be read (not UTF-8): {mend}",
    ]
