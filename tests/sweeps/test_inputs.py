"""What a point is known by: the contents of everything that its numbers come from."""

import hashlib
import importlib.resources
import json
import shutil

import pytest

from configs import build_benchmark
from remid_jax.dialogues.readers.card_files import named_cards
from remid_jax.dialogues.reading import read_benchmark, read_training
from remid_jax.errors import UserError
from remid_jax.learning.inputs import content_of
from remid_jax.sweeps import inputs
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.tasks import TASKS


@pytest.fixture
def rows(tmp_path):
    """Two rows of which one names a card, in a folder beside them."""
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "mill.json").write_text(json.dumps({"name": "Mo", "description": "A miller."}))
    lines = [
        {"id": "1", "agent_character": "cards/mill.json", "tag": "fit", "said": "x" * 5000 + ".json"},
        {"id": "2", "agent_character": {"name": "Al"}, "tag": "fit", "said": ["none.json", {"deep": "cards/mill.json"}]},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_folder_of_texts_is_known_by_its_texts_alone(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "one.md").write_text("Ada was a countess.")
    before = inputs.folder(str(tmp_path), None)
    (tmp_path / ".gitkeep").write_text("")
    assert inputs.folder(str(tmp_path), None) == before
    (tmp_path / "two.txt").write_text("Basho walked.")
    assert inputs.folder(str(tmp_path), None) != before


def test_cards_that_rows_name_are_found_once_wherever_they_stand(rows):
    assert named_cards(rows) == [rows.parent / "cards" / "mill.json"]


def test_a_benchmark_is_known_by_its_file_its_manifest_and_its_cards(rows):
    card, manifest = rows.parent / "cards" / "mill.json", rows.parent / "rows.manifest.json"
    manifest.write_text("{}")
    expected = hashlib.sha256(rows.read_bytes() + manifest.read_bytes() + card.read_bytes()).hexdigest()
    assert inputs.benchmark(str(rows), None) == expected
    card.write_text(json.dumps({"name": "Mo", "description": "Another miller."}))
    assert inputs.benchmark(str(rows), None) != expected
    rows.write_text(rows.read_text().replace("cards/mill.json", "nowhere.json"))
    expected = hashlib.sha256(rows.read_bytes() + manifest.read_bytes()).hexdigest()  # as before without cards
    assert inputs.benchmark(str(rows), None) == expected


def test_records_hold_what_their_cards_say_so_a_run_is_known_by_it(tmp_path):
    card, path = tmp_path / "mill.json", tmp_path / "rows.jsonl"
    row = {"messages": [{"role": "user", "content": "Flour?"}, {"role": "assistant", "content": "Wind."}]}
    path.write_text("".join(json.dumps(row | {"id": name, "agent_character": "mill.json"}) + "\n" for name in "ab"))
    prints = []
    for words in ("A miller.", "Another miller.", "A miller."):
        card.write_text(json.dumps({"name": "Mo", "description": words}))
        prints.append((read_benchmark(path).fingerprint, content_of(read_training(path))))  # of evaluate and corl, of train
    assert prints[0] == prints[2]
    assert prints[0][0] != prints[1][0]
    assert prints[0][1] != prints[1][1]


def test_training_records_are_those_of_the_manifest_that_is_named(tmp_path):
    row = {
        "user_persona": "Ann.", "agent_character": {"name": "Al"}, "dialogue_context": [{"user_query": "Hi."}],
        "agent_golden_response": "Good day.",
    }  # fmt: skip
    tags = ("fit", "fit", "day", "day")
    lines = [json.dumps(row | {"sample_ID": f"{k}", "subset_tag": tag}) + "\n" for k, tag in enumerate(tags)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    manifest = tmp_path / "other.json"
    manifest.write_text(json.dumps({"categories": {"day": {}}, "train": "fit"}))
    found = inputs.training_records(str(tmp_path / "rows.jsonl"), str(manifest))
    (tmp_path / "rows.jsonl").write_text("".join([*lines[:2], *(line.replace("Hi.", "Ho.") for line in lines[2:])]))
    assert inputs.training_records(str(tmp_path / "rows.jsonl"), str(manifest)) == found
    (tmp_path / "rows.jsonl").write_text("".join([lines[0].replace("Hi.", "Ho."), *lines[1:]]))
    assert inputs.training_records(str(tmp_path / "rows.jsonl"), str(manifest)) != found
    with pytest.raises(UserError, match="subset_tag: 'fit', 'day' are no categories of RPGBench"):
        inputs.training_records(str(tmp_path / "rows.jsonl"), None)


def test_other_seed_personas_make_another_build(tmp_path, monkeypatch):
    def key(**changes):
        point = Point("one", "build_benchmark", build_benchmark.get_config().to_dict() | changes)
        return inputs.identities([point], {"build_benchmark": TASKS["build_benchmark"].inputs}, {})["one"].key

    shipped = importlib.resources.files("remid_jax.construction")
    ours, before = (shipped / "personas.jsonl").read_text(), key()
    same = tmp_path / "same.jsonl"
    same.write_text(ours)
    assert key(personas=str(same)) == before
    with importlib.resources.as_file(shipped) as folder:
        shutil.copytree(folder, tmp_path / "construction", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    find = importlib.resources.files
    monkeypatch.setattr(
        importlib.resources, "files", lambda name: tmp_path / "construction" if name == "remid_jax.construction" else find(name)
    )
    assert key() == before
    (tmp_path / "construction" / "personas.jsonl").write_text("".join(reversed(ours.splitlines(keepends=True))))
    assert key() != before
    assert key(personas=str(same)) == before


@pytest.mark.parametrize("task", ["evaluate", "train", "corl"])
def test_a_manifest_of_another_content_makes_another_point(task, tmp_path):
    manifest = tmp_path / "manifest.json"
    point = Point("one", task, {"benchmark": {"manifest": str(manifest)}})
    keys = []
    for content in ("{}", "{ }", "{}"):
        manifest.write_text(content)
        keys.append(inputs.identities([point], {task: TASKS[task].inputs}, {})["one"].key)
    assert keys[0] == keys[2] != keys[1]


def test_dials_are_known_by_what_they_say_and_by_the_edits_that_they_read(tmp_path):
    edits = tmp_path / "edits.jsonl"
    edits.write_text("1")
    known = inputs.dials((f"edited({edits})", "turns(2)"), None)
    assert inputs.dials((f"edited( {edits} )", "turns( 2 )"), None) == known
    assert inputs.dials((f"edited({edits})", "turns(3)"), None) != known
    edits.write_text("2")
    assert inputs.dials((f"edited({edits})", "turns(2)"), None) != known
