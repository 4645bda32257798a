"""Near copies: what counts as one, who is allowed one, and how many of them MinHash finds."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remid_jax.construction.gates.duplicates import ALIKE, Duplicates, alike_texts
from remid_jax.construction.gates.minhash import candidate_pairs
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn

HIVES = (
    "bees", "honey", "comb", "swarm", "queen", "drone", "nectar", "pollen", "clover",
    "meadow", "summer", "hive", "garden", "smoke", "ladder", "sting",
)  # fmt: skip
SHIPS = (
    "anchor", "rudder", "mast", "captain", "harbour", "storm", "compass", "voyage", "sailor",
    "deck", "cargo", "island", "pirate", "lantern", "fog", "gull",
)  # fmt: skip


def silent(done, total):
    """Reports nothing."""


def sentence(words):
    return " ".join(words) + "."


def record(name, golden, number):
    """A record that has nothing but its golden reply in common with another."""
    spoken = (SHIPS, HIVES)[number % 2]
    return Record(name, sentence(spoken[number:]), {"name": "Ada"}, (Turn("user", sentence(spoken[::-1])),), golden, "IDTest")


@settings(max_examples=60, deadline=None)
@given(data=st.data(), words=st.permutations(HIVES), all_pairs=st.sampled_from([0, 10]))
def test_any_edit_of_a_few_characters_is_caught(data, words, all_pairs):
    text = sentence(words)
    copy = list(text)
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(copy) - 1))
        copy[place] = data.draw(st.sampled_from(["", "x", copy[place].upper(), f"{copy[place]}, "]))
    records = [record("first", text, 0), record("second", "".join(copy), 1)]
    [(index, why)] = Duplicates(all_pairs).faults(records, RPGBENCH, silent).items()
    assert index == 1
    assert why.startswith("golden reply nearly twice: ")
    assert "alike that of 'first', '" in why


@settings(max_examples=60, deadline=None)
@given(one=st.permutations(HIVES), other=st.permutations(SHIPS), all_pairs=st.sampled_from([0, 10]))
def test_unrelated_texts_are_not(one, other, all_pairs):
    records = [record("first", sentence(one), 0), record("second", sentence(other), 1)]
    assert Duplicates(all_pairs).faults(records, RPGBENCH, silent) == {}


def test_short_replies_are_copies_only_if_they_are_equal(changed, manifest, faults):
    texts = {"a": "Thank you, Mona!", "b": "Thank you, Monas!", "c": "THANK  you, Mona!"}
    records = [
        changed(id=name, golden=text, user_persona=sentence(words), dialogue=(Turn("user", sentence(words[::-1])),))
        for (name, text), words in zip(texts.items(), (HIVES, SHIPS, [*SHIPS[8:], *HIVES[8:]]), strict=True)
    ]
    assert faults(Duplicates(), records, manifest) == {
        "c": "golden reply nearly twice: 100% alike that of 'a', 'THANK you, Mona!'"
    }


def kept_apart(changed, **others):
    """A record, and one that differs in its golden reply and in `others`."""
    return [changed(category="IDTest"), changed(**{"id": "r2", "category": "IDTest", "golden": sentence(SHIPS)} | others)]


DIALOGUE = (Turn("user", sentence(HIVES)), Turn("agent", sentence(SHIPS)), Turn("user", sentence(HIVES[::-1])))


@pytest.mark.parametrize(
    ("others", "why"),
    [
        ({"dialogue": DIALOGUE}, "user persona nearly twice: 100% alike that of 'r1', "),
        ({"user_persona": sentence(SHIPS)}, "dialogue nearly twice: 100% alike that of 'r1', "),
        ({"lineage": "r1", "dialogue": DIALOGUE}, None),  # one user, two dialogues
        ({"lineage": "r1"}, "dialogue nearly twice: 100% alike that of 'r1', "),
        ({"lineage": "r1", "category": "WordLevelComposition"}, None),  # edits its base
    ],
)
def test_a_lineage_may_share_its_user_and_edit_its_dialogue(others, why, changed, faults):
    found = faults(Duplicates(), kept_apart(changed, **others))
    assert list(found) == ([] if why is None else ["r2"])
    assert why is None or found["r2"].startswith(why)


def test_dialogues_that_go_on_are_no_copies_of_their_beginnings(changed, faults):
    long = (*DIALOGUE, Turn("agent", "Yes?"), Turn("user", "No."))
    records = [
        changed(id=f"r-{len(turns)}", lineage="r", category="IDTest", dialogue=turns, golden=golden)
        for turns, golden in ((DIALOGUE, sentence(HIVES)), (long, sentence(SHIPS)))
    ]
    assert faults(Duplicates(), records) == {}
    assert faults(
        Duplicates(), [records[0], changed(id="far", category="IDTest", dialogue=long, user_persona="", golden="")]
    ) == {"far": f"dialogue nearly twice: 99% alike that of 'r-3', {sentence(HIVES)[:57] + '...'!r}"}


def percent(one, other):
    """Twice the longest common subsequence, of both lengths."""
    before = [0] * (len(other) + 1)
    for a in one:
        row = [0]
        for place, b in enumerate(other):
            row.append(before[place] + 1 if a == b else max(before[place + 1], row[place]))
        before = row
    return 200 * before[-1] / (len(one) + len(other))


def test_the_first_is_kept_and_a_rejected_one_rejects_nobody(changed, manifest, faults):
    """Copies of copies drift: the third is like the second, which is gone, and not like the first."""
    first, second, third = (sentence([*HIVES, *SHIPS][start : start + 18]) for start in (0, 3, 6))
    assert percent(first, second) > ALIKE + 1
    assert percent(second, third) > ALIKE + 1
    assert percent(first, third) < ALIKE - 1
    records = [
        changed(id=name, golden=text, user_persona="", dialogue=(Turn("user", opening),))
        for name, text, opening in (("1", first, "Hm."), ("2", second, "Well."), ("3", third, "So?"))
    ]
    assert faults(Duplicates(), records, manifest) == {
        "2": f"golden reply nearly twice: {percent(first, second):.0f}% alike that of '1', {second[:57] + '...'!r}"
    }


@pytest.fixture(scope="module")
def corpus():
    """1,500 sentences of 30 words out of 400, and 300 copies with 1 to 9 words changed, spread over the sentence."""
    draw = random.Random(0)
    words = sorted({"".join(draw.choice("aeioulnrst") for _ in range(draw.randint(2, 9))) for _ in range(450)})[:400]
    texts = [" ".join(draw.choices(words, k=30)) for _ in range(1500)]
    for text in texts[:300]:
        copy = text.split()
        for place in draw.sample(range(30), draw.randint(1, 9)):
            copy[place] = draw.choice(words)
        texts.append(" ".join(copy))
    return list(dict.fromkeys(texts))


def pairs(alike):
    return {frozenset((text, other)) for text, near in alike.items() for other, _ in near if other != text}


def test_minhash_finds_nearly_all_that_comparing_all_pairs_finds(corpus):
    exact = pairs(alike_texts(corpus, True, silent))
    near = pairs(alike_texts(corpus, False, silent))
    assert 200 < len(exact) <= 300
    assert near <= exact
    assert len(near) / len(exact) > 0.99
    assert len(candidate_pairs(corpus)) < 0.1 * len(corpus) ** 2 / 2


def test_candidates_are_the_same_in_every_run_and_hold_equal_texts():
    texts = [sentence(HIVES), sentence(SHIPS), sentence(HIVES), "", "ab"]
    assert candidate_pairs(texts) == candidate_pairs(texts) == {(0, 2)}
