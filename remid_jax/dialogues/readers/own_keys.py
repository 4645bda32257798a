"""Records in RPGBench's own keys: a JSON Lines file of ours, a list of PDGBench.json, or rows that a mapping has renamed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal

from remid_jax.dialogues.faults import kind, meant
from remid_jax.dialogues.readers.conversations import Conversation, Report, check_turns, lineage_of, text_of
from remid_jax.dialogues.records import Turn

KEYS = ("sample_ID", "user_persona", "agent_character", "dialogue_context", "agent_golden_response", "subset_tag")
OPTIONAL_KEYS = ("lineage", "user_name")
SPEAKERS: dict[object, Literal["user", "agent"]] = {"user_query": "user", "agent_response": "agent"}


def conversation_of(row: dict[str, Any], report: Report, optional: Collection[str] = (), exact: bool = True) -> Conversation:
    """Returns the conversation of a row, and reports its faults.

    `optional` names those of KEYS that it may lack; `exact` refuses keys that mean nothing here.
    """
    for key in KEYS:
        if key not in row and key not in optional:
            report(f"{key}: missing")
    if exact:
        known = (*KEYS, *OPTIONAL_KEYS)
        for key in row:
            if key not in known:
                report(f"{key}: unknown key{meant(key, [other for other in known if other not in row])}")
    no_golden = "agent_golden_response" in optional and not row.get("agent_golden_response")
    texts = {
        key: text_of(row[key], key, report, may_be_empty=key == "user_persona")
        for key in ("sample_ID", "user_persona", "agent_golden_response", "user_name", "subset_tag")
        if key in row and not (key == "agent_golden_response" and no_golden)
    }
    turns = _dialogue(row["dialogue_context"], report) if "dialogue_context" in row else ()
    golden = texts.get("agent_golden_response", "")
    lineage, clusters = lineage_of(row["lineage"], report) if "lineage" in row else ("", {})
    return Conversation(
        id=texts.get("sample_ID", ""),
        lineage=lineage,
        clusters=clusters,
        category=texts.get("subset_tag", ""),
        user_persona=texts.get("user_persona", ""),
        user_name=texts.get("user_name", ""),
        character=row.get("agent_character"),
        turns=(*turns, Turn("agent", golden)) if golden else turns,
        id_field="sample_ID",
        category_field="subset_tag",
    )


def _dialogue(value: object, report: Report) -> tuple[Turn, ...]:
    field = "dialogue_context"
    if not isinstance(value, list):
        report(f"{field}: must be a list, not {kind(value)}")
        return ()
    if not value:
        report(f"{field}: empty")
    turns = []
    for i, turn in enumerate(value):
        key = next(iter(turn)) if isinstance(turn, dict) and len(turn) == 1 else None
        if key not in SPEAKERS:
            report(f'{field}[{i}]: must be {{"user_query": text}} or {{"agent_response": text}}')
            return ()
        turns.append((f"{field}[{i}]", Turn(SPEAKERS[key], text_of(turn[key], f"{field}[{i}].{key}", report))))
    check_turns(turns, report)
    if turns and turns[-1][1].speaker != "user":
        report(f"{field}: ends with an agent_response, must end with a user_query")
    return tuple(turn for _, turn in turns)
