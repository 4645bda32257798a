"""What dials do to the texts of records: what is cut, what stays, whose texts come in, and that the seed alone decides."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.dialogues.copying import units
from remid_jax.dialogues.dials.texts import exchanged, seeded_order, shortened, turns
from remid_jax.dialogues.records import Record, Turn
from remid_jax.errors import UserError

CHARACTER = {"name": "Ada", "skills": ["poetry and engines", "patience"], "age": 36}
DIALOGUE = tuple(Turn("user" if k % 2 == 0 else "agent", f"turn {k}") for k in range(7))


def record(name="a", persona="Mona, a nurse from Cairo.", **changes):
    return Record(name, persona, CHARACTER, DIALOGUE, "golden", "IDTest", **changes)


def donor(k):
    turns = (Turn("user", f"question {k}"), Turn("agent", f"answer {k}"), Turn("user", f"and {k}?"))
    return Record(f"train {k}", f"persona {k}", {"name": f"agent {k}"}, turns, f"golden {k}", "IDTrain")


@pytest.mark.parametrize(("share", "left"), [
    (0, "Mona, a nurse from Cairo."), (0.2, "Mona, a nurse from"), (0.5, "Mona, a"), (0.8, "Mona,"), (1, ""),
])  # fmt: skip
def test_the_last_words_of_a_persona_are_cut(share, left):
    cut = shortened(record(), "user", share, "x")
    assert cut.user_persona == left
    assert cut == dataclasses.replace(record(), user_persona=left, id=cut.id, lineage="a")
    assert cut.id == ("a" if share == 0 else "a x")  # what is not changed is the same record


def test_in_scripts_without_spaces_characters_are_words():
    assert shortened(record(persona="東京の看護師"), "user", 0.5, "x").user_persona == "東京の"


@pytest.mark.parametrize(("share", "left"), [
    (0.2, {"name": "Ada", "skills": ["poetry and engines", ""], "age": 36}),
    (0.6, {"name": "Ada", "skills": ["poetry", ""], "age": 36}),
    (1, {}),
])  # fmt: skip
def test_the_last_words_of_a_character_are_cut(share, left):
    cut = shortened(record(), "character", share, "x")
    assert cut.agent_character == left
    assert CHARACTER["skills"] == ["poetry and engines", "patience"]


@pytest.mark.parametrize(("share", "first"), [(0, 0), (0.5, 3), (0.66, 4), (1, 6)])
def test_the_first_turns_of_a_dialogue_are_cut_and_the_last_stays(share, first):
    cut = shortened(record(), "dialogue", share, "x")
    assert cut.dialogue == DIALOGUE[first:]
    assert cut.golden == "golden"


@given(text=st.text(), share=st.floats(0, 1))
def test_as_many_words_are_cut_as_the_share_says(text, share):
    count = len(list(units(text)))
    cut = shortened(record(persona=text), "user", share, "x").user_persona
    assert abs(len(list(units(cut))) - (1 - share) * count) <= 0.5 + 1e-9
    assert text.startswith(cut)


def test_threads_of_others_come_before_the_record_s_own():
    records = [record(name, lineage=name) for name in "abc"]
    donors = [donor(k) for k in range(9)]
    two, three = (turns(records, donors, threads, 7, f"turns({threads})") for threads in (2, 3))
    for short, long, own in zip(two, three, records, strict=True):
        assert (short.id, short.golden, short.lineage) == (f"{own.id} turns(2)", "golden", own.lineage)
        assert short.dialogue[-7:] == long.dialogue[-7:] == own.dialogue
        assert long.dialogue[-len(short.dialogue) :] == short.dialogue  # the older thread is put before
        assert [turn.speaker for turn in long.dialogue] == ["user", "agent"] * 7 + ["user"]
        thread = next(of for of in donors if of.dialogue[0] == short.dialogue[0])
        assert short.dialogue[:4] == (*thread.dialogue, Turn("agent", thread.golden))
    heard = [turn.text for of in three for turn in of.dialogue[:-7]]
    assert len(set(heard)) == len(heard)  # no thread is heard by two lineages
    assert turns(records, donors, 1, 7, "turns(1)") == records


def test_an_agent_who_speaks_first_says_one_turn_with_the_one_before():
    greeted = dataclasses.replace(record(lineage="a"), dialogue=(Turn("agent", "Good day."), Turn("user", "Hello.")))
    [merged] = turns([greeted], [donor(0)], 2, 0, "x")
    assert merged.dialogue[3:] == (Turn("agent", "golden 0\nGood day."), Turn("user", "Hello."))


@pytest.mark.parametrize("factor", ["user", "character", "dialogue"])
def test_a_factor_of_somebody_else_comes_without_a_golden_reply(factor):
    records, donors = [record(name, lineage=name) for name in "abc"], [donor(k) for k in range(5)]
    changed = exchanged(records, donors, factor, 3, f"exchanged({factor})")
    field = {"user": "user_persona", "character": "agent_character", "dialogue": "dialogue"}[factor]
    texts = [getattr(of, field) for of in changed]
    assert all(text in [getattr(of, field) for of in donors] for text in texts)
    assert len({str(text) for text in texts}) == 3
    for of, own in zip(changed, records, strict=True):
        assert dataclasses.replace(of, golden="golden", id=own.id, **{field: getattr(own, field)}) == own
        assert of.golden == ""


def test_records_of_a_lineage_get_the_same_texts_and_relatives_give_none():
    records = [record(name, lineage="one") for name in "ab"]
    donors = [dataclasses.replace(donor(0), lineage="one"), donor(1)]
    assert {of.user_persona for of in exchanged(records, donors, "user", 0, "x")} == {"persona 1"}
    with pytest.raises(UserError) as error:
        exchanged(records, donors[:1], "user", 0, "exchanged(user)")
    assert str(error.value) == (
        "config.benchmark.dials: exchanged(user) needs 1 training records that are related to no test record, for texts of "
        "others, and the benchmark has 0: add some under the manifest's train tag"
    )


@given(names=st.sets(st.text(), min_size=1), seed=st.integers(0, 9), data=st.data())
def test_an_order_is_kept_when_names_are_left_out(names, seed, data):
    kept = data.draw(st.sets(st.sampled_from(sorted(names))))
    order = seeded_order(seed, "mixture", names)
    assert sorted(order) == sorted(names)
    assert seeded_order(seed, "mixture", kept) == [name for name in order if name in kept]
