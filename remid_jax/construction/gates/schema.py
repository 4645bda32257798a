"""Is the record whole: its fields, its turns in their order and number, no remains of a template or of JSON?"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from remid_jax.construction.gates.composition import TURN_LEVEL
from remid_jax.construction.gates.fields import excerpt, fields_of
from remid_jax.dialogues.manifest import RPGBENCH, Manifest
from remid_jax.dialogues.records import Record
from remid_jax.progress import Advance

ROUNDS, COMPOSED_ROUNDS = 4, 8
"""What RPGBench is (docs/metric.md, section 6): the reply to the user's fourth turn is golden; two dialogues make eight rounds.
Other manifests say nothing about rounds, so there they are not counted."""
_WANTED = (
    r"(?:full |first |last )?(?:name|user ?name|user|character|agent|assistant|persona|response|reply|dialogue|text|topic|"
    r"title|city|location|date|link|url|website|placeholder|nombre|usuario|personaje|nutzer|benutzer|figur|ort|"
    r"姓名|名字|用户|用戶|角色|名前|ユーザー|キャラクター|이름|사용자|캐릭터)"
)
"""What stands in a template for what was to be filled in, in RPGBench's languages. Stage directions, "[laughs]", are none."""
_PLACEHOLDER = re.compile(
    rf"\{{\{{?\s*[^\W\d][\w ]{{0,30}}\}}?\}}"  # {{character}}, {{{{user}}}}
    rf"|<(?:bot|char|{_WANTED})(?:[ _]?\d)?>"
    r"|[\[【](?:(?:insert|your|the|a|(?:user|character|agent|speaker)(?: \d)?(?:['’]?s)?|tu|su|dein|ihr)[ _])?"
    rf"{_WANTED}(?:[ _](?:here|\d))?[\]】]"
    r"|\[insert\b[^\]]*\]|(?-i:\bTODO:)|\blorem ipsum\b",
    re.IGNORECASE,
)
_JSON = re.compile(
    r"""```|"\w+"\s*:\s*["\[{\d]|\{\s*"|"\s*\}|\\[n"]|\\u[0-9a-fA-F]{4}""",
)
"""A fence, a key with its value, an object's beginning or end, an escape that nobody unpacked."""


class Schema:
    """Rejects a record that lacks a text, whose speakers do not take turns, or that holds what nobody would say."""

    name = "schema"

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        rounds = rounds_of(manifest)
        faults = {index: why for index, record in enumerate(records) if (why := next(_faults(record, rounds), None))}
        report(len(records), len(records))
        return faults


def rounds_of(manifest: Manifest) -> dict[str, int]:
    """Returns the rounds of each category's dialogues, the golden one among them; empty where a manifest is not RPGBench's."""
    if not manifest.categories.items() <= RPGBENCH.categories.items():
        return {}
    names = [*manifest.categories, *([manifest.train] if manifest.train is not None else [])]
    return {name: COMPOSED_ROUNDS if name == TURN_LEVEL else ROUNDS for name in names}


def _faults(record: Record, rounds: Mapping[str, int]) -> Iterator[str]:
    texts = {
        "user_persona": record.user_persona,
        "agent_character": record.character_text,
        **{f"dialogue_context[{place}]": turn.text for place, turn in enumerate(record.dialogue)},
        "agent_golden_response": record.golden,
    }
    yield from (f"empty field: {name}" for name, text in texts.items() if not text.strip())
    speakers = [turn.speaker for turn in record.dialogue]
    for place, (before, after) in enumerate(itertools.pairwise(speakers), 1):
        if before == after:
            yield f"one speaker twice in a row: dialogue_context[{place}], {after}"
    if not speakers or speakers[-1] != "user":
        yield f"no turn of the user before the golden reply: {f'the {speakers[-1]} ends it' if speakers else 'no dialogue'}"
    wanted = rounds.get(record.category)
    if wanted is not None and len(speakers) != 2 * wanted - 1:
        yield f"rounds: {len(speakers)} turns before the golden reply, must be {2 * wanted - 1}"
    for field in fields_of(record):
        if match := _PLACEHOLDER.search(field.text):
            yield f"placeholder: {field.name} holds {match[0]}"
        if match := _JSON.search(field.text):
            yield f"remains of JSON: {field.name} holds {excerpt(field.text[max(0, match.start() - 20) : match.end() + 20])}"
