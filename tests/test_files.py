"""Files as people have them are read, or refused with line, record, field and what to do; what is written is written whole."""

import contextlib
import gzip
import json
import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.disk import check_output, replacing, writing
from remid_jax.errors import UserError
from remid_jax.files import read_json, read_lines, read_object, read_text, write_bytes, write_text

HALF = "holds half a surrogate pair, which is no character: cut the text elsewhere, or replace it by U+FFFD"


def lines(path):
    faults: list[str] = []
    return list(read_lines(path, faults)), faults


def message(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refusal(function, *arguments):
    try:
        function(*arguments)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1}\n\n{"b": "\xc3\xa9"}\n',
        b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf\n\xef\xbb\xbf{"b": "\xc3\xa9"}',
        b'{"a": 1}\r\n\r\n{"b": "\\u00e9"}\r\n',
        gzip.compress(b'{"a": 1}\n\n{"b": "\xc3\xa9"}\n', mtime=0),
        gzip.compress(b'{"a": 1}\n\n', mtime=0) + gzip.compress(b'{"b": "\xc3\xa9"}\n', mtime=0),
    ],
)
def test_one_content_in_many_spellings(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert lines(tmp_path / "a") == ([(1, {"a": 1}), (3, {"b": "é"})], [])


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"id": "x", "text": "cut \\ud83d"}', f"line 2 ('x'): text: {HALF}"),
        (b'{"id": 3, "m": [{"content": "\\udc00\\ud83d"}]}', f"line 2 (3): m[0].content: {HALF}"),
        (b'{"id": "x", "\\ud83d": 1}', f"line 2 ('x'): '\\ud83d': this key {HALF}"),
        (b'{"id": "\\udc00"}', f"line 2 ('\\udc00'): id: {HALF}"),
        (b'{"id": "x", "a": {"b": NaN}}', "line 2 ('x'): a.b: NaN is no number in JSON: leave it out, or quote it"),
        (b'{"id": "x", "a": -Infinity}', "line 2 ('x'): a: -Infinity is no number in JSON: leave it out, or quote it"),
        (b'{"id": "x", "a": 1e999}', "line 2 ('x'): a: 1e999 is too large a number: shorten it or quote it"),
        (b'{"id": "x", "a": [' + b"7" * 5000 + b"]}", "line 2 ('x'): a[0]: a number of 5,000 digits: shorten it or quote it"),
        (b'{"id": "x", "a": 1, "a": 2}', "line 2 ('x'): a: this key stands twice in one object: keep one"),
        (b'{"id": "x", "id": "y"}', "line 2: id: this key stands twice in one object: keep one"),
        (b"NaN", "line 2: NaN is no number in JSON: leave it out, or quote it"),
        (b"[" * 99_000, "line 2: nested deeper than 100: make it flatter"),
        (b'{"id": ' + b"[" * 101 + b"]" * 101 + b"}", "line 2: nested deeper than 100: make it flatter"),
        (b'{"id": "\xe9"}', "line 2: not UTF-8 (byte 9 of the line): save it as UTF-8"),
        (b'{"id": "a\x00b"}', "line 2, column 10: broken JSON (Invalid control character at)"),
        (b'{"id": 1} {"id": 2}', "line 2, column 11: broken JSON (Extra data)"),
        (b"\x00\x00", "line 2, column 1: broken JSON (Expecting value)"),
    ],
)
def test_a_line_that_cannot_be_taken_is_named_and_the_others_are_read(tmp_path, line, fault):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"id": "one"}\n' + line + b'\n{"id": "three"}')
    assert lines(path) == ([(1, {"id": "one"}), (3, {"id": "three"})], [f"{path}: {fault}"])


def test_what_only_looks_like_a_fault_is_read(tmp_path):
    value = {"text": "NaN", "pair": "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "nul": "a\x00b"}
    value |= {"big": 10**3999, "deep": json.loads("[" * 98 + "]" * 98), "sep": "a\u2028b"}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(value))
    assert lines(path) == ([(1, value)], [])
    path.write_text(json.dumps({"text": "\\ud83d is half a pair"}))
    assert lines(path) == ([(1, {"text": "\\ud83d is half a pair"})], [])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
                    lambda of: st.lists(of) | st.dictionaries(st.text(), of), max_leaves=8))  # fmt: skip
def test_json_is_read_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "a.json"
    path.write_text(json.dumps([value]))
    faults: list[str] = []
    assert read_json(path, faults) == [value]
    assert not faults


