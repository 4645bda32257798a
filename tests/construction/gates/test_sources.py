"""What compositions were made from, told by lineage and by what they say."""

from remid_jax.construction.gates.composition import TURN_LEVEL, WORD_LEVEL
from remid_jax.construction.gates.sources import sources_by_lineage
from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.dialogues.records import Turn

TEXTS = {
    "far": ("one", "IDTest", "What do you think of the weather in London this spring?"),
    "near": ("one", "IDTest", "Could your engine count bees?"),
    "other": ("two", "IDTest", "Could your engine fear bees?"),
    "german": ("one", "german", "Could your engine fear bees?"),
}


def test_sources_are_the_nearest_of_their_lineage_in_the_reference(changed):
    bases = {
        name: changed(id=name, lineage=lineage, category=category, dialogue=(Turn("user", text),))
        for name, (lineage, category, text) in TEXTS.items()
    }
    asked = (Turn("user", "Could your engine fear bees?"),)
    weather = (Turn("user", "In London this spring, what of the weather?"), Turn("agent", "Wet."), *asked)
    records = [
        changed(id="edited", lineage="one", category=WORD_LEVEL, dialogue=asked),
        changed(id="merged", lineage="one", category=TURN_LEVEL, dialogue=weather),
        *(changed(id=name, lineage="three", category=name) for name in (WORD_LEVEL, TURN_LEVEL)),
    ]
    expected = {"merged": (bases["far"],), "edited": (bases["near"],)}
    assert sources_by_lineage([*bases.values(), *records], RPGBENCH) == expected
    assert sources_by_lineage([*bases.values(), *records], Manifest({"IDTest": RPGBENCH.categories["IDTest"]})) == {}
