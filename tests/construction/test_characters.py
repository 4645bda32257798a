"""Characters are proposed until there are enough of each kind, each once, and used as what they turn out to be."""

import json
import re

import pytest
import writer
from building import PERSONAS, canned
from refusal import refusal

from remid_jax.construction.answers import Questioner, Tally
from remid_jax.construction.characters import DOMAINS, Casting, read_characters, read_personas
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.endpoints.chat import Sampling
from remid_jax.progress import Silent


def casting(answer, retriever=None, lookup=None, rounds=3, seed=0, given=()):
    """(casting, its tally, what was asked)"""
    contents, tally = [], Tally()

    def noted(content):
        contents.append(content)
        return answer(content)

    def questioner(answering):
        return Questioner(canned(answering)[1], Sampling(2048, 1.0), 2, False, tally, Silent())

    model = questioner(noted)
    looked = questioner(lookup) if lookup else model
    return Casting(model, looked, retriever, ConstructionPrompts.load(), PERSONAS, given, seed, rounds), tally, contents


def names(cast):
    return {kind: [character.name for character in characters] for kind, characters in cast.items()}


def test_each_kind_gets_as_many_as_are_wanted_and_nobody_comes_twice():
    asked, tally, _ = casting(writer.answer, rounds=9)
    cast = names(asked.cast({"real": 10, "Gaming": 4, "Theater": 1}))
    assert {kind: len(own) for kind, own in cast.items()} == {"real": 10, "Gaming": 4, "Theater": 1}
    assert len({name for own in cast.values() for name in own}) == 15
    assert set(cast["real"]) <= set(writer.by_name("IDTest"))
    assert set(cast["Gaming"]) <= set(writer.by_name("Gaming"))
    assert tally.failures == []


def test_who_was_proposed_is_named_so_that_others_come():
    asked, _, contents = casting(writer.answer, rounds=9)
    cast = names(asked.cast({"real": 16}))
    assert len(set(cast["real"])) == 16
    known = [re.search(r"Nobody of these: (.*)\.$", content, re.M)[1] for content in contents if '"characters"' in content]
    assert known[0] == "(nobody yet)"
    assert (
        len(set(known))
        == len({content for content in contents if '"characters"' in content and "nobody yet" not in content}) + 1
    )


def test_a_fictional_character_among_real_ones_is_used_as_what_it_is():
    """Of three who are proposed as real people one was invented; nobody else is proposed."""
    trio = ["Ada Lovelace", "Thomasina Coverly", "Frederick Douglass"]

    def answer(content):
        if '"characters"' in content:
            fresh = [name for name in trio if "real people" in content and name not in content]
            return json.dumps({"characters": [{"name": name} for name in fresh]})
        return writer.answer(content)

    asked, _, _ = casting(answer)
    cast = asked.cast({"real": 3} | dict.fromkeys(DOMAINS, 1))
    assert names(cast)["real"] == ["Ada Lovelace", "Frederick Douglass"]
    assert [name for kind in DOMAINS for name in names(cast)[kind]] == ["Thomasina Coverly"]
    for kind, own in cast.items():
        assert all(character.is_fictional == (kind != "real") for character in own)
        assert all(kind in ("real", character.domain) for character in own)


def test_passages_are_shown_to_whoever_looks_characters_up():
    class Fixed:
        def passages(self, query, count):
            return [f"All about {query}.", "And more."][:count] if query.startswith("A") else []

    looked = []

    def lookup(content):
        looked.append(content)
        return writer.answer(content)

    asked, _, contents = casting(writer.answer, Fixed(), lookup, rounds=9)
    asked.cast({"real": 16})
    by_name = {re.search(r"^Name: (.*)$", content, re.M)[1]: content for content in looked}
    assert len(by_name) == len(looked) == 16
    for name, content in by_name.items():
        assert (f"All about {name} a work.\n\nAnd more.\n" in content) == name.startswith("A")
        assert ("Passages from our library" in content) == name.startswith("A")
    assert not any('"speech_style"' in content for content in contents)


def test_the_seed_orders_for_whom_they_are_proposed():
    firsts = set()
    for seed in range(4):
        asked, _, contents = casting(writer.answer, seed=seed)
        asked.cast({"real": 1})
        firsts.add(contents[0])
    assert len(firsts) > 1


