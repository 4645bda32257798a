"""Curves over training steps: the values and bands that are drawn are those of the standings."""

import numpy as np
from compared import comparison

from remid_jax.reporting import comparison_figures
from remid_jax.reporting.drawing import svg_bytes


def test_checkpoints_are_runs_named_by_their_step_in_order():
    assert comparison_figures.training_runs(comparison().results) == {
        "sft": {10: "sft@10", 20: "sft@20"},
        "dpo": {5: "dpo@5", 20: "dpo@20"},
    }
    assert comparison_figures.training_runs({"runs": {"a@b": {}, "runs/x@7": {}, "@3": {}}}) == {"runs/x": {7: "runs/x@7"}}


def test_lines_and_bands_are_the_values_and_intervals_of_checkpoints():
    figure = comparison_figures.curves(comparison().results)
    standings = {(found.run, found.quantity): found for found in comparison().standings if found.kind == "overall"}
    assert len(figure.axes) == 2
    for axes, quantity in zip(figure.axes, ("emid", "emi"), strict=True):
        lines = [line for line in axes.lines if line.get_marker() == "o"]
        for line, band, run, steps in zip(lines, axes.collections, ("sft", "dpo"), ((10, 20), (5, 20)), strict=True):
            found = [standings[f"{run}@{step}", quantity] for step in steps]
            np.testing.assert_array_equal(line.get_xdata(), steps)
            np.testing.assert_array_equal(line.get_ydata(), [at.value for at in found])
            corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
            assert {(step, end) for step, at in zip(steps, found, strict=True) for end in (at.low, at.high)} <= corners
        assert axes.lines[0].get_ydata()[0] == standings["base", quantity].value
    assert svg_bytes(figure) == svg_bytes(comparison_figures.curves(comparison().results))


def test_one_step_is_no_curve():
    assert comparison_figures.curves(comparison(("base", "sft@10", "dpo@20")).results) is None
