"""A worker that shares no folder with the keeper fetches what a point needs and sends what others need; here without Ray."""

import io
import tarfile
import threading

import pytest
from counted_tasks import plan_of, runs, sweep_of

from remid_jax.sweeps.cluster.folders import packed, unpack
from remid_jax.sweeps.cluster.keeper import Keeper
from remid_jax.sweeps.cluster.worker import Home, Worker
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.locks import EVERY, is_claimed, keeping
from remid_jax.sweeps.plan import Done, Failure


@pytest.fixture
def sweep(tmp_path):
    return sweep_of(tmp_path / "counts", fails=True)


@pytest.fixture
def keeper(sweep, tmp_path):
    return Keeper(plan_of(sweep), str(tmp_path / "index.json"), [], str(tmp_path / "home"))


@pytest.fixture
def start(sweep, keeper, tmp_path):
    """Makes the worker of a node; "home" is the keeper's. The methods of the keeper that workers call are listed."""

    def start(node):
        def call(method, *given):
            start.called.append(method)
            return getattr(keeper, method)(*given)

        home = Home("home", str(tmp_path / "home"), str(tmp_path))
        return Worker(plan_of(sweep), call, lambda method, *given: getattr(keeper, method)(*given), home, node, str(tmp_path))

    start.called = []
    return start


def test_a_point_runs_where_nothing_is_and_its_files_come_home(start, keeper, sweep, tmp_path):
    result, work = start("node1").run("draw1")
    assert isinstance(result, Done)
    assert work == {"rows_computed": 1, "rows_from_store": 0}
    result, _ = start("node2").run("once/1-0.7")  # its need was computed on another node
    assert result.summary["value"] == 0.7 * 0.25
    names = sorted(str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*") if path.is_file())
    assert names == ["draw1/log.txt", "draw1/point.json", "draw1/point.lock", "draw1/value.json",
                     "once/1-0.7/log.txt", "once/1-0.7/point.json", "once/1-0.7/point.lock", "once/1-0.7/value.json",
                     "store.sqlite", "store.sqlite-shm", "store.sqlite-wal"]  # fmt: skip
    assert keeper.heard() == [("draw1", "at work on draw1"), ("once/1-0.7", "at work on once-1-0.7")]
    assert keeper.heard() == []
    keeper.save()
    index = Index(tmp_path / "index.json", plan_of(sweep))
    assert ("draw1" in index, "once/1-0.7" in index, "draw2" in index) == (True, True, False)
    assert not list(tmp_path.glob("remid_jax-sweep-*-node*/store.sqlite"))


def test_rows_that_one_node_computed_come_from_the_store_on_another(start, tmp_path):
    start("node1").run("draw1")
    again = Worker.run  # the same point on a node that does not know that it is done
    assert again(start("node2"), "draw1")[1] == {"rows_computed": 0, "rows_from_store": 1}
    assert runs(tmp_path / "counts") == {"draw1": 2}


def test_a_worker_at_home_sends_nothing(start, tmp_path):
    start("home").run("draw1")
    assert set(start.called) == {"get", "put", "enter"}
    assert (tmp_path / "home" / "draw1" / "value.json").is_file()
    assert start("node1").run("once/1-0.1")[0].summary["value"] == 0.1 * 0.25


def test_a_point_that_fails_elsewhere_leaves_its_log_at_home(start, tmp_path):
    result, _ = start("node1").run("draw0")
    assert isinstance(result, Failure)
    assert result.log == str(tmp_path / "home" / "draw0" / "log.txt")
    assert "ValueError" in (tmp_path / "home" / "draw0" / "log.txt").read_text()
    assert not (tmp_path / "home" / "draw0" / "point.json").exists()


def test_a_point_is_done_when_the_keeper_has_its_result_and_its_files(start, keeper, tmp_path):
    assert keeper.done("draw1") is None
    result, _ = start("node1").run("draw1")
    assert keeper.done("draw1") == result
    (tmp_path / "home" / "draw1" / "point.json").unlink()
    assert keeper.done("draw1") is None


def test_a_second_keeper_of_an_index_waits_for_the_first_to_end(sweep, tmp_path):
    home, second = tmp_path / "home", []
    home.mkdir()

    def start():
        second.append(Keeper(plan_of(sweep), str(tmp_path / "index.json"), [], str(home)))

    thread = threading.Thread(target=start)
    with keeping(tmp_path / "index.json"):
        thread.start()
        thread.join(3 * EVERY)
        assert not second
    thread.join()
    assert [keeper.heard() for keeper in second] == [[]]


def test_a_point_that_another_node_computes_is_held_at_home(keeper, tmp_path):
    keeper.begin("draw1")
    assert is_claimed(tmp_path / "home" / "draw1")
    keeper.let_go("draw1")
    assert not is_claimed(tmp_path / "home" / "draw1")


def test_folders_come_as_they_were_without_what_only_their_node_needs(tmp_path):
    folder = tmp_path / "point"
    for name in ("adapter/weights", "pair/checkpoints/5/state", "store.sqlite", "point.lock", "point.json", "a.part"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    content = packed(folder)
    unpack(content, tmp_path / "other")
    unpack(content, tmp_path / "other")
    contents = {
        str(path.relative_to(tmp_path / "other")): path.read_bytes()
        for path in (tmp_path / "other").rglob("*")
        if path.is_file()
    }
    assert contents == {"adapter/weights": b"adapter/weights", "point.json": b"point.json"}
    with tarfile.open(fileobj=io.BytesIO(packed(folder, lambda name: name == "weights"))) as archive:
        assert archive.getnames() == ["adapter/weights"]
