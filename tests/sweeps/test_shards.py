"""Shards run all points once between them, whether they come one after the other or at once, and their tables are joined."""

import json
import multiprocessing

import pytest
from counted_tasks import POINTS, plan_of, runs, sweep_of
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.launchers import run_serially
from remid_jax.sweeps.plan import Surroundings
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.shards import Shard, indexes_of_shards, merge, read_shard
from remid_jax.sweeps.tables import page


def run_shard(folder, sweep, shard, workdir="runs"):
    plan, output = plan_of(sweep), str(folder / "numbers.json")
    index = Index(shard.path(output), plan, [output])
    names = shard.share(chosen(plan.points, ()))
    return run_serially(plan, index, names, folder / workdir, Surroundings()).run


@pytest.fixture
def expected(tmp_path):
    folder = tmp_path / "serial"
    folder.mkdir()
    sweep = sweep_of(folder / "counts")
    plan = plan_of(sweep)
    index = Index(folder / "index.json", plan)
    run_serially(plan, index, chosen(plan.points, ()), folder / "runs", Surroundings())
    return page(sweep, index)


@given(st.lists(st.text(), unique=True), st.integers(1, 5))
def test_shares_are_disjoint_and_leave_nothing_out(names, count):
    shares = [Shard(number + 1, count).share(names) for number in range(count)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["3", "0/3", "4/3", "a/b", "1/0", "1/2/3"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UserError) as refusal:
        read_shard(text)
    assert str(refusal.value) == f"config.shard={text!r}: write it as 2/3, the second of three, counted from 1"


def test_three_shards_at_once_compute_each_point_once_and_merge_to_the_serial_tables(tmp_path, expected):
    sweep, fork = sweep_of(tmp_path / "counts", seconds=0.01), multiprocessing.get_context("fork")
    jobs = [fork.Process(target=run_shard, args=(tmp_path, sweep, Shard(number, 3))) for number in (1, 2, 3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    counts = runs(tmp_path / "counts")
    assert (len(counts), set(counts.values())) == (POINTS, {1})
    output = tmp_path / "numbers.json"
    assert indexes_of_shards(str(output)) == [tmp_path / f"numbers.{number}of3.json" for number in (1, 2, 3)]
    index, count = merge(str(output), plan_of(sweep))
    assert count == 3
    assert page(sweep, index) == expected
    assert list(json.loads(output.read_text())["points"]) == [point.name for point in plan_of(sweep).points]
    assert run_shard(tmp_path, sweep, Shard(1, 2)) == []  # whatever the shards, what stands in the sweep's index is done


def test_shards_without_a_common_folder_compute_what_they_need_each_and_merge(tmp_path, expected):
    sweep = sweep_of(tmp_path / "counts")
    for number in (1, 2, 3):
        run_shard(tmp_path, sweep, Shard(number, 3), f"runs{number}")
    index, _ = merge(str(tmp_path / "numbers.json"), plan_of(sweep))
    assert page(sweep, index) == expected
    assert max(runs(tmp_path / "counts").values()) <= 3


def test_two_results_of_one_point_are_refused_and_two_durations_are_not(tmp_path):
    sweep, output = sweep_of(tmp_path / "counts"), tmp_path / "numbers.json"
    for number in (1, 2):
        run_shard(tmp_path, sweep, Shard(number, 2), f"runs{number}")
    place = tmp_path / "numbers.2of2.json"
    content = json.loads(place.read_text())
    [both, *_] = content["points"].keys() & json.loads((tmp_path / "numbers.1of2.json").read_text())["points"].keys()
    content["points"][both]["summary"]["training_hours"] = 5
    place.write_text(json.dumps(content))
    merge(str(output), plan_of(sweep))
    output.unlink()
    content["points"][both]["summary"]["value"] = 5
    place.write_text(json.dumps(content))
    with pytest.raises(UserError) as refusal:
        merge(str(output), plan_of(sweep))
    assert str(refusal.value) == (
        f"config.merge: {both} of {place} and of {tmp_path / 'numbers.1of2.json'} differs in its numbers: delete it from one "
        "of them, and run that again"
    )
    assert not output.exists()


def test_nothing_to_merge_is_refused(tmp_path):
    with pytest.raises(UserError) as refusal:
        merge(str(tmp_path / "numbers.json"), plan_of(sweep_of(tmp_path / "counts")))
    assert str(refusal.value) == (
        f"config.merge: there is no {tmp_path / 'numbers.1of3.json'} or the like: run the shards first"
    )
