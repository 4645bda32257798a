"""Points come in an order in which each has what it needs; what cannot be is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.sweeps.points import Point, chosen, ordered, output

TASKS = ("number", "add")


def point(name, *needs, task="number", **config):
    return Point(name, task, config, needs)


@given(st.permutations(range(6)), st.data())
def test_a_point_comes_behind_those_that_it_needs_and_else_in_its_place(places, data):
    needs = {n: [m for m in range(n) if data.draw(st.booleans())] for n in range(6)}  # of smaller numbers: no circle
    points = [point(f"p{n}", *(f"p{m}" for m in needs[n])) for n in places]
    order = [int(found.name[1:]) for found in ordered(points, TASKS)]
    assert sorted(order) == list(range(6))
    assert all(order.index(m) < order.index(n) for n in range(6) for m in needs[n])
    if not any(needs.values()):
        assert order == list(places)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([point("a"), point("b"), point("a")], "2 points are named a: give each a name of its own"),
        (
            [point("train/a"), point("b", "train/b")],
            "point b: needs train/b, which is no point (did you mean train/a?)",
        ),
        (
            [point("a", "b"), point("b", "c"), point("c", "a")],
            "points need one another in a circle: a -> b -> c -> a: break it",
        ),
        ([point("a", "a")], "points need one another in a circle: a -> a: break it"),
        ([point("a", task="score")], "point a: unknown task 'score': choose one of number, add"),
        (
            [point("a"), point("b", file=output("a", "x"))],
            "point b: file=point:a/x is of no point that it needs: name that in its needs",
        ),
        (
            [point("../a")],
            "point '../a': must be named like a folder: of letters, digits, '.', '-' and '_', with '/' between words",
        ),
        (
            [point("a", "b", task="x"), point("a", task="add")],
            "2 points are named a: give each a name of its own; point a: unknown task 'x': choose one of number, add; "
            "point a: needs b, which is no point",
        ),
    ],
)  # fmt: skip
def test_points_that_cannot_be_are_refused_in_one_line(points, line):
    with pytest.raises(UserError) as refusal:
        ordered(points, TASKS)
    assert str(refusal.value) == line


def test_outputs_get_their_paths_and_points_share_a_store(tmp_path):
    config = {"file": output("a/b", "c/d"), "store": None, "group": {"deep": output("a", "e")}, "n": 1}
    needing = Point("x", "number", config, ("a", "a/b"))
    assert needing.outputs() == {"file": ("a/b", "c/d"), "group.deep": ("a", "e")}
    assert needing.placed(tmp_path) == {
        "file": str(tmp_path / "a/b/c/d"), "store": str(tmp_path / "store.sqlite"), "group": {"deep": str(tmp_path / "a/e")},
        "n": 1,
    }  # fmt: skip
    assert point("y", store="own").placed(tmp_path) == {"store": "own"}
    assert point("z").placed(tmp_path) == {}


def test_a_sweep_is_for_what_nothing_else_needs_or_for_what_is_asked():
    points = [point("train/a"), point("evaluate/a", "train/a"), point("evaluate/b")]
    assert chosen(points, ()) == ["evaluate/a", "evaluate/b"]
    assert chosen(points, ("*/b", "train/*")) == ["train/a", "evaluate/b"]
    with pytest.raises(UserError, match=r"config.only: no point matches 'c\*': the points are train/a, evaluate/a, evaluate/b"):
        chosen(points, ("c*",))
