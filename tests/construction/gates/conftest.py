"""Records that tests of the gates change, and how one gate is asked about a few records."""

import dataclasses

import pytest

from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.records import Record, Turn

PLAIN = Manifest({"all": Category("all")})

BASE = Record(
    id="r1",
    user_persona="Mona, a nurse in Cairo who keeps bees on her roof.",
    agent_character={"name": "Ada Lovelace", "manner": "exact and courteous"},
    dialogue=(
        Turn("user", "Good day, Lady Lovelace."),
        Turn("agent", "Good day, what brings you here?"),
        Turn("user", "My hives sent me, could your engine count them?"),
    ),
    golden="It would sort your combs by weight before breakfast, and ask for honey as its fee.",
    category="all",
)


@pytest.fixture
def manifest():
    """One category that says nothing of language, shift or rounds."""
    return PLAIN


@pytest.fixture
def changed():
    """changed(golden="...", ...): the same record with other fields."""

    def changed(**fields) -> Record:
        return dataclasses.replace(BASE, **{"lineage": fields.get("id", "r1")} | fields)

    return changed


@pytest.fixture
def faults():
    """faults(gate, records, manifest): {id of a record: why it is rejected}."""

    def faults(gate, records, manifest=RPGBENCH) -> dict[str, str]:
        progress: list[tuple[int, int]] = []
        found = gate.faults(records, manifest, lambda done, total: progress.append((done, total)))
        assert not progress or progress[-1][0] == progress[-1][1]
        return {records[index].id: why for index, why in found.items()}

    return faults
