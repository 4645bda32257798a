import copy
import dataclasses
import hashlib
import json
import pickle

import pytest

from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest, is_tag, manifest_faults
from remid_jax.dialogues.records import Benchmark, Record, Turn
from remid_jax.errors import UserError

RECORD = Record("a", "Ana, 30", {"name": "Bo"}, (Turn("user", "Hi?"),), "Ho.", "paris")
TWO = Manifest(
    {
        "paris": Category("paris", language="fr"),
        "cairo": Category("cairo", "new users", "paris", "ar-EG"),
        "noir": Category("noir", "new genre", "paris"),
        "space": Category("space", "new genre", "noir", "fr"),
    }
)


def test_rpgbench():
    assert list(RPGBENCH.categories) == [
        "IDTest", "german", "spanish", "chinese", "japanese", "korean", "Literature", "Film & Television", "Theater", "Gaming",
        "TurnLevelComposition", "WordLevelComposition",
    ]  # fmt: skip
    assert {shift: len(names) for shift, names in RPGBENCH.shifts.items()} == {"user": 5, "character": 4, "dialogue": 2}
    assert RPGBENCH.references == ("IDTest",)
    assert RPGBENCH.languages == ("en", "de", "es", "zh", "ja", "ko")
    assert RPGBENCH.train == "IDTrain"
    assert RPGBENCH.categories["IDTest"] == Category("IDTest", None, None, "en")
    assert RPGBENCH.categories["korean"] == Category("korean", "user", "IDTest", "ko")
    assert RPGBENCH.categories["Gaming"] == Category("Gaming", "character", "IDTest", "en")


def test_shifts_references_and_languages_of_any_manifest():
    assert TWO.shifts == {"new users": ("cairo",), "new genre": ("noir", "space")}
    assert TWO.references == ("paris", "noir")
    assert TWO.languages == ("fr", "ar-EG")
    assert TWO.to_json() == {
        "categories": {
            "paris": {"shift": None, "reference": None, "language": "fr"},
            "cairo": {"shift": "new users", "reference": "paris", "language": "ar-EG"},
            "noir": {"shift": "new genre", "reference": "paris", "language": None},
            "space": {"shift": "new genre", "reference": "noir", "language": "fr"},
        }
    }
    assert dataclasses.replace(TWO, train="fit").to_json()["train"] == "fit"


def test_a_manifest_cannot_be_changed_but_copied():
    with pytest.raises(TypeError):
        TWO.categories["new"] = Category("new")
    assert pickle.loads(pickle.dumps(TWO)) == copy.deepcopy(TWO) == TWO


def test_the_fingerprint_covers_a_manifest_that_is_not_rpgbenchs():
    line = json.dumps(RECORD.to_json()) + "\n"
    rpgbench = Manifest(dict(RPGBENCH.categories), "IDTrain")
    assert Benchmark([], {"paris": [RECORD]}, rpgbench).fingerprint == hashlib.sha256(line.encode()).hexdigest()
    head = json.dumps(TWO.to_json()) + "\n"
    assert Benchmark([], {"paris": [RECORD]}, TWO).fingerprint == hashlib.sha256((head + line).encode()).hexdigest()


def test_every_contradiction_is_named():
    categories = {
        "base": Category("base", language="german"),
        "a": Category("a", "user"),
        "b": Category("b", None, "base", "jp"),
        "c": Category("c", "user", "Basse", "zh_hans"),
        "d": Category("d", "user", "d", "klingonese"),
        "e": Category("f", " ", "g"),
        "g": Category("g", "user", "h"),
        "h": Category("h", "user", "g"),
        " ": Category(" "),
    }
    faults = [
        "categories.base.language: 'german' is no BCP 47 tag (did you mean 'de'?)",
        "categories.a: has the shift 'user' but no reference: name the category it is compared with",
        "categories.b: has the reference 'base' but no shift: name what shifted",
        'categories.b.language: \'jp\' is no BCP 47 tag, such as "de", "ar" or "zh-Hans"',
        "categories.c.reference: 'Basse' is no category (did you mean 'base'?)",
        "categories.c.language: 'zh_hans' is no BCP 47 tag (did you mean 'zh-hans'?)",
        "categories.d.reference: is the category itself",
        'categories.d.language: \'klingonese\' is no BCP 47 tag, such as "de", "ar" or "zh-Hans"',
        "categories.e: the category calls itself 'f'",
        "categories.e.shift: blank: name what shifted, or null",
        "categories. : a name is blank",
        "categories: references go round in a circle: g -> h -> g",
    ]
    assert manifest_faults(categories) == faults
    with pytest.raises(UserError) as caught:
        Manifest(categories)
    assert str(caught.value) == "; ".join(" ".join(f"manifest: {fault}".split()) for fault in faults)
    assert manifest_faults({}) == ["categories: empty: name at least one"]
    base = {"base": Category("base")}
    assert manifest_faults(base, "base") == ["train: 'base' is a category, too: give it a name of its own"]
    assert manifest_faults(base, " ") == ["train: ' ' is blank: give it a name of its own"]


@pytest.mark.parametrize(
    ("tag", "right"),
    [
        ("de", True), ("zh-Hans", True), ("zh-Hans-CN", True), ("pt-BR", True), ("es-419", True), ("sl-rozaj-biske", True),
        ("de-1996", True), ("haw", True), ("x-elvish", True), ("en-x-pirate", True), ("de-u-co-phonebk", True),
        ("DE", True), ("", False),
        ("d", False), ("jp", False), ("german", False), ("zh_Hans", False), ("de-", False), ("zh-Hans-Hant", False),
        ("de-toolongsubtag", False), ("e1", False),
    ],
)  # fmt: skip
def test_bcp_47_tags(tag, right):
    assert is_tag(tag) is right
