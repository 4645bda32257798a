"""The real dialogues of ../shared/data as records, for tests on text nobody here wrote; where they are missing a test skips."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from remid_jax.dialogues.records import Record, Turn

SHARED = Path(os.environ.get("REMID_SHARED", Path(__file__).parents[2] / "shared"))
CATEGORY = {"zh": "chinese", "ja": "japanese", "ko": "korean"}  # a language that is no category counts as IDTest


def load_shared_records(lang: str) -> list[Record]:
    """All dialogues in `lang` (en, zh, ja, ko, fr, it, id), Synthetic-Persona-Chat first; translations share a lineage."""
    files = [SHARED / "data" / name for name in ("spc_test.jsonl", "xpersona_valid.jsonl")]
    if not all(file.is_file() for file in files):
        pytest.skip(f"no shared dialogues in {SHARED}")
    rows = (json.loads(line) for file in files for line in file.read_text(encoding="utf-8").split("\n") if line)
    return [_record(row) for row in rows if row["lang"] == lang]


def _record(row: dict[str, Any]) -> Record:
    turns: list[Turn] = []
    for turn in row["context"]:
        speaker = "user" if turn["role"] == "user" else "agent"
        if turns and turns[-1].speaker == speaker:  # a few dialogues have two lines of one speaker in a row
            turns[-1] = Turn(speaker, f"{turns[-1].text} {turn['text']}")
        else:
            turns.append(Turn(speaker, turn["text"]))
    return Record(
        id=row["id"],
        user_persona=" ".join(row["user"]["persona"] or ["Someone who likes to chat."]),
        agent_character={"profile": row["character"]["profile"]},
        dialogue=tuple(turns),
        golden=row["response"],
        category=CATEGORY.get(row["lang"], "IDTest"),
        lineage=row["id"].replace(f"-{row['lang']}-", "-"),
    )
