"""A point that two processes run together has the result of one; whoever of them is lost or fails does not end the sweep."""

import hosts_tasks
import jax
import numpy as np
import ray
from hosts_tasks import plan_of
from scripts import change
from tiny import REQUESTS, assert_equal, reference

from remid_jax.progress import Silent
from remid_jax.sweeps.cluster import actors, connection, launcher
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Surroundings
from remid_jax.sweeps.settings import default_settings

for module in (hosts_tasks, actors):  # workers have no tests/, nor what a test has changed
    ray.cloudpickle.register_pickle_by_value(module)


class Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_two_hosts_give_the_result_of_one_though_one_is_lost_and_one_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(actors, "PATIENCE", 2.0)
    plan, said, config = plan_of(tmp_path), Said(), default_settings()
    names = [point.name for point in plan.points]
    change(config, {"launcher": "ray", "hosts": 2, "folder": str(tmp_path / "hosts")})
    index = Index(tmp_path / "index.json", plan)
    with connection.connected(config):
        outcome = launcher.run_on_ray(plan, index, names, tmp_path / "runs", Surroundings(said), config)

    alone = Index(tmp_path / "alone.json", plan)
    run_serially(plan, alone, ["scores", "total"], tmp_path / "alone", Surroundings())
    two, one = index.summary("scores"), alone.summary("scores")
    assert (two["hosts"], one["hosts"]) == (2, 1)
    assert_equal(two["scores"], [[reference(request, text) for text in request.continuations] for request in REQUESTS])
    assert_equal(two["scores"], one["scores"], 1e-5)
    assert two["samples"] == one["samples"]
    assert two["rows_computed"] > 0

    assert "scores: its worker was lost; try 2 of 3" in said.lines  # the second host was killed
    assert said.lines.count("scores: scored by 2 hosts") == 1
    assert index.summary("again") == two | {"rows_computed": 0}  # both hosts have heard of what the keeper's store has
    assert outcome.failed["luckless"].error == "ValueError: host 1 of 2 is out of luck"
    np.testing.assert_allclose(index.summary("total")["sums"], alone.summary("total")["sums"] * 2, rtol=1e-6)
    assert outcome.run == ["scores", "again", "total"]
    assert jax.process_count() == 1
