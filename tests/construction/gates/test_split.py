"""What may stand on one side of training and test alone."""

from remid_jax.construction.gates.split import Split
from remid_jax.dialogues.records import Turn

OPENING = "Lady Lovelace, my hives sent me, could your engine count them?"
OTHER = {
    "user_persona": "Priya, who knits.",
    "dialogue": (Turn("user", "Is there an engine that could count all the stitches of a shawl?"),),
    "golden": "There is, my dear, and you are already holding both of its arms in your hands.",
}


def test_each_way_to_cross_costs_the_training_record(changed, faults):
    test = changed(id="test", category="german")
    train = {
        "lineage": OTHER | {"lineage": "test"},
        "pair": OTHER | {"user_persona": test.user_persona.upper()},
        "user": OTHER | {"user_persona": test.user_persona, "agent_character": {"name": "Tesla"}},
        "golden": OTHER | {"golden": f"  {test.golden}"},
        "opening": OTHER | {"dialogue": (Turn("user", OPENING), Turn("agent", "Yes?"), Turn("user", "Well?"))},
        "greeting": OTHER | {"dialogue": test.dialogue},
        "apart": OTHER,
    }
    tested = [test, changed(id="second", category="IDTest", dialogue=(Turn("user", OPENING.lower()),))]
    records = [changed(id=name, category="IDTrain", **fields) for name, fields in train.items()] + tested
    crossing = {
        "lineage": ("lineage", "'test'", "test"),
        "pair": ("user and character", "'MONA, A NURSE IN CAIRO WHO KEEPS BEES ON HER ROOF.'", "test"),
        "golden": ("golden reply", "'It would sort your combs by weight before breakfast, and ...'", "test"),
        "opening": ("opening", "'Lady Lovelace, my hives sent me, could your engine count ...'", "second"),
    }
    assert faults(Split(), records) == {
        name: f"{kind} crosses: {shown}, also of test record {owner!r}" for name, (kind, shown, owner) in crossing.items()
    }


def test_clusters_that_cross_are_named(changed, faults):
    test = changed(id="test", category="IDTest", clusters={"user": "mona", "character": "ada"})
    train = changed(id="train", category="IDTrain", clusters={"user": "priya", "character": "ada"}, **OTHER)
    assert faults(Split(), [train, test]) == {"train": "lineage crosses: 'character ada', also of test record 'test'"}


def test_a_benchmark_without_training_records_has_no_split(changed, manifest, faults):
    assert faults(Split(), [changed(), changed(id="r2")], manifest) == {}
