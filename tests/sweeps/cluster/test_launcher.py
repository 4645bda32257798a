"""Points on Ray: the tables are those of one process; lost workers and nodes cost the points that they had and no other."""

import os
import signal
import threading
import time

import counted_tasks
import pytest
import ray
from counted_tasks import POINTS, plan_of, runs, sweep_of
from ray.cluster_utils import Cluster
from scripts import change

from remid_jax.errors import UserError
from remid_jax.progress import Silent
from remid_jax.sweeps.cluster import connection, launcher
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Surroundings
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.settings import default_settings
from remid_jax.sweeps.tables import page

ray.cloudpickle.register_pickle_by_value(counted_tasks)  # workers have no tests/


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two nodes of one CPU each, which a sweep takes for two machines; the second may be lost and replaced."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    yield nodes
    nodes.shutdown()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The page of a run in one process."""
    folder = tmp_path_factory.mktemp("serial")
    sweep = sweep_of(folder / "counts")
    plan = plan_of(sweep)
    index = Index(folder / "index.json", plan)
    run_serially(plan, index, chosen(plan.points, ()), folder / "runs", Surroundings())
    return page(sweep, index)


class Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def launch(folder, sweep, settings, said=None):
    config, plan = default_settings(), plan_of(sweep)
    change(config, {"launcher": "ray", **settings})
    index = Index(folder / "index.json", plan)
    with connection.connected(config):
        outcome = launcher.run_on_ray(
            plan, index, chosen(plan.points, ()), folder / "runs", Surroundings(said or Said()), config
        )
    return index, outcome


def test_two_workers_on_this_machine_give_the_tables_of_one_process_though_two_are_lost(tmp_path, expected, monkeypatch):
    class Dying(launcher.Node):
        """Dies when the keeper has a result of which the launcher has not heard."""

        def run(self, name):
            result = super().run(name)
            if name == "once/1-0.7":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

    monkeypatch.setattr(launcher, "Node", Dying)
    sweep, said = sweep_of(tmp_path / "counts", dies="once"), Said()
    index, outcome = launch(tmp_path, sweep, {"workers": 2}, said)
    assert len(outcome.run) == POINTS
    assert page(sweep, index) == expected
    assert outcome.failed == {}
    assert runs(tmp_path / "counts") == {point.name.replace("/", "-"): 1 + (point.name == "draw0") for point in sweep.points}
    assert [line for line in said.lines if "lost" in line] == ["draw0: its worker was lost; try 2 of 3"]
    assert outcome.work == {"rows_computed": 4, "rows_from_store": 0}
    assert "draw1: at work on draw1" in said.lines
    assert sum(line.startswith(f"point {POINTS} of {POINTS}: ") for line in said.lines) >= 1
    assert (tmp_path / "index.json").is_file()
    assert not (tmp_path / "index.json.journal").exists()


def test_two_nodes_with_folders_of_their_own_give_them_too(tmp_path, cluster, expected):
    sweep, nodes = sweep_of(tmp_path / "counts", meets=True), tmp_path / "nodes"
    nodes.mkdir()
    index, outcome = launch(tmp_path, sweep, {"address": cluster.address, "folder": str(nodes)})
    assert len(outcome.run) == POINTS
    assert page(sweep, index) == expected
    assert set(runs(tmp_path / "counts").values()) == {1}
    [folder] = nodes.iterdir()  # of the node that is not the driver's
    computed = {path.parent.relative_to(folder) for path in folder.rglob("value.json")}
    assert 0 < len(computed) < POINTS
    for name in computed:
        assert (folder / name / "value.json").read_bytes() == (tmp_path / "runs" / name / "value.json").read_bytes()


def test_a_lost_node_costs_its_points_and_one_that_loses_every_worker_has_failed(tmp_path, cluster, expected):
    sweep = sweep_of(tmp_path / "counts", seconds=0.05, dies="always")
    node = cluster.list_all_nodes()[-1]

    def lose():
        while len(runs(tmp_path / "counts")) < POINTS // 2:
            time.sleep(0.01)
        os.kill(node.all_processes["raylet"][0].process.pid, signal.SIGKILL)

    loser = threading.Thread(target=lose)
    loser.start()
    index, outcome = launch(tmp_path, sweep, {"address": cluster.address, "folder": str(tmp_path), "retries": 1})
    loser.join()
    cluster.remove_node(node)
    assert list(outcome.failed) == ["draw0"] == list(index.failures)
    assert outcome.failed["draw0"].error.startswith("lost 2 workers: The actor ")
    assert len(outcome.waiting) == 5
    rows = page(sweep, index).splitlines()
    assert [row for row in rows if row.startswith(("| 1-", "| 2-", "| 3-"))] == [
        row for row in expected.splitlines() if row.startswith(("| 1-", "| 2-", "| 3-"))
    ]
    assert "| 0-0.1 | not run |" in "\n".join(rows)
    counts = runs(tmp_path / "counts")
    assert counts.pop("draw0") == 2
    assert len(counts) == POINTS - 6
    assert sum(counts.values()) <= POINTS - 6 + 1  # the node had one worker


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"address": "127.0.0.1:9"}, "config.address='127.0.0.1:9': nobody answers (Connection refused): start a head there "
         "with `ray start --head`, or leave the address out to use this machine alone"),
        ({"address": "somewhere"}, "config.address='somewhere': write it as auto, or HOST:PORT of the head of the cluster, "
         "from one of its nodes"),
    ],
)  # fmt: skip
def test_an_address_where_nobody_answers_is_refused(settings, line):
    config = default_settings()
    change(config, settings)
    with pytest.raises(UserError) as refusal, connection.connected(config):
        pass
    assert str(refusal.value) == line


def test_room_is_counted_by_what_is_scarcest():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8, "GPU": 2, "memory": 64 * connection.GIB}},
        {"Alive": True, "Resources": {"CPU": 3, "GPU": 4, "memory": 64 * connection.GIB}},
        {"Alive": False, "Resources": {"CPU": 99, "GPU": 99, "memory": 64 * connection.GIB}},
        {"Alive": True, "Resources": {"CPU": 99}},
    ]
    config = default_settings()
    change(config, {"point.cpus": 2, "point.gpus": 1, "point.memory": 20.0, "point.resources": ()})
    wanted = connection.requirements(config)
    assert wanted == {"CPU": 2, "GPU": 1, "memory": 20 * connection.GIB}
    assert connection.room(nodes, wanted) == 2 + 1
    assert connection.unasked(nodes, wanted) == ""
    assert connection.unasked(nodes, {"CPU": 1}) == "6 GPU"
    change(config, {"point.resources": (("TPU", 4),)})
    assert connection.room(nodes, connection.requirements(config)) == 0


@pytest.mark.parametrize("given", [("TPU", 4), (("TPU", -4),), ((4, "TPU"),), (("TPU", 4, 5),)])
def test_resources_that_are_no_pairs_are_refused(given):
    config = default_settings()
    config.point.resources = given
    with pytest.raises(UserError) as refusal:
        connection.requirements(config)
    assert str(refusal.value) == f"config.point.resources={given!r}: must be names with amounts, such as (('TPU', 4),)"
