"""One store, many processes; a store that cannot be used is told in one line, and what is in it stays."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from remid_jax.errors import UserError
from remid_jax.scoring import store as stores
from remid_jax.scoring.store import Store, key_of

ROWS = {key_of({"row": n}): bytes([n]) * 100 for n in range(50)}


def message(function, *arguments):
    with pytest.raises(UserError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_processes_that_open_a_new_store_at_once_all_read_the_same_rows(tmp_path):
    code = (
        "import json, sys; from pathlib import Path; from benchmarks.store_race import race;"
        "print(json.dumps(race(Path(sys.argv[1]), 8, 5)))"
    )  # in a process without JAX's threads, which a fork would leave behind
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert (found["failures"], found["rows_lost"], found["rows_unequal"]) == (0, 0, 0), found


def test_the_switch_to_writing_ahead_is_tried_again_while_another_has_the_file(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    other.execute(f"PRAGMA user_version={stores.SCHEMA}")
    other.execute("BEGIN")
    other.execute("SELECT * FROM entries").fetchall()  # whoever reads keeps the switch from happening, not from writing
    monkeypatch.setattr(stores, "SWITCHING", 0.1)
    found = Store(path)
    other.execute("COMMIT")
    found.put(ROWS)
    assert found.get(ROWS) == ROWS
    assert found._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert Store(path)._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert found.get(ROWS) == ROWS


def test_without_shared_memory_another_journal_is_used(tmp_path, monkeypatch):
    class Refusing(sqlite3.Connection):
        def execute(self, statement, *more):
            if statement == "PRAGMA journal_mode=WAL":
                raise sqlite3.OperationalError("unable to open database file")
            return super().execute(statement, *more)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *of, **more: connect(*of, factory=Refusing, **more))
    found = Store(tmp_path / "store.sqlite")
    found.put(ROWS)
    assert found.get(ROWS) == ROWS
    assert found._db.execute("PRAGMA journal_mode").fetchone() == ("truncate",)
    assert found._db.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_lock_is_waited_for_and_told_when_it_does_not_end(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    Store(path).put(ROWS)
    monkeypatch.setattr(stores, "PATIENCE", 0.1)
    waiting = Store(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    said = f"{path}: is in use by another process (database is locked): let that finish, or name another --workdir or store"
    assert message(waiting.put, ROWS) == said
    assert waiting.get(ROWS) == Store(path).get(ROWS) == ROWS  # whoever reads need not wait
    other.execute("COMMIT")
    waiting.put({b"k": b"v"})
    assert waiting.get([b"k"]) == {b"k": b"v"}


def test_what_cannot_be_used_is_told_in_one_line(tmp_path):
    folder, text, other = tmp_path / "folder", tmp_path / "text", tmp_path / "other"
    folder.mkdir()
    text.write_text("no database at all, but a text of some length" * 100)
    with sqlite3.connect(other) as foreign:
        foreign.execute("CREATE TABLE entries (key, value)")
        foreign.execute("PRAGMA user_version=99")
    name = "name another --workdir or store"
    assert message(Store, folder) == f"{folder}: cannot be opened (it is a folder): {name}"
    assert message(Store, tmp_path / "no" / "store") == (
        f"{tmp_path / 'no' / 'store'}: cannot be opened (no folder {tmp_path / 'no'}): {name}"
    )
    assert message(Store, text) == (
        f"{text}: is no score store, or a damaged one (file is not a database): {name}, or move this file away"
    )
    before = other.read_bytes()
    assert message(Store, other) == f"{other}: a score store of schema 99, this program writes schema 1: {name}"
    assert other.read_bytes() == before
    assert text.read_text().startswith("no database")


def test_a_full_disk_is_told_and_what_was_stored_stays(tmp_path):
    path = tmp_path / "store.sqlite"
    store = Store(path)
    store.put(ROWS)
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count={pages + 2}")
    many = {key_of({"more": n}): bytes(5000) for n in range(20)}
    assert message(store.put, many) == (
        f"{path}: the disk is full (database or disk is full): make room and run the same command again"
    )
    assert store.get([*ROWS, *many]) == ROWS
    store._db.execute("PRAGMA max_page_count=100000")
    store.put(many)
    assert Store(path).get([*ROWS, *many]) == {**ROWS, **many}


def test_a_writer_writes_all_in_order_also_after_an_error(tmp_path):
    store = Store(tmp_path / "store.sqlite")
    with store.writer() as put:
        for n, (key, value) in enumerate(ROWS.items()):
            put({key: value, b"last": b"%d" % n})
        put.flush()
        assert store.get([*ROWS, b"last"]) == {**ROWS, b"last": b"49"}
    with contextlib.suppress(KeyError), store.writer() as put:
        put({b"a": b"1"})
        put({b"b": b"2"})
        raise KeyError
    assert Store(tmp_path / "store.sqlite").get([b"a", b"b"]) == {b"a": b"1", b"b": b"2"}


def test_an_error_of_the_writer_reaches_whoever_puts(tmp_path):
    path = tmp_path / "store.sqlite"
    store = Store(path)
    store._db.execute("PRAGMA max_page_count=2")
    said = f"{path}: the disk is full (database or disk is full): make room and run the same command again"

    def once():
        with store.writer() as put:
            put({b"k": bytes(50_000)})

    def often():
        with store.writer() as put:
            for n in range(1000):
                put({b"%d" % n: bytes(50_000)})
            raise AssertionError("a put should have failed")

    assert message(once) == said
    assert message(often) == said


def test_a_process_that_ends_at_once_writes_what_waits(tmp_path, monkeypatch):
    store, slow = Store(tmp_path / "store.sqlite"), threading.Event()
    insert = store._insert
    monkeypatch.setattr(store, "_insert", lambda entries: slow.wait(0.05) or insert(entries))
    with store.writer() as put:
        for key, value in list(ROWS.items())[:5]:
            put({key: value})
        stores.finish_writing()
        assert len(Store(tmp_path / "store.sqlite").get(ROWS)) == 5


def test_no_store_is_left_half_made(tmp_path):
    """A process killed inside the creation leaves a file that the next one makes whole."""
    path = tmp_path / "store.sqlite"
    half = sqlite3.connect(path, isolation_level=None)
    half.execute("BEGIN IMMEDIATE")
    half.execute("CREATE TABLE entries (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")
    half.close()
    Store(path).put(ROWS)
    assert Store(path).get(ROWS) == ROWS