@given(st.binary(max_size=60))
def test_no_file_makes_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(content)
    for read in (lines, read_text, lambda of: read_object(of, "mend it")):
        said = refusal(read, path)
        assert said is None or (said.startswith(f"{path}: ") and "\n" not in said)


def test_files_that_cannot_be_read(tmp_path):
    path = tmp_path / "a"
    assert message(read_text, path) == f"{path}: cannot be read (No such file or directory): check the path"
    assert message(read_text, tmp_path) == f"{tmp_path}: cannot be read (Is a directory): check the path"
    assert message(read_text, "a\0b") == "a\0b: cannot be read (embedded null byte): check the path"
    path.write_bytes(b" \n")
    assert message(read_text, path) == f"{path}: is empty"
    path.write_bytes(gzip.compress(b'{"a": 1}' * 100, mtime=0)[:-12])
    assert message(lines, path).startswith(f"{path}: is broken gzip (")
    path.write_bytes('{"a": 1}\n'.encode("utf-16"))
    assert message(lines, path) == f"{path}: is UTF-16: save it as UTF-8"
    path.write_text('{"a": {"b": NaN}, "a": 1}')
    assert message(read_object, path, "mend it") == f"{path}: a: this key stands twice in one object: keep one: mend it"
    path.write_text("[1]")
    assert message(read_object, path, "mend it") == f"{path}: is not a JSON object: mend it"


def test_a_file_is_replaced_or_stays(tmp_path):
    path, link = tmp_path / "a", tmp_path / "link"
    write_text(path, "one")
    link.symlink_to("a")
    write_text(link, "two")
    assert (path.read_text(), link.is_symlink()) == ("two", True)
    with contextlib.suppress(ZeroDivisionError), replacing(path) as whole:
        whole.write_text("three")
        raise ZeroDivisionError
    assert path.read_text() == "two"
    assert sorted(of.name for of in tmp_path.iterdir()) == ["a", "link"]
    missing = tmp_path / "no" / "a"
    assert message(write_text, missing, "") == (
        f"{missing}: cannot be written (No such file or directory): name a file in a folder you may write to"
    )


def test_a_disk_without_room_is_named_whoever_says_so(tmp_path):
    def fails(error):
        with writing("a/b"):
            raise error

    assert message(fails, OSError(122, "Disk quota exceeded")) == (
        "a/b: the disk is full (Disk quota exceeded): make room and run the same command again"
    )
    library = ValueError("UNKNOWN: write failed [OS error 28: ENOSPC No space left on device]")
    assert (
        message(fails, library) == "a/b: the disk is full (No space left on device): make room and run the same command again"
    )
    with pytest.raises(ValueError, match="no such thing"):
        fails(ValueError("no such thing"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    write_bytes(tmp_path / "a", b"mine")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        said = message(write_bytes, tmp_path / "a", bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said == f"{tmp_path / 'a'}: the disk is full (File too large): make room and run the same command again"
    assert [of.name for of in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has a device that is always full")
def test_devices_pipes_and_open_files_are_written_to(tmp_path):
    assert message(write_text, "/dev/full", "x" * 10) == (
        "/dev/full: the disk is full (No space left on device): make room and run the same command again"
    )
    write_text("/dev/null", "gone")
    assert not os.path.isfile("/dev/null")
    code = "import sys; from remid_jax.files import write_text; [write_text(of, 'here\\n') for of in sys.argv[1:]]"
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as out:
        subprocess.run([sys.executable, "-c", code, "/dev/stdout", "/dev/fd/1"], stdout=out, check=True)
    assert log.read_text() == "before\nhere\nhere\n"
    os.mkfifo(tmp_path / "pipe")
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_text(tmp_path / "pipe", "through")
    assert reader.communicate()[0] == b"through"


def test_outputs_are_looked_at_before_there_is_anything_to_write(tmp_path):
    check_output(tmp_path / "new", "config.output")
    check_output("/dev/null", "config.output")
    assert list(tmp_path.iterdir()) == []
    assert message(check_output, tmp_path, "config.output") == f"config.output={tmp_path}: is a folder: name a file"
    assert message(check_output, tmp_path / "no" / "a", "config.output") == (
        f"config.output={tmp_path / 'no' / 'a'}: there is no folder {tmp_path / 'no'}: make it, or name a file in another"
    )
    assert "cannot be written" in message(check_output, "/proc/new", "config.output")
