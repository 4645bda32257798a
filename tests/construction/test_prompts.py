"""The prompts of the construction are files, which a user may replace; a fault is told with its place."""

import importlib.resources
import shutil

import pytest
from refusal import refusal

import remid_jax.construction.prompts as module
from remid_jax.construction import characters, dialogues, edits
from remid_jax.construction.answers import object_in
from remid_jax.construction.prompts import ConstructionPrompts


@pytest.fixture
def own(tmp_path):
    with importlib.resources.as_file(importlib.resources.files("remid_jax.construction") / "prompts") as shipped:
        return shutil.copytree(shipped, tmp_path / "own")


def test_every_shipped_prompt_is_filled(own):
    prompts = ConstructionPrompts.load()
    assert prompts == ConstructionPrompts.load(own)
    assert {path.name for path in own.iterdir()} == set(module._FILES)
    for name, (allowed, _) in module._FILES.items():
        values = {placeholder: f"<<{placeholder}>>" for placeholder in allowed}
        messages = prompts.messages(name.removesuffix(".md"), **values)
        assert [message["role"] for message in messages] == ["system", "user"]
        for value in values.values():
            assert value in messages[1]["content"], (name, value)


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("propose_real", characters._Proposals), ("propose_fictional", characters._Proposals), ("refine", characters._Profile),
        ("refine_from_passages", characters._Profile), ("classify", characters._Kind), ("openings", dialogues._Openings),
        ("dialogue", dialogues._Rounds), ("merge", dialogues._Rounds), ("edit", edits._Edits),
    ],
)  # fmt: skip
def test_the_form_that_a_prompt_shows_is_the_one_that_is_read(name, form):
    shown = ConstructionPrompts.load().templates[name]["user"].rpartition("Answer with one JSON object")[2]
    assert set(object_in(shown, form).model_dump()) == set(form.model_fields)


def test_shipped_personas_are_read_and_unlike_each_other():
    personas = characters.read_personas(None)
    assert len(set(personas)) == len(personas) == 16


def test_texts_with_braces_stay_as_they_are():
    [_, user] = ConstructionPrompts.load().messages("classify", character="name: {character} {persona}")
    assert user["content"].startswith("name: {character} {persona}\n")


def test_faults_of_all_files_are_told_at_once(own):
    (own / "edit.md").unlink()
    (own / "classify.md").write_text("# user\nWho is {charakter}?\n")
    assert refusal(ConstructionPrompts.load, own) == (
        f"{own}/classify.md: unknown placeholder {{charakter}} in `# user`, which may hold {{character}}; {own}/classify.md: "
        "{character} is missing: the model would not know of whom, or of what, it is asked; "
        f"{own}/edit.md: cannot be read (No such file or directory): a folder of construction prompts holds "
        f"{', '.join(module._FILES)}"
    )


def test_an_edited_prompt_is_another_run(own):
    with (own / "merge.md").open("a") as file:
        file.write("\nBe kind.\n")
    assert ConstructionPrompts.load(own).fingerprint != ConstructionPrompts.load().fingerprint
