"""Who meets whom: lineages of users and characters, kept apart between test and training by the seed."""

from hypothesis import given
from hypothesis import strategies as st
from refusal import refusal

from remid_jax.construction.characters import DOMAINS, Character
from remid_jax.construction.plan import Amounts, meetings, pairs_to_merge
from remid_jax.dialogues.manifest import RPGBENCH


def character(name, domain="Literature", is_fictional=False):
    return Character(domain, {"name": name}, is_fictional)


def cast_of(amounts, real):
    fictional = {name: [character(f"{name} {n}", name, True) for n in range(amounts.lineages)] for name in DOMAINS}
    return {"real": [character(f"real {n}") for n in range(real)]} | fictional


CATEGORIES = st.lists(st.sampled_from(list(RPGBENCH.categories)), unique=True).map(tuple)


@given(CATEGORIES, st.integers(1, 4), st.integers(0, 3), st.integers(1, 3), st.integers(0, 9))
def test_lineages_hold_together_and_apart(categories, lineages, train, dialogues, seed):
    amounts = Amounts(categories, lineages, train, dialogues)
    made = meetings(amounts, cast_of(amounts, lineages + train), seed)
    assert len({meeting.id for meeting in made}) == len(made)
    by_lineage = {}
    for meeting in made:
        by_lineage.setdefault(meeting.lineage, []).append(meeting)
    for own in by_lineage.values():
        assert len({meeting.character.name for meeting in own}) == 1  # a lineage has one character
        assert len({meeting.category for meeting in own}) == len(own)
        assert ("IDTrain" in {meeting.category for meeting in own}) <= (len(own) == 1)
    characters = [own[0].character.name for own in by_lineage.values()]
    assert len(set(characters)) == len(characters)  # and a character one lineage
    for meeting in made:
        assert meeting.character.is_fictional == (meeting.category in DOMAINS)
        language = "en" if meeting.category == "IDTrain" else RPGBENCH.categories[meeting.category].language
        assert meeting.language == language
    assert {m.category for m in made} | set(RPGBENCH.shifts["dialogue"]) >= {"IDTest", *categories}


def test_fewer_characters_make_fewer_meetings_of_training_first():
    amounts = Amounts((), lineages=3, train_lineages=2, dialogues=1)
    for real, expected in ((4, (3, 1)), (2, (2, 0)), (0, (0, 0))):
        made = [meeting.category for meeting in meetings(amounts, cast_of(amounts, real), seed=0)]
        assert (made.count("IDTest"), made.count("IDTrain")) == expected


def test_the_seed_says_who_is_in_the_test():
    amounts = Amounts(("german",), lineages=4, train_lineages=4, dialogues=1)
    sides = [
        [m.character.name for m in meetings(amounts, cast_of(amounts, 8), seed) if m.category == "IDTest"] for seed in (0, 0, 1)
    ]
    assert sides[0] == sides[1]
    assert set(sides[0]) != set(sides[2])


def test_amounts_of_the_default_config():
    amounts = Amounts((), lineages=16, train_lineages=32, dialogues=1)
    assert amounts.records == {"IDTrain": 32} | dict.fromkeys(RPGBENCH.categories, 16)
    assert amounts.characters == {"real": 48, "Literature": 16, "Film & Television": 16, "Theater": 16, "Gaming": 16}
    made = meetings(amounts, cast_of(amounts, 48), seed=0)
    assert len(made) == 32 + 16 * (1 + 5 + 4)
    assert sum(amounts.played(meeting) for meeting in made) == 32 + 16 * 10 + 16  # base meetings have a second to merge


def test_as_many_merges_as_records_and_no_more_dialogues_than_openings():
    for dialogues in (1, 2, 3):
        amounts = Amounts(("TurnLevelComposition",), 1, 0, dialogues)
        [meeting] = meetings(amounts, {"real": [character("a")]}, 0)
        assert amounts.played(meeting) <= 3
        pairs = pairs_to_merge(amounts.played(meeting), dialogues)
        assert len(set(pairs)) == dialogues
        assert all(first < second for first, second in pairs)


def test_an_unknown_category_is_refused():
    assert refusal(Amounts, ("germn",), 1, 0, 1) == (
        "config.categories: no category 'germn' (did you mean 'german'?): choose of IDTest, german, spanish, chinese, "
        "japanese, korean, Literature, Film & Television, Theater, Gaming, TurnLevelComposition, WordLevelComposition"
    )
