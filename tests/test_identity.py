"""What a run is: what makes another run of it, what does not, and what a refusal names."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remid_jax.errors import UserError
from remid_jax.identity import WITHOUT_EFFECT, Identity, check_same, identify
from remid_jax.models.fingerprints import file_digest
from remid_jax.settings import flat

CONFIG = {
    "workdir": "runs/a",
    "store": None,
    "seed": 0,
    "save_every": 4,
    "policy": {"adapter": "adapters/sft", "template": None},
    "optimizer": {"learning_rate": 0.1, "warmup": 1.0},
    "schedule": (("sft", 8), ("grpo", 8)),
    "devices": {"mesh_model": 1, "max_row": 2048},
}
CONTENTS = {"policy.adapter": "5f", "records": "6a"}
VERSIONS = {"protocol": "1", "kernel": 5}


def changed(**settings):
    """The identity of CONFIG with some settings, by names with __ for a dot, of other values."""
    config = json.loads(json.dumps(CONFIG))
    for name, value in settings.items():
        *groups, last = name.split("__")
        group = config
        for above in groups:
            group = group[above]
        group[last] = value
    return identify(config, CONTENTS, VERSIONS)


def test_the_identity_of_a_run_is_what_its_numbers_depend_on():
    found = identify(CONFIG, CONTENTS, VERSIONS)
    assert found.settings == {
        "seed": 0, "optimizer.learning_rate": 0.1, "optimizer.warmup": 1, "schedule": [["sft", 8], ["grpo", 8]],
    }  # fmt: skip
    assert (found.contents, found.versions, found.paths) == (CONTENTS, VERSIONS, {"policy.adapter": "adapters/sft"})


@pytest.mark.parametrize(
    "settings",
    [
        {"devices__mesh_model": 8}, {"devices": {}}, {"save_every": 100}, {"workdir": "elsewhere"}, {"store": "all.sqlite"},
        {"optimizer__warmup": 1}, {"new_since": None}, {"new_since": ""}, {"new_since": ()},
    ],
)  # fmt: skip
def test_where_a_run_is_computed_and_kept_makes_no_other_run(settings):
    assert changed(**settings).key == changed().key
    assert changed(**settings).differences(changed()) == []
    check_same(changed(), changed(**settings), "this workdir", "name another")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"optimizer__learning_rate": 0.2}, "optimizer.learning_rate (0.1 -> 0.2)"),
        ({"seed": 1, "schedule": [["sft", 9]]}, "schedule ([['sft', 8], ['grpo', 8]] -> [['sft', 9]]), seed (0 -> 1)"),
        ({"seed": None}, "seed (0 -> not set)"),
        ({"policy__template": "{}"}, "policy.template (not set -> '{}')"),
    ],
)
def test_another_setting_is_refused_in_one_line_with_both_values(settings, line):
    assert changed(**settings).key != changed().key
    with pytest.raises(UserError) as refusal:
        check_same(changed(), changed(**settings), "this workdir", "use the config it was begun with, or another workdir")
    assert str(refusal.value) == (
        f"this workdir holds a run that differs in {line}: use the config it was begun with, or another workdir"
    )


def with_adapter(path):
    """A run whose adapter is a file."""
    return identify({"policy": {"adapter": str(path)}}, {"policy.adapter": file_digest(path)}, {})


def test_a_file_counts_by_its_content_wherever_it_lies(tmp_path):
    (tmp_path / "a").write_text("weights")
    before = with_adapter(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "b")
    moved = with_adapter(tmp_path / "b")
    assert moved.key == before.key
    assert before.differences(moved) == []

    (tmp_path / "a").write_text("weights, trained anew")
    retrained = with_adapter(tmp_path / "a")
    assert retrained.key != before.key
    assert before.differences(retrained) == [f"the content of policy.adapter ({str(tmp_path / 'a')!r})"]
    assert moved.differences(retrained) == [f"policy.adapter ({str(tmp_path / 'b')!r} -> {str(tmp_path / 'a')!r})"]
    none = identify({"policy": {"adapter": ""}}, {"policy.adapter": None}, {})
    assert none.key == identify({"policy": {"adapter": None}}, {"policy.adapter": None}, {}).key == identify({}, {}, {}).key
    assert before.differences(none) == [f"policy.adapter ({str(tmp_path / 'a')!r} -> not set)"]


def test_what_is_made_of_inputs_is_named_only_if_no_input_and_no_setting_differs():
    run = identify({"seed": 0}, {"records": "1"}, VERSIONS)
    assert run.differences(identify({"seed": 0}, {"records": "2"}, VERSIONS)) == ["the content of records"]
    assert run.differences(identify({"seed": 1}, {"records": "2"}, VERSIONS)) == ["seed (0 -> 1)"]
    assert run.differences(identify({"seed": 0}, {"records": "1"}, VERSIONS | {"kernel": 6})) == [
        "the version of the kernel (5 -> 6)"
    ]


def test_an_identity_is_read_back_from_json():
    run = changed()
    again = Identity.from_json(json.loads(json.dumps(run.as_json())))
    assert again == run
    assert again.key == run.key
    for broken in (None, [], {}, {"settings": {}, "contents": {}}):
        with pytest.raises(UserError, match="this run was begun by a version that kept no such account of its settings"):
            Identity.from_json(broken)


names = st.sampled_from(["seed", "steps", "a", *sorted(WITHOUT_EFFECT)])
values = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-3, 3, width=16) | st.text(max_size=2)
configs = st.dictionaries(names, values | st.dictionaries(names, values, max_size=3), max_size=4)


@given(configs, configs)
def test_keys_differ_exactly_where_a_difference_is_named(one, other):
    first, second = identify(one, {}, {}), identify(other, {}, {})
    assert (first.key == second.key) == (first.differences(second) == [])
    both = [{name: (type(value), value) for name, value in flat(of).items() if value not in (None, "")} for of in (one, other)]
    unlike = {name for name in {**both[0], **both[1]} if both[0].get(name) != both[1].get(name)}
    assert [of.partition(" (")[0] for of in first.differences(second)] == sorted(
        name for name in unlike if WITHOUT_EFFECT.isdisjoint(name.split(".")) and not same_number(one, other, name)
    )


def same_number(one, other, name):
    first, second = flat(one).get(name), flat(other).get(name)
    return first == second and {type(first), type(second)} == {int, float}
