"""Reading and writing whole files: faults are reported in one line, and what is written is written whole or not at all.

Text is UTF-8, with or without a byte order mark; what begins as gzip is unpacked. JSON is what RFC 8259 says and Python can
hold: no NaN, no key twice in one object, no half of a surrogate pair. Every fault is named with its line, record and field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from remid_jax.disk import is_stream, open_descriptor, replacing, write_stream
from remid_jax.errors import UserError

DEEPEST = 100  # objects and lists inside one another
DIGITS = 4000  # Python refuses to write numbers of more than 4,300
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def read_bytes(path: str | Path) -> bytes:
    """The file's content, unpacked.

    Raises:
      UserError: if it is missing, unreadable or empty, or its gzip is broken.
    """
    with reading(path) as file:
        content = file.read()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    if not content.strip():
        raise UserError(f"{path}: is empty")
    return content


@contextlib.contextmanager
def reading(path: str | Path, called: str | Path | None = None) -> Iterator[io.BufferedReader]:
    """The open file; an error within says what is wrong with it, by the name it is `called`.

    Raises:
      UserError: if it is missing or unreadable, or its gzip is broken.
    """
    try:
        number = open_descriptor(path)
        with open(path if number is None else os.dup(number), "rb") as file:
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{called or path}: is broken gzip ({error}): pack or fetch it again") from error
    except (OSError, ValueError) as error:  # ValueError: a name that holds a NUL
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{called or path}: cannot be read ({why}): check the path") from error


def read_text(path: str | Path) -> str:
    """The file's text.

    Raises:
      UserError: as `read_bytes`, and if it is not UTF-8.
    """
    try:
        return _decoded(read_bytes(path))
    except _Broken as fault:
        raise UserError(f"{path}: {fault}") from fault


def read_json(path: str | Path, faults: list[str]) -> Any:
    """The value of a JSON file, or None and what is wrong with it.

    Raises:
      UserError: as `read_bytes`.
    """
    value, found = parse_json(read_bytes(path))
    faults += [f"{path}: {fault}" for fault in found]
    return None if found else value


def read_object(path: str | Path, mend: str) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
      UserError: as `read_bytes`, and if it holds none, with what to do then: `mend`.
    """
    value, found = parse_json(read_bytes(path))
    if found:
        raise UserError(f"{path}: {'; '.join(found[:20])}: {mend}")
    if not isinstance(value, dict):
        raise UserError(f"{path}: is not a JSON object: {mend}")
    return value


def read_lines(path: str | Path, faults: list[str], name: str | None = None) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line of a JSON Lines file that is whole, and a fault for each other; blank lines are passed over.

    The file is read line by line. Faults call it `name`, by default its path.

    Raises:
      UserError: as `read_bytes`.
    """
    called, blank = name or path, True
    # Only a line feed ends a line: str.splitlines would also cut at U+2028, which JSON allows inside a text.
    for number, line in enumerate(_raw_lines(path, called), 1):
        blank = blank and not line.strip()
        if line.strip() and line.strip() != b"\xef\xbb\xbf":
            value, found = parse_json(line.removesuffix(b"\n"), number)
            faults += [f"{called}: {fault}" for fault in found]
            if not found:
                yield number, value
    if blank:
        raise UserError(f"{called}: is empty")


def parse_json(data: bytes, line: int | None = None) -> tuple[Any, list[str]]:
    """Returns the JSON value of `data`, and what is wrong with it; `line` is given if `data` is one line of a file."""
    unfit: list[_Unfit] = []
    at = f"line {line}: " if line else ""
    try:
        text = _decoded(data, line)
        value = _decoder(unfit).decode(text)
    except _Broken as fault:
        return None, [str(fault)]
    except json.JSONDecodeError as error:
        return None, [f"line {line or error.lineno}, column {error.colno}: broken JSON ({error.msg})"]
    except RecursionError:
        return None, [f"{at}nested deeper than {DEEPEST}: make it flatter"]
    if text.count("[") + text.count("{") > DEEPEST and _is_deep(value):
        return None, [f"{at}nested deeper than {DEEPEST}: make it flatter"]
    if not unfit and not _ESCAPED_HALF.search(text):
        return value, []
    return value, list(_faults(value, f"line {line}" if line else ""))


def is_text(value: str) -> bool:
    """Whether it is made of characters: half a surrogate pair, which JSON can spell, is none."""
    return not _HALF_PAIR.search(value)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Replaces the file in one step, so a killed run leaves the old content or the new; a device or a pipe is written to.

    Raises:
      UserError: if the folder does not exist or is not writable, or the disk is full.
    """
    if is_stream(path):
        write_stream(path, content)
        return
    with replacing(path) as whole:
        whole.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


