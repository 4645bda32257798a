"""A sweep runs what is not done, once; goes on when killed; and refuses what was done otherwise, saying what differs."""

import json

import pytest
from fake_tasks import Tasks, add, number, plan_of, sweep

from remid_jax.errors import UserError
from remid_jax.progress import Silent
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Surroundings
from remid_jax.sweeps.points import Point, chosen, output
from remid_jax.sweeps.tasks import TASKS


@pytest.fixture
def tasks():
    return Tasks()


@pytest.fixture
def launch(tmp_path, tasks):
    """Runs points, and returns the index and the names of those that were run."""

    def launch(points=None, only=(), workdir="runs", versions=None):
        plan = plan_of(points or sweep(), tasks, versions or {"kernel": 1})
        index = Index(tmp_path / "index.json", plan)
        outcome = run_serially(plan, index, chosen(plan.points, only), tmp_path / workdir, Surroundings())
        return index, outcome.run

    return launch


def refused(launch, **arguments):
    with pytest.raises(UserError) as refusal:
        launch(**arguments)
    return str(refusal.value)


def test_every_point_is_run_once_and_its_numbers_kept(launch, tasks, tmp_path):
    index, run = launch()
    assert run == ["one", "sums/ten", "sums/twenty", "alone"]
    assert [index.summary(name)["value"] for name in run] == [1, 11, 21, 7]
    assert tasks.runs == ["one", "ten", "twenty", "alone"]
    entry = json.loads((tmp_path / "index.json").read_text())["points"]["sums/ten"]
    assert entry["summary"] == {"value": 11, "of": {"a": {"half": 5.5}}}
    assert entry["identity"]["settings"] == {"more": 10}
    assert entry["identity"]["paths"] == {"file": "point:one/value.json"}
    assert entry["hours"] < 1

    before = (tmp_path / "index.json").read_text()
    assert launch()[1] == launch(workdir="elsewhere")[1] == []  # wherever it was computed
    assert (tmp_path / "index.json").read_text() == before


def test_a_killed_sweep_goes_on_where_it_stopped(launch, tasks):
    tasks.killed_in = "twenty"
    with pytest.raises(KeyboardInterrupt):
        launch()
    tasks.killed_in = ""
    assert launch()[1] == ["sums/twenty", "alone"]
    assert tasks.runs == ["one", "ten", "twenty", "alone"]


def test_what_is_done_in_the_workdir_needs_no_second_run_when_the_index_is_lost(launch, tasks, tmp_path):
    index, _ = launch()
    (tmp_path / "index.json").unlink()
    again, run = launch()
    assert run == ["one", "sums/ten", "sums/twenty", "alone"]
    assert len(tasks.runs) == 4
    assert [again.summary(name) for name in run] == [index.summary(name) for name in run]


def test_files_of_a_point_done_elsewhere_are_made_again_and_its_numbers_kept(launch, tasks, tmp_path):
    launch(only=("sums/ten",))
    before = json.loads((tmp_path / "index.json").read_text())["points"]["one"]
    assert launch(only=("sums/*",), workdir="elsewhere")[1] == ["one", "sums/twenty"]
    assert tasks.runs == ["one", "ten", "one", "twenty"]
    assert json.loads((tmp_path / "index.json").read_text())["points"]["one"] == before


def test_points_that_are_needed_are_run_for_those_that_need_them_only(launch):
    points = [*sweep(), number("aside"), add("end", "aside", 1)]
    assert launch(points, only=("alone",))[1] == ["alone"]
    assert launch(points, only=("aside",))[1] == ["aside"]
    assert launch(points)[1] == ["one", "sums/ten", "sums/twenty", "end"]


@pytest.mark.parametrize(
    ("points", "line"),
    [
        (sweep(value=2), "one differs in value (1 -> 2)"),  # and so do those that need it
        (sweep(more=11), "sums/ten differs in more (10 -> 11)"),
        (
            [number("one", new=2), *sweep()[1:3], number("alone", 7, new=2)],
            "one and 1 more differ in new (not set -> 2)",
        ),
        ([*sweep()[:3], number("alone", 8, new="x")], "alone differs in new (not set -> 'x'), value (7 -> 8)"),
    ],
)
def test_a_point_done_otherwise_is_refused_with_what_differs(launch, tasks, tmp_path, points, line):
    launch()
    before = (tmp_path / "index.json").read_text()
    assert refused(launch, points=points) == (
        f"{tmp_path / 'index.json'}: holds points that this config asks for otherwise: {line}: use the config they were "
        "computed with, name another config.output, or delete them from the file"
    )
    assert (tmp_path / "index.json").read_text() == before
    assert len(tasks.runs) == 4


def test_another_kernel_is_refused_and_other_devices_are_not(launch):
    launch()
    said = refused(launch, versions={"kernel": 2})
    assert "one and 1 more differ in the version of the kernel (1 -> 2)" in said
    assert launch(sweep(devices={"count": 8}, workdir="x", save_every=2))[1] == []


