"""What docs/ says of policies and arms is what the indexes of their sweeps hold, under the identities of today."""

import importlib
import json
import re

import pytest
from scripts import ROOT

from remid_jax.sweeps.index import Index
from remid_jax.sweeps.plan import planned
from remid_jax.sweeps.points import chosen
from remid_jax.sweeps.tables import page
from remid_jax.sweeps.tasks import TASKS, VERSIONS

DONE = {"policies": 17, "ablation": 2 * (24 + 6)}
NAMES = sorted(DONE)


@pytest.fixture(scope="module", params=NAMES)
def committed(request):
    config = importlib.import_module(f"configs.sweeps.{request.param}").get_config()
    sweep = config.sweep(config)
    plan = planned(sweep.points, TASKS, VERSIONS)
    return request.param, sweep, plan, Index(ROOT / config.output, plan), ROOT / config.page


def test_what_is_done_is_found_and_nothing_of_it_is_run_again(committed, tmp_path):
    name, _, plan, index, _ = committed
    done = [point.name for point in plan.points if point.name in index]
    missing = {point.name for point in plan.missing(chosen(plan.points, ()), index, tmp_path)}
    assert len(done) == DONE[name]
    if name == "policies":
        assert not missing
    else:  # two seeds of the benchmark's arms, the replies that they are measured on
        arms = {point.name.partition("/")[0] for point in plan.points} - {"world", "replies"}
        assert missing == {"replies"} | {f"{arm}/seed{n}{more}" for arm in arms for n in (1, 2) for more in ("", "/train")}


def test_the_page_is_of_the_index(committed):
    _, sweep, _, index, path = committed
    assert page(sweep, index) == path.read_text()


@pytest.mark.parametrize("name", [*NAMES, "checkpoints", "estimators"])
def test_config_says_its_command(name):
    module = importlib.import_module(f"configs.sweeps.{name}")
    command = f"python -m experiments.sweep --config=configs/sweeps/{name}.py"
    assert f"\n    {command}\n" in module.__doc__
    assert module.get_config().sweep(module.get_config()).command == command


def test_numbers_of_the_pages_stand_in_the_indexes():
    points = json.loads((ROOT / "docs/policies.json").read_text())["points"]
    rows = dict(re.findall(r"^\| (\w+) \| (\S+) ", (ROOT / "docs/policies.md").read_text(), re.MULTILINE))
    assert rows.pop("policy")
    assert rows == {
        name.removeprefix("evaluate/"): f"{done['summary']['r_emi']['IDTest']['value']:+.4f}"
        for name, done in points.items()
        if name.startswith("evaluate/")
    }
