"""A model that can write but one thing: the embedded benchmark, piece by piece, as the construction asks for it.

It tells from the form that an answer shall have what it is asked for. Each character meets the user of his or her own record;
what else is needed (second and third openings, and what comes of them) it takes from records of other lineages.
"""

from __future__ import annotations

import functools
import json
import re
import zlib

from remid_jax.construction.characters import DOMAINS
from remid_jax.dialogues.reading import read_benchmark

LANGUAGES = {"English": "IDTest", "German": "german", "Spanish": "spanish", "Chinese": "chinese"} | {
    "Japanese": "japanese", "Korean": "korean"
}  # fmt: skip
LANGUAGE = re.compile(
    r"mother tongue is (\w+)|Write in (\w+), as|of the user, in (\w+),|Every message is in (\w+) and|then gives, in (\w+) and"
)


@functools.cache
def benchmark():
    return read_benchmark("package:rpgbench_compact")


@functools.cache
def by_name(category):
    """{character's name: record} of a category."""
    return {record.agent_character["name"]: record for record in benchmark().test[category]}


def answer(content):
    """What it says to the last message of a request."""
    if '"characters"' in content:
        return proposals(content)
    if '"speech_style"' in content:
        return json.dumps(profile(re.search(r"^Name: (.*)$", content, re.M)[1]))
    name = re.search(r"^name: (.*)$", content, re.M)[1]
    if '{"kind": "real"}' in content:
        return json.dumps({"kind": "real" if name in by_name("IDTest") else "fictional"})
    language = next(filter(None, LANGUAGE.search(content).groups()))
    if "<persona>" in content:
        return f"<persona>\n{persona(name, language)}\n</persona>"
    if '"openings"' in content:
        return json.dumps({"openings": [record.dialogue[0].text for record in records_of(name, language)]}, ensure_ascii=False)
    if '"edits"' in content:
        return json.dumps({"edits": [edit(name)]})
    return json.dumps(
        {"rounds": merge(name, content) if "eight rounds" in content else rounds(talk(content, language))}, ensure_ascii=False
    )


def proposals(content):
    """Three characters that were not proposed before: of history, or of the category that is asked for."""
    fictional = next((name for name, words in DOMAINS.items() if f"fictional characters from {words} " in content), None)
    names = list(by_name(fictional or "IDTest"))
    known = re.search(r"Nobody of these: (.*)\.$", content, re.M)[1].split("; ")
    first = zlib.crc32(content.encode()) % len(names)
    fresh = [name for name in names[first:] + names[:first] if name not in known][:3]
    return json.dumps({"characters": [{"name": name, "work": "a work", "description": "Somebody."} for name in fresh]})


def profile(name):
    return next(by_name(category)[name] for category in ("IDTest", *DOMAINS) if name in by_name(category)).agent_character


def persona(name, language):
    """The user of the character's own record; fictional ones share users there, so here they meet those of training records."""
    own = own_record(name, language)
    return own.user_persona if name in by_name("IDTest") else benchmark().train[place_of(name) - 16].user_persona


def place_of(name):
    """The number of a character among the sixteen real ones, then the sixty-four fictional ones."""
    return [character for category in ("IDTest", *DOMAINS) for character in by_name(category)].index(name)


def own_record(name, language):
    """The record of this character whose user speaks the language."""
    if name in by_name("IDTest"):
        return by_name(LANGUAGES[language])[name]
    return next(by_name(category)[name] for category in DOMAINS if name in by_name(category))


def records_of(name, language):
    """The character's own record, and two others in the language that nobody else has."""
    own = own_record(name, language)
    pool = benchmark().train if language == "English" else [r for r in by_name(LANGUAGES[language]).values() if r is not own]
    place = place_of(name)
    return [own, pool[2 * place % len(pool)], pool[(2 * place + 1) % len(pool)]]


def talk(content, language):
    opening = re.search(r"The user begins with:\n(.*?)\n\nWrite the conversation", content, re.S)[1]
    every = [*benchmark().train, *(record for records in benchmark().test.values() for record in records)]
    return next(record for record in every if record.dialogue[0].text == opening and len(record.dialogue) == 7)


def merge(name, content):
    """The rounds of both dialogues in turn; the last two answers are those of the character's own merged record."""
    both = re.search(r"First:\n(.*?)\n\nSecond:\n(.*?)\n\nMake one conversation", content, re.S).groups()
    said = [re.findall(r"^User: (.*)\nAgent: (.*)$", one, re.M) for one in both]
    last = rounds(by_name("TurnLevelComposition")[name])[-2:]
    taken = [{"user": user, "agent": agent} for pair in zip(*said, strict=True) for user, agent in pair]
    return [*taken[:6], *({**own, "agent": answer["agent"]} for own, answer in zip(taken[6:], last, strict=True))]


def in_spanish(content):
    """What it says to a request for German, in Spanish."""
    name = re.search(r"^name: (.*)$", content, re.M)[1]
    if '"rounds"' in content:
        return json.dumps({"rounds": rounds(own_record(name, "Spanish"))})
    return answer(content.replace("German", "Spanish"))


def rounds(record):
    texts = [*(turn.text for turn in record.dialogue), record.golden]
    return [{"user": user, "agent": agent} for user, agent in zip(texts[::2], texts[1::2], strict=True)]


def edit(name):
    """The few words in which the word-level record of a character differs from its base."""
    before, after = by_name("IDTest")[name], by_name("WordLevelComposition")[name]
    [(old, new)] = [
        (a.text.split(" "), b.text.split(" ")) for a, b in zip(before.dialogue, after.dialogue, strict=True) if a != b
    ]
    while old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old[-1] == new[-1] and min(len(old), len(new)) > 1:
        old, new = old[:-1], new[:-1]
    return {"old": " ".join(old), "new": " ".join(new), "golden": after.golden}
