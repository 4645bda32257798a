"""A bad benchmark, made of the embedded one with one planted fault a gate: each gate finds its own and no other; and none finds
anything in the embedded benchmark itself."""

import dataclasses
import types

import numpy as np
import pytest
from small_vocabulary import small_tokenizer

from remid_jax.construction.gates import default_gates
from remid_jax.construction.gates.sources import sources_by_lineage
from remid_jax.construction.screening import screen
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Turn
from remid_jax.scoring.texts import responder_ids

PLANTED = {
    "schema": "gaming-1",
    "language": "german-2",
    "refusals": "theater-3",
    "leaks": "film_television-4",
    "split": "id-train-5",
    "composition": "word_level-6",
    "threads": "turn_level-1",
    "duplicates": "literature-7",
    "likelihood": "id-test-8",
}
WHY = {
    "schema": "placeholder: dialogue_context[0] holds [Your Name]",
    "language": "golden reply not in German: English, 'Take one loaf to the desk and say that there was time for...'",
    "refusals": "refusal: agent_golden_response holds 'As an AI language model'",
    "leaks": "golden reply stands in user_persona: 'one two three four five six seven eight nine'",
    "split": "lineage crosses: 'id-test-5', also of test record 'id-test-5'",
    "composition": "edited too much: 17 words put in and left out against 'id-test-6', at most 16",
    "threads": "thread is lacking: 1 of 8 turns of 'id-test-1' stand in the dialogue, at least 3",
    "duplicates": "golden reply nearly twice: 100% alike that of 'id-test-1', ",
    "likelihood": "no likelier in its own context: -0.200 nats a token against 7 others",
}


def everything(benchmark):
    return [*benchmark.train, *(record for own in benchmark.test.values() for record in own)]


@pytest.fixture(scope="module")
def bad():
    """The first eight lineages, a record of each gate made bad."""
    records = {record.id: record for record in everything(read_benchmark("package:rpgbench_compact/eight"))}

    def plant(gate, **fields):
        records[PLANTED[gate]] = dataclasses.replace(records[PLANTED[gate]], **fields)

    opening, *rest = records["gaming-1"].dialogue
    plant("schema", dialogue=(Turn("user", f"I am [Your Name]. {opening.text}"), *rest))
    plant("language", golden="Take one loaf to the desk and say that there was time for baking it, but none for our break.")
    plant("refusals", golden="As an AI language model, I have never set foot on a stage, nor felt what you describe.")
    nine = "one two three four five six seven eight nine"
    persona = f"{records['film_television-4'].user_persona} Counts {nine}."
    plant("leaks", user_persona=persona, golden=f"Once more, then, as you do at night: {nine}, and out goes the lamp.")
    plant("split", lineage="id-test-5")
    opening, *rest = records["word_level-6"].dialogue
    added = "apple bridge candle dragon ember forest garden harbour island jungle kettle lantern meadow needle orchard"
    plant("composition", dialogue=(Turn("user", f"{opening.text} {added}"), *rest))
    mother = "She wants all that wool in the attic until June"
    of_lace = {0: f"Lady Lovelace, it's Mum. {mother}.", 1: "Did she say why?", 2: "My yarn ate the spring, says she.",
               6: "She has read in a magazine that hobbies are thieves.", 7: "A thief leaves less behind."}  # fmt: skip
    said = records["turn_level-1"].dialogue
    plant("threads", dialogue=tuple(turn._replace(text=of_lace.get(n, turn.text)) for n, turn in enumerate(said)))
    plant("duplicates", golden=records["id-test-1"].golden.replace("shoulders", "shoulder"))
    return list(records.values())


class CannedEngine:
    """Gives a reply -1 nats a token in its own context and -2 in others; in the planted record's own context -2.2."""

    def __init__(self, planted, prompts):
        self.model = types.SimpleNamespace(tokenizer=small_tokenizer()[0])
        self._planted = responder_ids(self.model.tokenizer, prompts, planted, None)

    def score(self, requests, report):
        """The first reply that is asked in a context is its own."""
        report(1, 2)
        return [
            [np.full(len(reply.ids), own if place == 0 else -2.0) for place, reply in enumerate(request.continuations)]
            for request in requests
            for own in [-2.2 if request.prefix == self._planted else -1.0]
        ]


@pytest.fixture(scope="module")
def gates(bad):
    prompts = Prompts.load()
    planted = next(record for record in bad if record.id == PLANTED["likelihood"])
    return default_gates(sources_by_lineage(bad, RPGBENCH), CannedEngine(planted, prompts), prompts)


def silent(done, total):
    """Reports nothing."""


@pytest.fixture(scope="module")
def found(bad, gates):
    """What each gate alone says of the bad benchmark."""
    return {gate.name: {bad[n].id: why for n, why in gate.faults(bad, RPGBENCH, silent).items()} for gate in gates}


def test_gates_are_asked_in_this_order(gates):
    assert [gate.name for gate in gates] == list(PLANTED)


@pytest.mark.parametrize("gate", PLANTED)
def test_each_gate_finds_its_own_fault_and_no_other(found, gate):
    assert list(found[gate]) == [PLANTED[gate]]
    assert found[gate][PLANTED[gate]].startswith(WHY[gate])


def test_a_screening_keeps_the_rest_and_says_who_looked_at_what(bad, gates):
    """Of the bad records, and IDTest's, which they are compared with."""
    records = [record for record in bad if record.category == "IDTest" or record.id in PLANTED.values()]
    screening = screen(records, RPGBENCH, gates, silent)
    assert {reject.gate: reject.record.id for reject in screening.rejects} == PLANTED
    assert screening.kept == [record for record in records if record.id not in PLANTED.values()]
    assert len(records) == 16
    assert screening.counts == {gate: {"looked_at": 16 - before, "rejected": 1} for before, gate in enumerate(PLANTED)}


def test_nothing_in_the_embedded_benchmark_is_rejected():
    """Its halves, /eight and /more, are of lineages of their own: what is looked for across records is looked for in each."""
    records = everything(read_benchmark("package:rpgbench_compact"))
    sources = sources_by_lineage(records, RPGBENCH)
    assert len(sources) == 32
    screening = screen(records, RPGBENCH, default_gates(sources), silent)
    assert screening.rejects == []
    assert list(screening.counts) == [name for name in PLANTED if name != "likelihood"]
    assert all(count == {"looked_at": 256, "rejected": 0} for count in screening.counts.values())