class _Broken(ValueError):
    """What is wrong with a text, and where."""


@dataclasses.dataclass(frozen=True)
class _Unfit:
    """Stands in a value for what cannot be taken as it is: the reason."""

    why: str


def write_rows(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON Lines, a row a line, as `write_text` does.

    Raises:
      UserError: as `write_text`.
    """
    write_text(path, "".join(map(as_line, rows)))


def as_line(row: Mapping[str, Any]) -> str:
    """Returns a row of JSON Lines with its line feed."""
    return json.dumps(row, ensure_ascii=False) + "\n"


def _decoded(data: bytes, line: int | None = None) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        mend = "save it as UTF-8"
        raise _Broken(f"line {line or row}: not UTF-8 (byte {column} of the line): {mend}") from error


def _raw_lines(path: str | Path, called: str | Path) -> Iterator[bytes]:
    """The unpacked lines of a file, each with its line feed."""
    with reading(path, called) as file:
        lines = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file
        for number, line in enumerate(lines):
            if not number and line.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{called}: is UTF-16: save it as UTF-8")
            yield line


def _decoder(unfit: list[_Unfit]) -> json.JSONDecoder:
    """A decoder that puts an `_Unfit` where a value cannot be taken as it stands, and lists them."""

    def flag(why: str) -> _Unfit:
        unfit.append(_Unfit(why))
        return unfit[-1]

    def whole(digits: str) -> Any:
        return int(digits) if len(digits) <= DIGITS else flag(f"a number of {len(digits):,} digits: shorten it or quote it")

    def real(digits: str) -> Any:
        value = float(digits)
        return value if math.isfinite(value) else flag(f"{digits[:20]} is too large a number: shorten it or quote it")

    def constant(name: str) -> Any:
        return flag(f"{name} is no number in JSON: leave it out, or quote it")

    def members(pairs: list[tuple[str, object]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            names = [name for name, _ in pairs]
            found |= {name: flag("this key stands twice in one object: keep one") for name in found if names.count(name) > 1}
        return found

    return json.JSONDecoder(parse_int=whole, parse_float=real, parse_constant=constant, object_pairs_hook=members)


def _faults(value: object, place: str, field: str = "") -> Iterator[str]:
    """Everything in the value that cannot be taken, with its place: line or list, record, field."""
    half = "holds half a surrogate pair, which is no character: cut the text elsewhere, or replace it by U+FFFD"
    at = ": ".join(part for part in (place, field) if part)
    if isinstance(value, _Unfit):
        yield f"{at}: {value.why}"
    elif isinstance(value, str) and not is_text(value):
        yield f"{at}: {half}"
    elif isinstance(value, list):
        for n, item in enumerate(value):
            yield from _faults(item, place, f"{field}[{n}]")
    elif isinstance(value, dict):
        name = value.get("sample_ID", value.get("id"))
        if isinstance(name, (str, int)) and "(" not in place:
            place, field = f"{at} ({name!r})", ""
        for key, item in value.items():
            below = f"{field}.{key if is_text(key) else ascii(key)}".lstrip(".")
            if not is_text(key):
                yield f"{place}: {below}: this key {half}"
            yield from _faults(item, place, below)


def _is_deep(value: object) -> bool:
    """Whether objects and lists are nested deeper than `DEEPEST`."""
    level = [value]
    for _ in range(DEEPEST):
        level = [item for of in level for item in (of.values() if isinstance(of, dict) else of if isinstance(of, list) else ())]
        if not level:
            return False
    return any(isinstance(of, (dict, list)) for of in level)
