import gzip
import json

import pytest
from refusal import refusal

from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.manifest_files import read_manifest
from remid_jax.dialogues.reading import read_benchmark, read_training


def chat(identity, category, **changes):
    messages = [{"role": "system", "content": "A miller."}, {"role": "user", "content": "Flour?"}]
    reply = [{"role": "assistant", "content": "Wind."}]
    return {"id": identity, "category": category, "messages": messages + reply} | changes


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


MANIFEST = {
    "categories": {"day": {"language": "en"}, "night": {"shift": "hour", "reference": "day", "language": "en"}},
    "train": "fit",
}
ROWS = [chat(f"{category}{i}", category) for category in ("night", "day", "fit") for i in (1, 2)]


def test_a_file_a_mapping_and_an_object_say_the_same(tmp_path):
    expected = Manifest({"day": Category("day", None, None, "en"), "night": Category("night", "hour", "day", "en")}, "fit")
    (tmp_path / "m.json").write_text(json.dumps(MANIFEST))
    assert read_manifest(tmp_path / "m.json") == read_manifest(MANIFEST) == read_manifest(expected) == expected
    assert read_manifest(expected.to_json()) == expected
    assert read_manifest(RPGBENCH.to_json()) == RPGBENCH


def test_all_faults_of_a_manifest_come_at_once(tmp_path):
    path = tmp_path / "m.json"
    path.write_text(
        json.dumps(
            {
                "categories": {
                    "day": {"langage": "en"},
                    "night": {"shift": 3, "reference": ["day"], "language": None},
                    "noon": "day",
                },
                "trian": "fit",
                "train": 1,
            }
        )
    )
    assert refusal(read_manifest, path).split("; ") == [
        f"{path}: categories.day.langage: unknown key (did you mean 'language'?)",
        f"{path}: categories.night.shift: must be a text, not a number",
        f"{path}: categories.night.reference: must be a text, not a list",
        f"{path}: categories.noon: must be an object, not a text",
        f"{path}: train: must be a text, not a number",
        f"{path}: trian: unknown key (did you mean 'train'?)",
    ]
    path.write_text('{"categories": {"day": {"reference": "dya"}, "night": {"shift": "hour", "language": "english"}}}')
    assert refusal(read_manifest, path).split("; ") == [
        f"{path}: categories.day: has the reference 'dya' but no shift: name what shifted",
        f"{path}: categories.day.reference: 'dya' is no category",
        f"{path}: categories.night: has the shift 'hour' but no reference: name the category it is compared with",
        f"{path}: categories.night.language: 'english' is no BCP 47 tag (did you mean 'en'?)",
    ]
    assert refusal(read_manifest, {}) == "manifest: categories: missing"
    assert refusal(read_manifest, {"categories": {}}) == "manifest: categories: empty: name at least one"
    path.write_text("[]")
    assert refusal(read_manifest, path) == f"{path}: must be an object, not a list"
    path.write_text("{")
    assert refusal(read_manifest, path).startswith(f"{path}: line 1, column 2: broken JSON")


def test_the_manifest_beside_a_file_is_taken_unless_another_is_named(tmp_path):
    path = write(tmp_path / "b.jsonl", *ROWS)
    (tmp_path / "b.manifest.json").write_text(json.dumps(MANIFEST))
    benchmark = read_benchmark(path)
    assert {name: [r.id for r in records] for name, records in benchmark.test.items()} == {
        "day": ["day1", "day2"],
        "night": ["night1", "night2"],
    }
    assert [r.id for r in benchmark.train] == ["fit1", "fit2"]
    assert [r.id for r in read_training(path)] == ["fit1", "fit2"]
    write(tmp_path / "c.jsonl", *ROWS)
    assert read_benchmark(tmp_path / "c.jsonl", manifest=tmp_path / "b.manifest.json") == benchmark
    assert read_benchmark(ROWS, manifest=MANIFEST) == benchmark
    other = {"categories": {"all": {}, "day": {}, "night": {}, "fit": {}}}
    assert list(read_benchmark(path, manifest=other).test) == ["day", "night", "fit"]
    assert list(read_benchmark(tmp_path / "c.jsonl", manifest=other).test) == ["day", "night", "fit"]


def test_unknown_tags_without_a_manifest_print_the_one_to_write(tmp_path):
    rows = [chat(f"{i}{tag}", tag) for i in (1, 2) for tag in ("IDTest", "german", "French", "Train")]
    path = write(tmp_path / "b.jsonl", *rows)
    fill_in = (
        ', where a category that shifted has a "shift" (any name) and its "reference" (the category it is compared with), '
        'and "language" is the BCP 47 tag of its texts (such as "fr") or null'
    )
    printed = (
        '{"categories": {"IDTest": {"shift": null, "reference": null, "language": "en"}, '
        '"german": {"shift": "user", "reference": "IDTest", "language": "de"}, '
        '"French": {"shift": null, "reference": null, "language": null}}, "train": "Train"}'
    )
    assert refusal(read_benchmark, path) == (
        f"{path}: line 3 ('1French'): category: 'French', 'Train' (did you mean 'IDTrain'?) are no categories of RPGBench: "
        f"correct it, or say what the categories are: save as {tmp_path}/b.manifest.json {printed}{fill_in}"
    )
    message = refusal(read_benchmark, rows)
    assert message == (
        "records[2] ('1French'): category: 'French', 'Train' (did you mean 'IDTrain'?) are no categories of RPGBench: "
        f"correct it, or say what the categories are: pass manifest={printed}{fill_in}"
    )
    copied = json.loads(message.partition("manifest=")[2].removesuffix(fill_in))
    copied["categories"]["French"] |= {"shift": "user", "reference": "IDTest", "language": "fr"}
    benchmark = read_benchmark(rows, manifest=copied)
    assert benchmark.manifest.shifts == {"user": ("german", "French")}
    assert [len(records) for records in (benchmark.train, *benchmark.test.values())] == [2, 2, 2, 2]


