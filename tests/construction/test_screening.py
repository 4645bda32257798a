"""Records through gates in order: who looks at whom, who is kept, what is told."""

from remid_jax.construction.screening import Reject, screen
from remid_jax.dialogues.manifest import Category, Manifest
from remid_jax.dialogues.records import Record, Turn

MANIFEST = Manifest({"all": Category("all")})
RECORDS = [Record(str(n), "Mona.", {"name": "Ada"}, (Turn("user", "Bees?"),), "Yes.", "all") for n in range(10)]


class Every:
    """Rejects every `step`th of the records it is shown, from the first, and remembers which it saw."""

    def __init__(self, name, step):
        self.name, self._step = name, step

    def faults(self, records, manifest, report):
        self.saw = [record.id for record in records]
        report(len(records), len(records))
        # Not in order: a gate may look for its faults as it likes.
        return {n: f"{self.name}: number {n}" for n in reversed(range(0, len(records), self._step))}


def test_what_one_gate_rejects_the_next_does_not_see():
    gates, progress = [Every("fives", 5), Every("threes", 3)], []
    screening = screen(RECORDS, MANIFEST, gates, lambda done, total: progress.append((done, total)))
    assert gates[0].saw == [str(n) for n in range(10)]
    assert gates[1].saw == ["1", "2", "3", "4", "6", "7", "8", "9"]
    assert [record.id for record in screening.kept] == ["2", "3", "6", "7", "9"]
    assert [(reject.gate, reject.record.id, reject.why) for reject in screening.rejects] == [
        ("fives", "0", "fives: number 0"),
        ("fives", "5", "fives: number 5"),
        ("threes", "1", "threes: number 0"),
        ("threes", "4", "threes: number 3"),
        ("threes", "8", "threes: number 6"),
    ]
    assert screening.counts == {"fives": {"looked_at": 10, "rejected": 2}, "threes": {"looked_at": 8, "rejected": 3}}
    assert progress == [(10, 20), (18, 18)]


def test_without_gates_all_are_kept():
    screening = screen(RECORDS, MANIFEST, [], lambda done, total: None)
    assert (screening.kept, screening.rejects, screening.counts) == (RECORDS, [], {})


def test_a_reject_tells_its_kind_and_its_line():
    reject = Reject(RECORDS[0], "leaks", "golden reply stands in user_persona: 'one: two'")
    assert reject.reason == "golden reply stands in user_persona"
    assert reject.to_json() == {"gate": "leaks", "why": reject.why, "record": RECORDS[0].to_json()}
