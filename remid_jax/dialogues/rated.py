"""Replies to contexts, each with its system and the scores that people or a judge gave it.

A row is {"context_id", "system", "reply", "scores": {name: number}} and the context itself: as a chat (`messages` or
`conversations`, without the reply), or in RPGBench's keys. The first row of a context must hold it; later ones may. A context
may name a `lineage` and a category, as records do; contexts of unlike categories are not compared. A chat without a system
message has an agent of whom nothing is known. `"finished": false` says that the reply was cut, so that its end is not its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from remid_jax.dialogues.assembly import UNTAGGED, Assembly
from remid_jax.dialogues.faults import kind, raise_all
from remid_jax.dialogues.readers import chats, own_keys
from remid_jax.dialogues.readers.conversations import Conversation, Report, text_of
from remid_jax.dialogues.readers.rows import Source, rows_of
from remid_jax.dialogues.records import Record

CHATS = (chats.MESSAGES, chats.SHAREGPT)
CONTEXT_KEYS = (
    *(form.messages for form in CHATS), "dialogue_context", "user_persona", "user_name", "agent_character", "lineage",
    "category", "subset_tag",
)  # fmt: skip
TALKS = (*(form.messages for form in CHATS), "dialogue_context")
UNKNOWN_AGENT: dict[str, object] = {"name": "Agent"}
ENDED_BY_AGENT = "ends with the agent: the reply stands in `reply`, so end with the user"


@dataclasses.dataclass(frozen=True)
class RatedReply:
    """What a system replied in a context, and its scores by name; `finished`: its end belongs to it."""

    record: Record
    system: str
    reply: str
    scores: Mapping[str, float]
    finished: bool = True

    def to_json(self) -> dict[str, Any]:
        """Returns the row that `read_rated` reads."""
        kept = ("lineage", "subset_tag", "user_persona", "agent_character", "dialogue_context")
        context = {key: value for key, value in self.record.to_json().items() if key in kept}
        said: dict[str, Any] = {"system": self.system, "reply": self.reply, "scores": dict(self.scores)}
        return {"context_id": self.record.id, **context, **said} | ({} if self.finished else {"finished": False})


class _Entry(NamedTuple):
    """A row without its context."""

    context: str
    system: str
    reply: str
    scores: dict[str, float]
    finished: bool


def read_rated(source: Source, scored: bool = True) -> list[RatedReply]:
    """Returns the replies of a JSON Lines file, a JSON list, or mappings, in their order.

    Args:
      source: a path, or a sequence of mappings.
      scored: whether each reply must have a score.

    Raises:
      UserError: one line with every fault, each with its file, row and field: also for a reply that stands there twice, and for
        replies to one context alone, about which nothing can be told.
    """
    name = str(source) if isinstance(source, (str, Path)) else "replies"
    assembly = Assembly(name, Path(source) if isinstance(source, (str, Path)) else None, None, None, False)
    entries: list[_Entry] = []
    places: dict[tuple[str, str, str], str] = {}
    contexts: dict[str, tuple[str, str]] = {}  # id -> where it was first, and its content
    categories: dict[str, str] = {}  # of contexts
    for row in rows_of(source, assembly.faults):
        if not isinstance(row.value, dict):
            assembly.faults.append(f"{row.place}: a reply must be an object, not {kind(row.value)}")
            continue
        identity = row.value.get("context_id")
        where = f"{row.place} ({identity!r})" if isinstance(identity, (str, int)) else row.place
        before = len(assembly.faults)

        def report(fault: str, where: str = where) -> None:
            assembly.faults.append(f"{where}: {fault}")

        entry = _entry(row.value, scored, report)
        if entry.context in contexts:
            first, content = contexts[entry.context]
            if any(key in row.value for key in TALKS) and _content(row.value) != content:
                report(f"context_id: was another context at {first}: give each an id of its own")
        elif entry.context:
            contexts[entry.context] = (row.place, _content(row.value))
            conversation = _conversation(row.value, entry.context, report)
            if conversation is not None:
                categories[entry.context] = conversation.category or UNTAGGED
                assembly.add(dataclasses.replace(conversation, category=""), row.place, where, before)
        key = (entry.context, entry.system, entry.reply)
        if key in places and len(assembly.faults) == before:
            report(f"reply: {entry.system!r} already gave it to this context at {places[key]}: keep one")
        places.setdefault(key, row.place)
        entries.append(entry)
    if not assembly.faults and len(contexts) < 2:
        what = f"all replies are to the context {entries[0].context!r}" if entries else "holds no reply"
        assembly.faults.append(f"{name}: {what}: replies to at least two contexts are needed, since they are compared")
    raise_all(assembly.faults)
    records = {record.id: record.in_category(categories[record.id]) for record in assembly.benchmark(()).test[UNTAGGED]}
    return [RatedReply(records[of.context], of.system, of.reply, of.scores, of.finished) for of in entries]


def _entry(row: dict[str, Any], scored: bool, report: Report) -> _Entry:
    identity = row.get("context_id")
    identity = str(identity) if type(identity) is int else identity
    texts = {
        key: text_of(value, key, report, may_be_empty=key == "reply") if value is not None else _missing(key, report)
        for key, value in (("context_id", identity), ("system", row.get("system")), ("reply", row.get("reply")))
    }
    finished = row.get("finished", True)
    if not isinstance(finished, bool):
        report(f"finished: must be true or false, not {kind(finished)}")
    scores = _scores(row["scores"], report) if "scores" in row else {}
    if scored and "scores" not in row:
        report('scores: missing: give at least one, {"scores": {"fit": 4}}')
    return _Entry(texts["context_id"], texts["system"], texts["reply"], scores, bool(finished) or not texts["reply"])


def _missing(key: str, report: Report) -> str:
    report(f"{key}: missing")
    return ""


def _scores(value: object, report: Report) -> dict[str, float]:
    if not isinstance(value, dict):
        report(f"scores: must be an object of numbers, not {kind(value)}")
        return {}
    if not value:
        report('scores: empty: give at least one, {"scores": {"fit": 4}}')
    wrong = {name: of for name, of in value.items() if isinstance(of, bool) or not isinstance(of, (int, float))}
    for name, of in wrong.items():
        report(f"scores.{name}: must be a number, not {kind(of)}")
    return {name: float(of) for name, of in value.items() if name not in wrong}


def _content(row: Mapping[str, Any]) -> str:
    return json.dumps({key: row[key] for key in CONTEXT_KEYS if key in row}, sort_keys=True)


def _conversation(row: dict[str, Any], identity: str, report: Report) -> Conversation | None:
    form = next((form for form in CHATS if form.messages in row), None)
    if form is None and "dialogue_context" not in row:
        report(f"holds no context, and none of this id stands before: give one of {', '.join(TALKS)}")
        return None
    if form is not None:
        found = chats.conversation_of(row, report, form, golden_optional=True)
        if found.turns and found.turns[-1].speaker == "agent":
            report(f"{form.messages}: {ENDED_BY_AGENT}")
    else:
        optional = [key for key in own_keys.KEYS if key != "dialogue_context"]
        found = own_keys.conversation_of(row, report, optional, exact=False)
    character = UNKNOWN_AGENT if found.character is None else found.character
    return dataclasses.replace(found, id=identity, character=character)
