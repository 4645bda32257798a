"""Whose language is asked, of what, and where it is not."""

from remid_jax.construction.gates.language import Language
from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.records import Turn

GERMAN = "Meine Bienen haben mich geschickt, könnte Ihre Maschine sie vielleicht alle zählen?"
ENGLISH = "My hives sent me here today, could your engine perhaps count all of them?"


def test_users_and_golden_replies_are_asked_apart(changed, faults):
    records = [
        changed(id="right", category="german", dialogue=(Turn("user", GERMAN),), golden=GERMAN),
        changed(id="user", category="german", dialogue=(Turn("user", ENGLISH),), golden=GERMAN),
        changed(id="golden", category="german", dialogue=(Turn("user", GERMAN),), golden=ENGLISH),
        changed(id="train", category="IDTrain", dialogue=(Turn("user", GERMAN),), golden=ENGLISH),
    ]
    shown = {text: repr(f"{text[:57]}...") for text in (ENGLISH, GERMAN)}
    assert faults(Language(), records) == {
        "user": f"user not in German: English, {shown[ENGLISH]}",
        "golden": f"golden reply not in German: English, {shown[ENGLISH]}",
        "train": f"user not in English: German, {shown[GERMAN]}",
    }


def test_agents_before_the_golden_reply_and_short_texts_may_speak_what_they_like(changed, faults):
    dialogue = (Turn("user", GERMAN), Turn("agent", ENGLISH), Turn("user", GERMAN))
    record = changed(category="german", dialogue=dialogue, golden="Thank you, that is kind.")
    assert faults(Language(), [record]) == {}
    assert list(faults(Language(), [changed(category="german", golden="これはとても長い日本語の文です。")])) == ["r1"]


def test_a_category_without_a_language_is_let_pass(changed, manifest, faults):
    assert faults(Language(), [changed(golden=GERMAN)], manifest) == {}
    klingon = Manifest({"all": Category("all", language="tlh"), "other": Category("other", language="de")})
    assert faults(Language(), [changed(golden=GERMAN)], klingon) == {}


def test_training_records_speak_as_the_references_do():
    assert RPGBENCH.language_of("IDTrain") == "en"
    assert RPGBENCH.language_of("korean") == "ko"
    assert RPGBENCH.language_of("unknown") is None
    two = {"a": Category("a", language="fr"), "b": Category("b", language="de")}
    assert Manifest(two, train="train").language_of("train") is None
    shifted = two | {"b": Category("b", "user", "a", "de")}
    assert Manifest(shifted, train="train").language_of("train") == "fr"
