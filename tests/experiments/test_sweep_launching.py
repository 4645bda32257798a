"""`experiments.sweep` on points that take no time: what it lists, shares out, joins, and says of what went wrong."""

import importlib

import counted_tasks
import pytest
from counted_tasks import POINTS, runs, sweep_of
from scripts import load

from remid_jax.sweeps.index import Index
from remid_jax.sweeps.layouts import Sweep
from remid_jax.sweeps.locks import sweeping
from remid_jax.sweeps.plan import Done, planned
from remid_jax.sweeps.points import Point
from remid_jax.sweeps.tasks import TASKS, VERSIONS

SWEEP = {"script": "sweep", "config": "sweeps.quickstart"}


@pytest.fixture
def numbers(tmp_path, monkeypatch):
    """Changes that make the quickstart the sweep of tests/sweeps/counted_tasks.py, with more settings of its first draw."""
    monkeypatch.setattr(importlib.import_module("experiments.sweep"), "TASKS", counted_tasks.TASKS)

    def numbers(**of_first):
        return {
            "sweep": lambda config: sweep_of(tmp_path / "counts", **of_first),
            "output": str(tmp_path / "numbers.json"), "page": str(tmp_path / "numbers.md"),
        }  # fmt: skip

    return numbers


def test_points_are_listed_and_none_is_run(call, numbers, tmp_path, capsys):
    call(changes=numbers() | {"list": True}, **SWEEP)
    assert "24 points: 4 ready, 20 waiting" in capsys.readouterr().out
    call(changes=numbers() | {"dry_run": True}, **SWEEP)
    assert "tokens to sample" in capsys.readouterr().out
    assert (runs(tmp_path / "counts"), (tmp_path / "numbers.json").exists()) == ({}, False)
    call(changes=numbers(), **SWEEP)
    capsys.readouterr()
    call(changes=numbers() | {"list": True, "only": ("draw*",)}, **SWEEP)
    assert "4 points: 4 done" in capsys.readouterr().out


def test_three_shards_merged_give_the_page_of_one_process_and_run_each_point_once(call, numbers, tmp_path, capsys):
    for number in (1, 2, 3):
        call(changes=numbers() | {"shard": f"{number}/3"}, **SWEEP)
    assert not (tmp_path / "numbers.md").exists()
    assert set(runs(tmp_path / "counts").values()) == {1}
    call(changes=numbers() | {"merge": True}, **SWEEP)
    assert "3 shards joined in" in capsys.readouterr().err
    joined = (tmp_path / "numbers.md").read_text()
    (tmp_path / "numbers.json").unlink()
    call(changes=numbers(), workdir="anew", **SWEEP)
    assert (tmp_path / "numbers.md").read_text() == joined
    assert set(runs(tmp_path / "counts").values()) == {2}


def test_what_failed_is_said_at_the_end_and_run_again_when_asked(call, refused, numbers, tmp_path, capsys):
    changes = numbers(fails=True)
    message = refused(changes=changes, **SWEEP)
    assert message == (
        f"1 of {POINTS} points failed: draw0: mend what their lines above say, then run the same command with "
        "--config.retry_failed=True"
    )
    log = tmp_path / "work" / "draw0" / "log.txt"
    said = capsys.readouterr().err
    assert f"failed: draw0: ValueError: no such luck (log: {log}); 5 points wait for it\n" in said
    assert "3 rows computed, 0 from the store\n" in said
    assert refused(changes=changes, **SWEEP).startswith("1 of 6 points failed: draw0")
    (tmp_path / "counts" / "mended").touch()
    call(changes=changes | {"retry_failed": True}, **SWEEP)
    assert load(tmp_path / "numbers.json").keys() == {"schema_version", "points"}


def test_two_processes_do_not_run_one_sweep_and_what_a_killed_one_left_is_removed(call, refused, numbers, tmp_path):
    (tmp_path / ".numbers.json.abc.part").write_text("half")
    call(changes=numbers() | {"shard": "1/1"}, **SWEEP)
    with sweeping(tmp_path / "numbers.json"):
        for changes in ({}, {"merge": True}):
            assert refused(changes=numbers() | changes, **SWEEP) == (
                f"{tmp_path / 'numbers.json.lock'}: another process runs or merges the sweep of {tmp_path / 'numbers.json'}: "
                "let it end, or stop it"
            )
    call(changes=numbers(), **SWEEP)
    assert not list(tmp_path.glob(".*.part"))


