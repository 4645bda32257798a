"""Did the model that wrote a text step out of it: to refuse, to announce, to head?"""

from __future__ import annotations

import importlib.resources
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from remid_jax.construction.gates.fields import excerpt, fields_of
from remid_jax.dialogues.faults import meant, raise_all
from remid_jax.dialogues.manifest import Manifest
from remid_jax.dialogues.records import Record
from remid_jax.files import read_text
from remid_jax.progress import Advance

PATTERNS = "refusals.txt"
REFUSAL = "refusal"
SECTIONS = (REFUSAL, "boilerplate", "heading")
"""What a pattern finds. Refusals are looked for in what the character says: a user may well be sorry."""
Patterns = Mapping[str, Sequence[re.Pattern[str]]]


class Refusals:
    """Rejects a record in which a text matches one of `patterns`."""

    name = "refusals"

    def __init__(self, patterns: Patterns):
        self._patterns = patterns

    def faults(self, records: Sequence[Record], manifest: Manifest, report: Advance) -> dict[int, str]:
        faults: dict[int, str] = {}
        for index, record in enumerate(records):
            if why := self._fault(record):
                faults[index] = why
            report(index + 1, len(records))
        return faults

    def _fault(self, record: Record) -> str | None:
        for field in fields_of(record):
            text = _plain(field.text)
            for section, patterns in self._patterns.items():
                if section == REFUSAL and not field.is_said:
                    continue
                if match := next((match for pattern in patterns if (match := pattern.search(text))), None):
                    return f"{section}: {field.name} holds {excerpt(match[0])}"
        return None


def read_patterns(path: str | Path | None = None) -> dict[str, list[re.Pattern[str]]]:
    """Returns the patterns of each section of a file, by default the package's refusals.txt, which says what a file holds.

    Raises:
      UserError: the file cannot be read, or holds what is no pattern, with every fault and its line.
    """
    own = importlib.resources.files(__package__) / PATTERNS
    text = own.read_text(encoding="utf-8") if path is None else read_text(path)
    where = PATTERNS if path is None else str(path)
    patterns: dict[str, list[re.Pattern[str]]] = {section: [] for section in SECTIONS}
    faults: list[str] = []
    section: str | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            if section not in patterns:
                known = ", ".join(f"[{name}]" for name in SECTIONS)
                faults.append(f"{where}: line {number}: no section {line}{meant(section, SECTIONS)}: choose one of {known}")
        elif line and not line.startswith("#"):
            if section is None:
                faults.append(f"{where}: line {number}: stands before any section: begin with [{REFUSAL}]")
            try:
                patterns.get(section or REFUSAL, []).append(re.compile(line, re.IGNORECASE))
            except re.error as error:
                faults.append(f"{where}: line {number}: is no regular expression ({error}): mend it, or begin it with #")
    raise_all(faults)
    return patterns


def _plain(text: str) -> str:
    """The text with straight quotes and letters of one width."""
    return unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'").strip()