def test_given_characters_come_first_and_are_not_proposed_again(tmp_path):
    path = tmp_path / "characters.jsonl"
    own = [
        {"domain": "Literature", "profile": {"name": "Ada  lovelace", "age": 3}, "is_fictional": False},
        {"domain": "Gaming", "profile": {"name": "Nobody"}, "is_fictional": True},
        {"domain": "Gaming", "profile": {"name": "Another"}, "is_fictional": True},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in own))
    given = read_characters(path)
    assert [character.to_json() for character in given] == own
    asked, _, contents = casting(writer.answer, rounds=9, given=given)
    cast = names(asked.cast({"real": 16, "Gaming": 1}))
    assert cast["Gaming"] == ["Nobody"]
    assert cast["real"][0] == "Ada  lovelace"
    assert "Ada Lovelace" not in cast["real"]
    assert len(cast["real"]) == 16
    assert not any("fictional characters" in content for content in contents if '"characters"' in content)


def test_faulty_characters_are_refused(tmp_path):
    path = tmp_path / "characters.jsonl"
    path.write_text(
        '{"domain": "Games", "profile": {"name": "A"}, "is_fictional": 1}\n'
        '{"domain": "Gaming", "profile": {"nam": "A"}, "is_fictional": true}\n'
    )
    assert refusal(read_characters, path) == (
        f"{path}: line 1: domain: Input should be 'Literature', 'Film & Television', 'Theater' or 'Gaming'; {path}: line 1: "
        f"is_fictional: must be true or false, not a number; {path}: line 2: profile.name: must be a text that is not empty"
    )
    path.write_text('{"domain": "Gaming", "profile": {"name": "A"}, "is_fictional": true}\n' * 2)
    assert refusal(read_characters, path) == f"{path}: 'a' stands 2 times: keep one"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"persona": 3}', "persona: must be a text, not a number"),
        ('{"persona": " "}', "persona: must be a text that is not empty"),
        ('{"person": "A cook."}', "persona: missing; {path}: line 2: person: unknown key (did you mean 'persona'?)"),
        ("[]", "must be an object, not a list"),
        ('{"persona": "a}', "column 13: broken JSON (Unterminated string starting at)"),
    ],
)
def test_a_faulty_file_of_personas_is_refused(tmp_path, line, fault):
    path = tmp_path / "personas.jsonl"
    path.write_text(f'{{"persona": "A cook."}}\n{line}\n')
    place = f"{path}: line 2, " if "column" in fault else f"{path}: line 2: "
    assert refusal(read_personas, path) == place + fault.format(path=path)


def test_personas_are_read_in_order(tmp_path):
    path = tmp_path / "personas.jsonl"
    path.write_text('{"persona": "A cook."}\n\n{"persona": " Un marin. "}\n')
    assert read_personas(path) == ["A cook.", "Un marin."]


def test_names_that_are_looked_up_as_one_character_have_one_place():
    aliases = ["Ada Lovelace", "Countess of Lovelace", "Augusta Ada King", "Frederick Douglass"]

    def answer(content):
        if '"characters"' in content:
            return json.dumps({"characters": [{"name": name} for name in aliases if name not in content][:2]})
        name = re.search(r"^Name: (.*)$", content, re.M)
        return writer.answer(content.replace(name[1], aliases[0]) if name and name[1] in aliases[:3] else content)

    asked, _, _ = casting(answer, rounds=9)
    assert names(asked.cast({"real": 3})) == {"real": ["Ada Lovelace", "Frederick Douglass"]}


def test_a_round_that_names_known_characters_alone_is_not_the_last():
    rounds = [["Ada Lovelace"], ["Ada Lovelace"], ["Frederick Douglass"]]

    def answer(content):
        if '"characters"' in content:
            return json.dumps({"characters": [{"name": name} for name in rounds.pop(0)]})
        return writer.answer(content)

    asked, _, _ = casting(answer, rounds=3)
    assert names(asked.cast({"real": 2})) == {"real": ["Ada Lovelace", "Frederick Douglass"]}