def test_a_file_counts_by_its_content(launch, tasks, tmp_path):
    def points(name):
        return [number("one"), add("sum", "one", 1, other=str(tmp_path / name))]

    (tmp_path / "a").write_text("first")
    launch(points("a"))
    (tmp_path / "a").rename(tmp_path / "b")
    assert launch(points("b"))[1] == []
    (tmp_path / "b").write_text("second")
    assert f"sum differs in other ({str(tmp_path / 'a')!r} -> {str(tmp_path / 'b')!r}): use" in refused(
        launch, points=points("b")
    )
    (tmp_path / "a").write_text("second")
    assert f"sum differs in the content of other ({str(tmp_path / 'a')!r}): use" in refused(launch, points=points("a"))
    assert f"{tmp_path / 'c'}: cannot be read" in refused(launch, points=points("c"))


def test_a_measurement_of_an_input_changed_in_place_is_repeated_and_what_trains_on_it_refused(launch, tasks, tmp_path):
    (tmp_path / "adapter").write_text("1")
    measured = Point("measured", "measure", {"file": str(tmp_path / "adapter"), "more": 10})
    on_it = Point("again", "measure", {"file": output("measured", "value.json"), "more": 100}, ("measured",))
    assert launch([measured, on_it, number("alone")])[1] == ["measured", "again", "alone"]
    before = json.loads((tmp_path / "index.json").read_text())["points"]

    (tmp_path / "adapter").write_text("2")
    assert launch([measured, on_it, number("alone")], only=("alone",))[1] == []
    assert json.loads((tmp_path / "index.json").read_text())["points"] == before  # it is kept until it is run again
    index, run = launch([measured, on_it, number("alone")])
    assert run == ["measured", "again"]
    assert [index.summary(name)["value"] for name in run] == [12, 112]
    assert index.outdated == {}
    assert launch([measured, on_it, number("alone")])[1] == []

    trained = add("trained", "measured", 1000)
    assert launch([measured, trained])[1] == ["trained"]
    (tmp_path / "adapter").write_text("3")
    assert "trained differs in the content of file ('point:measured/value.json'): use" in refused(
        launch, points=[measured, trained]
    )
    changed = Point("measured", "measure", {"file": str(tmp_path / "adapter"), "more": 11})
    assert "measured differs in more (10 -> 11), the content of file" in refused(launch, points=[changed])


def test_what_is_run_again_is_said(tmp_path, tasks):
    (tmp_path / "adapter").write_text("1")
    points = [Point("measured", "measure", {"file": str(tmp_path / "adapter"), "more": 10})]
    said = []
    for content in ("1", "2"):
        (tmp_path / "adapter").write_text(content)
        plan, progress = plan_of(points, tasks), Silent()
        progress.say = said.append
        index = Index(tmp_path / "index.json", plan)
        run_serially(plan, index, ["measured"], tmp_path / "runs", Surroundings(progress))
    assert said == [
        "point 1 of 1: measured",
        f"measured is run again: it differs in the content of file ({str(tmp_path / 'adapter')!r})",
        "point 1 of 1: measured",
    ]


def test_only_what_starts_from_nothing_there_is_repeatable():
    assert [name for name, task in TASKS.items() if task.repeatable] == [
        "evaluate", "compare", "judge", "agreement", "build_benchmark", "join_benchmarks", "claims",
    ]  # fmt: skip


def test_a_folder_of_another_run_is_refused(launch, tmp_path):
    launch()
    (tmp_path / "index.json").unlink()
    assert refused(launch, points=sweep(more=11), only=("sums/ten",)) == (
        f"{tmp_path / 'runs/sums/ten'} holds a run that differs in more (10 -> 11): use the config it was begun with, another "
        "workdir, or delete that folder"
    )


def test_points_of_other_sweeps_stay_in_the_index(launch, tmp_path):
    launch([number("other", 3)])
    launch()
    assert list(json.loads((tmp_path / "index.json").read_text())["points"]) == [
        "one", "sums/ten", "sums/twenty", "alone", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("[]", "is not a JSON object"),
        ('{"schema_version": 2}', "is no index of a sweep of this version"),
        ('{"schema_version": 3, "points": {"one": {"key": 1}}}', "one: is no account of a point that is done"),
        ("changed", "one: its key is not that of its identity, so one of them was changed by hand"),
    ],
)
def test_a_broken_index_is_refused(launch, tmp_path, broken, line):
    if broken == "changed":
        launch()
        broken = (
            (tmp_path / "index.json")
            .read_text()
            .replace('"value": 1\n    },\n    "contents"', '"value": 3\n    },\n    "contents"')
        )
    (tmp_path / "index.json").write_text(broken)
    assert refused(launch) == f"{tmp_path / 'index.json'}: {line}: mend it, or name another config.output"
