"""An index loses nothing that was entered, wherever its writer is cut off, and its file is not written anew for each point."""

import errno
import json
import os

import pytest
from fake_tasks import Tasks, number, plan_of
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.sweeps import index as index_module
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.journal import Journal
from remid_jax.sweeps.pace import Pace
from remid_jax.sweeps.plan import Done, Failure

ENTRIES = st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), max_size=5)


def plan(count=3):
    return plan_of([number(f"p{n}", n) for n in range(count)], Tasks())


def done(plan, name, value=1.5):
    return Done(plan.identities[name], None, 0.1, {"value": value})


@given(ENTRIES, st.data())
def test_a_journal_that_is_cut_anywhere_has_what_was_whole_and_goes_on(tmp_path_factory, entries, data):
    path = tmp_path_factory.mktemp("journal") / "lines"
    writer = Journal(path)
    for entry in entries:
        writer.add(entry)
    content = path.read_bytes() if entries else b""
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    reader = Journal(path)
    whole = entries[: content[:cut].count(b"\n")]
    assert reader.entries() == whole
    reader.add({"more": "\u2028 \r é"})
    assert Journal(path).entries() == [*whole, {"more": "\u2028 \r é"}]


def test_a_broken_line_within_a_journal_is_refused(tmp_path):
    (tmp_path / "lines").write_text('{"name": "a"}\n{"na\n{}\n')
    with pytest.raises(UserError) as refusal:
        Journal(tmp_path / "lines").entries()
    assert str(refusal.value).startswith(f"{tmp_path / 'lines'}: line 2, column 2: broken JSON")
    assert str(refusal.value).endswith("mend it, or delete this file to run its points again")


def test_a_full_disk_leaves_a_journal_as_it_was(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "lines")
    journal.add({"first": 1})
    before = (tmp_path / "lines").read_bytes()

    def full(number):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(UserError) as refusal:
            journal.add({"second": 2})
    assert str(refusal.value).startswith(f"{tmp_path / 'lines'}: the disk is full")
    assert (tmp_path / "lines").read_bytes() == before
    journal.add({"third": 3})
    assert Journal(tmp_path / "lines").entries() == [{"first": 1}, {"third": 3}]


def test_work_at_a_pace_takes_its_share_of_the_time():
    clock, done_at = [0.0], []

    def work():
        done_at.append(clock[0])
        clock[0] += 2

    pace = Pace(share=0.1, clock=lambda: clock[0])
    for _ in range(100):
        pace(work)
        clock[0] += 1
    assert done_at[:3] == [0, 20, 40]  # two seconds of twenty
    assert clock[0] == 100 + 2 * len(done_at)


def test_what_was_entered_is_there_though_the_file_was_not_written(tmp_path, monkeypatch):
    path, sweep = tmp_path / "index.json", plan()
    index = Index(path, sweep)
    index.add("p0", done(sweep, "p0"))
    assert json.loads(path.read_text())["points"].keys() == {"p0"}  # the first entry comes in time
    monkeypatch.setattr(index, "_pace", lambda work: False)
    index.add("p2", done(sweep, "p2"))
    index.add("p1", Failure(sweep.identities["p1"].key, "no luck", "log.txt"))
    assert json.loads(path.read_text())["points"].keys() == {"p0"}

    again = Index(path, sweep)  # as after a SIGKILL
    assert [name in again for name in ("p0", "p1", "p2")] == [True, False, True]
    assert again.failures == {"p1": Failure(sweep.identities["p1"].key, "no luck", "log.txt")}
    again.save()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["index.json"]
    content = json.loads(path.read_text())
    assert list(content) == ["schema_version", "points", "failed"]
    assert list(content["points"]) == ["p0", "p2"]
    assert content["failed"]["p1"] == {"key": sweep.identities["p1"].key, "error": "no luck", "log": "log.txt"}
    before = path.read_bytes()
    Index(path, sweep).save()
    assert path.read_bytes() == before

    again.add("p1", done(sweep, "p1"))
    assert again.failures == {}
    again.save()
    assert list(json.loads(path.read_text())) == ["schema_version", "points"]


def test_the_file_is_not_written_for_every_point(tmp_path, monkeypatch):
    sweep, written = plan(200), []
    write = index_module.write_text
    monkeypatch.setattr(index_module, "write_text", lambda path, text: (written.append(len(text)), write(path, text)))
    clock = [0.0]
    index = Index(tmp_path / "index.json", sweep)
    monkeypatch.setattr(index, "_pace", Pace(clock=lambda: clock.append(clock[-1] + 0.01) or clock[-1]))
    for point in sweep.points:
        index.add(point.name, done(sweep, point.name))
    index.save()
    assert len(written) < 20
    assert len(Index(tmp_path / "index.json", sweep)._all.done) == 200


def test_a_point_that_failed_with_other_settings_has_another_chance(tmp_path):
    index = Index(tmp_path / "index.json", plan())
    index.add("p1", Failure("another", "no luck", "log.txt"))
    assert index.failures == {}


def test_indexes_beside_it_are_read_and_not_written(tmp_path):
    sweep = plan()
    whole = Index(tmp_path / "index.json", sweep)
    whole.add("p0", done(sweep, "p0"))
    whole.save()
    shard = Index(tmp_path / "shard.json", sweep, [tmp_path / "index.json"])
    assert "p0" in shard
    shard.add("p1", done(sweep, "p1"))
    shard.save()
    assert json.loads((tmp_path / "shard.json").read_text())["points"].keys() == {"p1"}
    assert json.loads((tmp_path / "index.json").read_text())["points"].keys() == {"p0"}
