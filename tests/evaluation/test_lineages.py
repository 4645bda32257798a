"""Warnings of lineages that are too fine or too coarse, with their counts."""

import dataclasses

import numpy as np
import pytest

from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Record, Turn
from remid_jax.evaluation.estimating import estimate
from remid_jax.evaluation.lineages import lineage_warnings
from remid_jax.evaluation.results import contributions

USERS, CHARACTERS = 8, 5


def records(lineage):
    """40 records of 5 characters and 8 users; `lineage(user, character)` is a text or clusters by kind."""
    made = []
    for user in range(USERS):
        for character in range(CHARACTERS):
            of = lineage(user, character)
            named = {"clusters": of} if isinstance(of, dict) else {"lineage": of}
            bo = {"name": f"Bo {character}"}
            made.append(
                Record(f"{user}-{character}", f"Ana {user}.", bo, (Turn("user", "Hi?"),), "Ho.", "IDTest", **named)
            )  # fmt: skip
    return made


CHARACTER = (
    "lineages may be too fine, and intervals too narrow: 5 of 5 characters stand in up to 8 lineages each (40 records): "
    "name the character as a cluster (docs/formats.md, Lineage)"
)
PERSONA = (
    "lineages may be too fine, and intervals too narrow: 8 of 8 user personas stand in up to 5 lineages each (40 records): "
    "name the user as a cluster (docs/formats.md, Lineage)"
)
CASES = {
    "each record": (lambda user, character: f"{user} {character}", [CHARACTER, PERSONA]),
    "users": (lambda user, character: f"u{user}", [CHARACTER]),
    "characters": (lambda user, character: f"c{character}", [PERSONA]),
    "both": (lambda user, character: {"user": f"u{user}", "character": f"c{character}"}, []),
    "one": (
        lambda user, character: "all",
        ["lineages are too coarse for intervals: all 40 records have one lineage: name what records were made from one by one"],
    ),
    "one of a kind": (
        lambda user, character: {"user": f"u{user}", "character": f"c{character}", "house": "h"},
        ["lineages are too coarse for intervals: all 40 records have one house: leave that kind out of their lineages"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_lineages_are_judged_by_the_texts_that_records_share(name):
    lineage, expected = CASES[name]
    assert lineage_warnings({"IDTest": records(lineage)}) == expected


def test_what_all_records_of_a_category_share_ties_none_of_them():
    members = records(lambda user, character: f"u{user}")
    by_character = {f"c{n}": [of for of in members if of.agent_character == {"name": f"Bo {n}"}] for n in range(CHARACTERS)}
    assert lineage_warnings(by_character) == []
    unnamed = [dataclasses.replace(of, user_persona="", lineage=of.id) for of in members]
    assert lineage_warnings({"IDTest": unnamed}) == [CHARACTER]


def test_categories_with_one_cluster_of_a_kind_are_named():
    members = records(lambda user, character: {"user": f"u{user}", "character": f"c{character}"})
    by_character = {f"c{n}": [of for of in members if of.clusters["character"] == f"c{n}"] for n in (0, 1)} | {"all": members}
    assert lineage_warnings(by_character) == ["no interval for c0, c1: all records there have one character"]
    numbers = estimate(
        {name: array for category, of in by_character.items() for name, array in scored(category, of).items()}, bootstrap=0
    )
    intervals = {
        name: category["plain"]["emi"]["club"]["token_rate"]["interval"] for name, category in numbers["categories"].items()
    }
    assert {name for name, interval in intervals.items() if interval["low"] is None} == {"c0", "c1"}


def scored(category, members):
    """The arrays of a category of these records, with random scores."""
    rng, n = np.random.default_rng(0), len(members)
    arrays = {f"{category}/{name}/{side}": np.full(n, 9) for name in ("tokens", "chars") for side in ("golden", "policy")}
    for side in ("golden", "policy"):
        arrays[f"{category}/loglik/plain/{side}"] = rng.normal(size=(n, n))
        arrays[f"{category}/marginal/plain/{side}"] = rng.normal(size=n)
    for kind in ("user", "character"):
        arrays[f"{category}/cluster/{kind}"] = np.array([of.clusters[kind] for of in members])
    return arrays | {f"{category}/{name}": np.array([getattr(of, field) for of in members])
                     for name, field in (("record", "id"), ("lineage", "lineage"))}  # fmt: skip


def test_the_embedded_benchmark_has_lineages_that_fit():
    assert lineage_warnings(read_benchmark("package:rpgbench_compact").test) == []


def test_contributions_name_the_clusters_of_each_record():
    arrays = {"A/record": np.array(["r", "s"]), "A/lineage": np.array(["l", "m"]), "A/cluster/user": np.array(["u", "v"])}
    rows = contributions(arrays, "A", [])
    assert [(row["record"], row["lineage"], row["cluster_user"]) for row in rows] == [("r", "l", "u"), ("s", "m", "v")]
