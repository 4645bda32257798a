"""What of its sources must stand in a turn-level record, and in which order."""

import dataclasses
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.construction.gates.composition import TURN_LEVEL
from remid_jax.construction.gates.threads import Threads, places_of
from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record, Turn


def text(topic, number, words="abcde"):
    return " ".join(f"{topic}{number}{letter}" for letter in words)


def turns(topic, rounds, words="abcde"):
    """Two turns a round, none with a word of another."""
    return [Turn(who, text(topic, f"{who}{n}", words)) for n in rounds for who in ("user", "agent")]


def record_of(name, said, category="IDTest"):
    *dialogue, golden = said
    return Record(name, "Mona.", {"name": "Ada"}, tuple(dialogue), golden.text, category)


BEES, TIDES = (record_of(topic, turns(topic, range(4))) for topic in ("bees", "tides"))
END = (Turn("user", "And both at once?"), Turn("agent", "The hive floats."))


def merged(said):
    """The turns, one round of neither source, and its golden reply."""
    return record_of("merged", [*said, *END], TURN_LEVEL)


def interwoven(bees=range(4), tides=range(4)):
    both = itertools.zip_longest(bees, tides)
    return merged(
        [turn for a, b in both for topic, n in (("bees", a), ("tides", b)) if n is not None for turn in turns(topic, [n])]
    )


def fault(record, *sources, manifest=RPGBENCH):
    return Threads({"merged": sources}).faults([record], manifest, lambda done, total: None).get(0)


@given(st.permutations([*"bbbb", *"tttt"]))
def test_turns_are_found_where_they_were_put(order):
    rounds = {"b": iter(turns("bees", range(4))), "t": iter(turns("tides", range(4)))}
    record = merged([next(rounds[of]) for of in order for _ in range(2)])
    for source, letter in ((BEES, "b"), (TIDES, "t")):
        assert places_of(source, record) == [2 * n + k for n, of in enumerate(order) if of == letter for k in range(2)]
    blocks = "".join(order) in ("bbbbtttt", "ttttbbbb")
    assert (fault(record, BEES, TIDES) is None) == (not blocks)
    assert fault(record, BEES) is None


@pytest.mark.parametrize("order", itertools.permutations(range(4)))
def test_half_of_the_turns_must_stand_in_their_order(order):
    places = [2 * order.index(n) * 2 + k for n in range(4) for k in range(2)]  # each round of bees has one of tides behind it
    kept = max(
        len(chosen) for size in range(9) for chosen in itertools.combinations(places, size) if list(chosen) == sorted(chosen)
    )
    why = fault(interwoven(bees=order), BEES, TIDES)
    if kept < 4:
        assert why == f"thread out of order: {kept} of 8 turns of 'bees' are in their order, at least half"
    else:
        assert why is None


@pytest.mark.parametrize(("rounds", "standing"), [(0, 0), (1, 2), (2, 4), (4, 8)])
def test_three_turns_of_each_source_must_stand(rounds, standing):
    for sources in ((BEES, TIDES), (TIDES,)):
        why = fault(interwoven(tides=range(rounds)), *sources)
        lacking = f"thread is lacking: {standing} of 8 turns of 'tides' stand in the dialogue, at least 3"
        assert why == (lacking if standing < 3 else None)


@pytest.mark.parametrize(("words", "stands"), [("abcde", True), ("xcayez", True), ("xcayz", False)])
def test_a_turn_stands_by_three_of_its_words_and_its_speaker(words, stands):
    said = [turn for n in range(4) for turn in (*turns("bees", [n]), *turns("tides", [n], words))]
    assert len(places_of(TIDES, merged(said))) == (8 if stands else 0)
    other = {"user": "agent", "agent": "user"}
    crossed = [Turn(other[turn.speaker], turn.text) for turn in said]
    assert places_of(TIDES, record_of("merged", [*crossed, *END], TURN_LEVEL)) == []


def test_short_words_are_nobodys_own():
    source = record_of("short", [Turn(who, "how do you do it all day") for _ in range(4) for who in ("user", "agent")])
    assert places_of(source, source) == []


def test_one_after_the_other_is_no_merge():
    behind = merged([*turns("tides", range(4)), *turns("bees", range(4))])
    assert fault(behind, BEES, TIDES) == "one thread after the other: all turns of 'tides' stand before those of 'bees'"


def test_the_golden_reply_is_that_of_neither_source():
    bees, tides = (
        dataclasses.replace(source, golden=golden)
        for source, golden in ((BEES, "They dance, madam, and I count."), (TIDES, "Ask the moon, who never was late for salt."))
    )
    taken = dataclasses.replace(interwoven(), golden=tides.golden.upper())
    assert fault(taken, bees, tides) == "golden reply of one thread: 100% alike that of 'tides', must be below 70%"
    assert fault(dataclasses.replace(taken, golden="The hive floats."), bees, tides) is None


def test_who_is_not_asked(faults):
    record = merged(turns("bees", range(2)))
    assert fault(record, BEES, TIDES).startswith("thread is lacking")
    assert fault(record) is None
    assert fault(dataclasses.replace(record, category="IDTest"), BEES, TIDES) is None
    own = RPGBENCH.categories
    french = Manifest({"IDTest": own["IDTest"], TURN_LEVEL: dataclasses.replace(own[TURN_LEVEL], language="fr")})
    assert fault(record, BEES, TIDES, manifest=french) is None
    assert faults(Threads({"merged": (BEES, TIDES)}), [record]).keys() == {"merged"}


def test_how_much_of_others_stands_in_the_embedded_benchmark():
    """The figures of docs/gates.md: of its own source, of those of others, of talks of the same user with other characters."""
    test = read_benchmark("package:rpgbench_compact").test
    own, other = [], []
    for record in test[TURN_LEVEL]:
        for name in ("IDTest", *RPGBENCH.shifts["character"]):
            for dialogue in test[name]:
                if name == "IDTest" or dialogue.lineage == record.lineage:
                    is_own = name == "IDTest" and dialogue.lineage == record.lineage
                    (own if is_own else other).append(places_of(dialogue, record))
    assert (len(own), len(other)) == (16, 304)
    assert {len(places) for places in own} == {3, 4, 5, 6}
    assert max(len(places) for places in other) == 2
    series = [
        max(k for k in range(7) if any(list(of) == sorted(of) for of in itertools.combinations(places, k))) / len(places)
        for places in own
    ]
    assert (min(series), max(series)) == (0.6, 1.0)
