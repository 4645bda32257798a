"""A judge's prompts: what stands where, and each fault of a folder of them."""

import shutil
from pathlib import Path

import pytest

import remid_jax.dialogues
from remid_jax.dialogues.judge_prompts import FILES, WORDINGS, ContextTexts, JudgePrompts
from remid_jax.errors import UserError

TEXTS = ContextTexts("Mona, a {reply} nurse.", "name: Ada", "User: Tea?")


@pytest.fixture
def folder(tmp_path):
    shutil.copytree(Path(remid_jax.dialogues.__file__).parent / "judge_prompts", tmp_path / "p")
    return tmp_path / "p"


def test_questions_share_all_but_their_end():
    prompts = JudgePrompts.load()
    assert list(prompts.criteria) == ["role consistency", "user fit", "continuity"]
    asked = {
        (criterion, wording): prompts.rating(TEXTS, "With {first} milk.", criterion, wording)
        for criterion in prompts.criteria
        for wording in WORDINGS
    }
    assert len({messages[1]["content"] for messages, _ in asked.values()}) == 6
    for (criterion, _), (messages, opening) in asked.items():
        assert [message["role"] for message in messages] == ["system", "user"]
        before, _, question = messages[1]["content"].partition("[Reply]\nWith {first} milk.\n")
        assert before == "[User]\nMona, a {reply} nurse.\n\n[Agent]\nname: Ada\n\n[Conversation]\nUser: Tea?\n\n"
        assert prompts.criteria[criterion] in question
        assert opening in ("Rating:\n", "Number:\n")
    messages, opening = prompts.pairwise(TEXTS, "One.", "Two.", "continuity")
    assert "[Reply A]\nOne.\n\n[Reply B]\nTwo.\n\nWhich" in messages[1]["content"]
    assert opening == "Better reply:\n"


def test_a_folder_of_ones_own_is_another(folder):
    assert JudgePrompts.load(folder) == JudgePrompts.load()
    (folder / "criteria.json").write_text('{"wit": "is funny"}')
    own = JudgePrompts.load(folder)
    assert own.criteria == {"wit": "is funny"}
    assert own.fingerprint != JudgePrompts.load().fingerprint


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("criteria.json", "[]",
         'criteria.json: must be an object of texts, such as {"continuity": "goes on from the conversation"}'),
        ("criteria.json", "{", "criteria.json: line 1, column 2: broken JSON"),
        ("rating.md", "# user\n{criterion}\n# assistant opening\nR:",
         "rating.md: {reply} is missing: the judge would see no reply"),
        ("pairwise.md", "# user\n{first} {second} {criterion} {reply}\n# assistant opening\nR:",
         "pairwise.md: unknown placeholder {reply} in `# user`, which may hold {character}, {criterion}, {dialogue}, {first}"),
        ("rating_reworded.md", None, f"rating_reworded.md: cannot be read (No such file or directory): a folder of a judge's "
         f"prompts holds {', '.join(FILES)}"),
    ],
)  # fmt: skip
def test_faults_are_named(folder, name, text, fault):
    (folder / name).unlink() if text is None else (folder / name).write_text(text)
    with pytest.raises(UserError) as error:
        JudgePrompts.load(folder)
    assert str(error.value).startswith(f"{folder}/{fault}")