def test_tables_beside_a_run_leave_what_it_has_entered_where_it_is(call, numbers, tmp_path):
    plan = planned(sweep_of(tmp_path / "counts").points, counted_tasks.TASKS, VERSIONS)
    index = Index(tmp_path / "numbers.json", plan)
    for name in ("draw0", "draw1"):  # the second stands in the journal alone
        index.add(name, Done(plan.identities[name], None, 0.1, {"value": 1.5, "half": {"value": 0.75}}))
    call(changes=numbers() | {"only_tables": True}, **SWEEP)
    index.add("draw2", Done(plan.identities["draw2"], None, 0.1, {"value": 2.5, "half": {"value": 1.25}}))
    again = Index(tmp_path / "numbers.json", plan)
    assert [name in again for name in ("draw0", "draw1", "draw2", "draw3")] == [True, True, True, False]


def test_what_another_process_entered_before_it_let_go_is_not_lost(call, numbers, tmp_path, monkeypatch):
    with monkeypatch.context() as first:

        def after_another(output):
            first.undo()
            call(changes=numbers() | {"only": ("draw*",)}, workdir="other", **SWEEP)
            return sweeping(output)

        script = importlib.import_module("experiments.sweep")
        first.setattr(script, "TASKS", counted_tasks.TASKS)
        first.setattr(script.locks, "sweeping", after_another)
        call(changes=numbers() | {"only": ("once/3*",)}, **SWEEP)
    assert set(load(tmp_path / "numbers.json")["points"]) == {
        *(f"draw{seed}" for seed in range(4)), *(f"once/3-{factor}" for factor in counted_tasks.FACTORS)
    }  # fmt: skip


def points(*given):
    """The function of a sweep that has these points: name, task, needs."""
    return lambda config: Sweep("", "", [Point(name, task, {}, needs) for name, task, needs in given], [])


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"launcher": "slurm"}, "config.launcher='slurm': choose one of serial, ray"),
        ({"hosts": 2}, "config.hosts=2: two or more hosts run a point together with --config.launcher=ray alone"),
        ({"hosts": 1, "launcher": "ray"}, "config.hosts=1: two or more hosts run a point together with "),
        ({"launcher": "ray", "address": "127.0.0.1:9"}, "config.address='127.0.0.1:9': nobody answers (Connection refused): "),
        ({"shard": "4/3"}, "config.shard='4/3': write it as 2/3, the second of three, counted from 1"),
        ({"merge": True}, "config.merge: there is no "),
        ({"sweep": points(("a", "draw", ("b",)), ("b", "draw", ("a",)))}, "points need one another in a circle: a -> b -> a: "),
        ({"sweep": points(("a", "draw", ()), ("a", "draw", ()))}, "2 points are named a: give each a name of its own"),
        ({"sweep": points(("a", "drew", ()))}, "point a: unknown task 'drew': choose one of draw, times"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(refused, numbers, tmp_path, changes, line):
    message = refused(changes=numbers() | changes, **SWEEP)
    assert message.startswith(line)
    assert "\n" not in message
    assert not (tmp_path / "work" / "draw0").exists()


def test_the_quickstart_has_24_points_of_known_tasks():
    config = importlib.import_module("configs.sweeps.quickstart").get_config()
    sweep = config.sweep(config)
    assert len(sweep.points) == 24
    assert {point.task for point in sweep.points} == {"degrade", "evaluate"} <= set(TASKS)


def test_a_model_that_the_quickstart_does_not_know_is_refused(refused, tmp_path):
    changes = {"models": ("bas",), "output": str(tmp_path / "numbers.json"), "page": str(tmp_path / "numbers.md")}
    assert refused(changes=changes, **SWEEP) == "config.models: 'bas': choose some of base, shipped"