def test_a_tag_that_the_manifest_does_not_know():
    rows = [*ROWS, chat("x", "nigth"), chat("y", "nigth"), chat("z", "opera")]
    assert refusal(read_benchmark, rows, manifest=MANIFEST).split("; ") == [
        "records[6] ('x'): category: 'nigth' (and of 1 more) is no category of the manifest (did you mean 'night'?)",
        "records[8] ('z'): category: 'opera' is no category of the manifest, whose categories are day, night",
    ]


def test_rows_without_a_category(tmp_path):
    rows = [chat(str(i), None) for i in (1, 2)]
    assert list(read_benchmark(rows).test) == ["all"]
    only = {"categories": {"smalltalk": {"language": "en"}}}
    assert [r.category for r in read_benchmark(rows, manifest=only).test["smalltalk"]] == ["smalltalk", "smalltalk"]
    assert [r.category for r in read_training(rows)] == ["IDTrain", "IDTrain"]
    assert [r.category for r in read_training(rows, manifest=MANIFEST)] == ["fit", "fit"]
    assert (
        refusal(read_training, rows, manifest=only) == 'records: the manifest names no training records: add "train": their tag'
    )
    missing = "category: missing: name one of fit, day, night"
    expected = [f"records[{i}] ('{i + 1}'): {missing}" for i in (0, 1)]
    assert refusal(read_benchmark, rows, manifest=MANIFEST).split("; ") == expected
    assert refusal(read_benchmark, [*ROWS, chat("x", None)], manifest=MANIFEST) == f"records[6] ('x'): {missing}"


def test_references_need_two_records(tmp_path):
    night = [chat(f"night{i}", "night") for i in (1, 2)]
    short = "records: category: 'day' has {} record(s), an estimate needs at least 2"
    assert refusal(read_benchmark, night, manifest=MANIFEST) == short.format(0)
    assert refusal(read_benchmark, [*night, chat("d", "day")], manifest=MANIFEST) == short.format(1)
    day = [chat(f"day{i}", "day") for i in (1, 2)]
    assert list(read_benchmark(day, manifest=MANIFEST).test) == ["day"]


@pytest.fixture
def chain():
    categories = {name: {"shift": "step", "reference": before} for before, name in (("a", "b"), ("b", "c"), ("a", "d"))}
    return {"categories": {"a": {}, **categories}}


def test_chosen_categories_keep_the_references_that_they_need(chain):
    rows = [chat(f"{name}{i}", name) for name in "abcd" for i in (1, 2)]
    assert list(read_benchmark(rows, manifest=chain).test) == ["a", "b", "c", "d"]
    assert list(read_benchmark(rows, manifest=chain, categories=("d",)).test) == ["a", "d"]
    assert list(read_benchmark(rows, manifest=chain, categories=["c"]).test) == ["a", "b", "c"]
    assert list(read_benchmark([*rows, chat("b3", "b")], manifest=chain, categories=("a",)).test) == ["a"]
    alone = [row for row in rows if row["id"] != "d2"]
    assert list(read_benchmark(alone, manifest=chain, categories=("b",)).test) == ["a", "b"]
    assert refusal(read_benchmark, rows[:6], manifest=chain, categories=("d", "e", "long name")).split("; ") == [
        "categories: 'e' is no category of the manifest: the categories are a, b, c, d",
        "categories: 'long name' is no category of the manifest: the categories are a, b, c, d",
        "records: category: 'd' has 0 record(s), an estimate needs at least 2",
    ]
    near = "categories: 'Germn' is no category of the manifest (did you mean 'german'?)"
    assert near in refusal(read_benchmark, "package:rpgbench_compact", categories=("Germn",))
    german = read_benchmark("package:rpgbench_compact", categories=("german",))
    whole = read_benchmark("package:rpgbench_compact")
    assert german.test == {name: whole.test[name] for name in ("IDTest", "german")}
    assert german.train == whole.train


def test_a_packed_file_has_its_manifest_beside_it(tmp_path):
    for name in ("b.jsonl.gz", "c.json.gz"):
        rows = "".join(json.dumps(row) + "\n" for row in ROWS) if "jsonl" in name else json.dumps(ROWS)
        (tmp_path / name).write_bytes(gzip.compress(rows.encode()))
        (tmp_path / f"{name[0]}.manifest.json").write_text(json.dumps(MANIFEST))
        assert read_benchmark(tmp_path / name) == read_benchmark(ROWS, manifest=MANIFEST)
        assert read_benchmark(str(tmp_path / name)).manifest == read_manifest(MANIFEST)
