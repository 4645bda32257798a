"""Settings that mean nothing are refused by name, all at once; those that do not exist get the nearest that does."""

import importlib
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from scripts import ROOT, change

from remid_jax.errors import UserError
from remid_jax.settings import check_settings, override_faults

CONFIGS = sorted(path.stem for path in Path(ROOT, "configs").glob("*.py") if path.stem != "__init__")
COUNT, NUMBER = "must be a whole number from 1 to 2147483647", "must be a whole number from 0 to 2147483647"
ROW = "must be a whole number from 1 to 28672"


def config_of(name, **changes):
    config = importlib.import_module(f"configs.{name}").get_config()
    change(config, {key.replace("__", "."): value for key, value in changes.items()})
    return config


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_within_bounds(name):
    check_settings(config_of(name))


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("score", {"max_row": -5, "tokens_per_step": 0}, f"config.max_row=-5: {ROW}; config.tokens_per_step=0: {COUNT}"),
        ("corl_quickstart", {"devices__max_row": 28_673}, f"config.devices.max_row=28673: {ROW}"),
        ("score", {"dtype": "bloat16"}, "config.dtype='bloat16': choose one of float32, bfloat16 (did you mean 'bfloat16'?)"),
        ("score", {"mesh_model": 0}, f"config.mesh_model=0: {COUNT}"),
        ("score", {"parallel": "threads"}, "config.parallel='threads': choose one of mesh, pmap"),
        ("quickstart", {"devices__sampling_rows": 0}, f"config.devices.sampling_rows=0: {COUNT}"),
        ("quickstart", {"policy__max_reply": 0}, f"config.policy.max_reply=0: {COUNT}"),
        ("quickstart", {"benchmark__records": -1}, f"config.benchmark.records=-1: {NUMBER}"),
        ("quickstart", {"seed": 2**40}, f"config.seed=1099511627776: {NUMBER}"),
        ("quickstart", {"statistics__level": 1.0}, "config.statistics.level=1.0: must be a number above 0 and below 1"),
        ("policy_sft", {"steps": -1}, f"config.steps=-1: {COUNT}"),
        ("policy_sft", {"optimizer__learning_rate": -1e-3}, "config.optimizer.learning_rate=-0.001: must be a number above 0"),
        ("policy_sft", {"optimizer__clip": float("nan")}, "config.optimizer.clip=nan: must be a number above 0"),
        ("policy_sft", {"loss__level": "token"}, None),  # a name that is a text elsewhere
        ("policy_sft", {"rewards__judge_ratio": float("inf")}, "config.rewards.judge_ratio=inf: must be a number"),
        ("policy_grpo", {"rollouts__draws": True}, f"config.rollouts.draws=True: {COUNT}"),
        ("sweeps.ablation", {"seeds": (0, -1)}, f"config.seeds=(0, -1): {NUMBER}"),
        ("sweeps.policies", {"train__sft__steps": 0}, f"config.train.sft.steps=0: {COUNT}"),
        ("validate", {"restarts": 3}, "config.restarts=3: must be a whole number from 4 to 2147483647"),
        ("judge", {"runs": (5,)}, "config.runs=(5,): must be texts, such as ('a', 'b')"),
        ("build_benchmark", {"categories": (5,)}, "config.categories=(5,): must be texts, such as ('a', 'b')"),
        ("sweeps.quickstart", {"only": (5,)}, "config.only=(5,): must be texts, such as ('a', 'b')"),
        ("sweeps.quickstart", {"retries": -1}, f"config.retries=-1: {NUMBER}"),
        ("sweeps.quickstart", {"point__cpus": -1}, "config.point.cpus=-1: must be a number from 0"),
        ("bounds", {"block": 0, "worlds": "worlds.npz"}, f"config.block=0: {COUNT}"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_by_name(name, changes, said):
    if said is None:
        check_settings(config_of(name, **changes))
        return
    with pytest.raises(UserError) as caught:
        check_settings(config_of(name, **changes))
    assert str(caught.value) == said


def test_a_config_file_may_have_another_type():
    with pytest.raises(UserError) as caught:
        check_settings(ConfigDict({"steps": 2.5, "devices": {"max_row": 8.0}}))
    assert str(caught.value) == f"config.devices.max_row=8.0: {ROW}; config.steps=2.5: {COUNT}"


RATE = "optimizer.learning_rate"


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--config.max_rwo=5", "--config.max_rwo: no such setting: did you mean --config.max_row (a whole number)?"),
        ("-config.modle=x", "--config.modle: no such setting: did you mean --config.model (a text)?"),
        ("--config.learning_rate=1", f"--config.learning_rate: no such setting: did you mean --config.{RATE} (a number)?"),
        ("--config.optimizer=1", f"--config.optimizer: is a group of settings: name one of them, such as --config.{RATE}"),
        ("--config.max_row=1.5", "--config.max_row=1.5: must be a whole number, as 8 is"),
        ("--config.optimizer.learning_rate=fast", "--config.optimizer.learning_rate=fast: must be a number, as 0.1 is"),
        ("--config.augment=perhaps", "--config.augment=perhaps: must be True or False, as False is"),
        ("--config.qqq=1", "--config.qqq: no such setting: the settings are augment, max_row, model, optimizer.learning_rate"),
        ("--config.max_row=9", None),
        ("--workdir=x", None),
    ],
)  # fmt: skip
def test_a_slip_on_the_command_line_gets_the_nearest_name_and_the_type(argument, said):
    config = ConfigDict({"max_row": 8, "model": "m", "augment": False, "optimizer": {"learning_rate": 0.1}})
    assert override_faults(config, [argument]) == ([said] if said else [])
