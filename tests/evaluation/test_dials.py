"""Dials in an evaluation: their categories are measured as if their records had been a benchmark's own, for no work twice."""

import importlib.resources
import json

import numpy as np
import pytest

import remid_jax
from remid_jax.dialogues.dials.categories import placed, records_of
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.errors import UserError
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent

HALF, ALL = "mixture(german, 0.5)", "mixture(german, 1)"
DIALS = ("mixture(german, 0)", HALF, ALL, "without(user)", "exchanged(user)")
LINEAGES = 4


@pytest.fixture(scope="module")
def benchmark():
    """Four records of each of two categories, and some to train on."""
    whole = remid_jax.read_benchmark("package:rpgbench_compact", categories=["german"])
    test = {name: whole.test[name][:LINEAGES] for name in ("IDTest", "german")}
    return remid_jax.Benchmark(whole.train[:6], test, whole.manifest)


@pytest.fixture(scope="module")
def evaluated(ending_directory, tmp_path_factory):
    """evaluated(benchmark, dials=...): an evaluation in this process; all go on from one store."""
    model, store = open_model(str(ending_directory)), tmp_path_factory.mktemp("store") / "store.sqlite"

    def evaluated(source, samples=0, prompts=None, **settings):
        return remid_jax.evaluate(
            {"source": source, **settings},
            policy={"model": model, "max_reply": 24, "self_samples": samples},
            estimator={"model": model, "adapters": "", "max_reasoning": 4, "plain": "golden"},
            statistics={"bootstrap": 0, "subsamples": 2},
            devices={"tokens_per_step": 1024, "sampling_rows": 2},
            store=store,
            progress=Silent(),
            **({"prompts": prompts} if prompts else {}),
        )

    return evaluated


@pytest.fixture(scope="module")
def plain(evaluated, benchmark):
    return evaluated(benchmark)


@pytest.fixture(scope="module")
def dialled(evaluated, benchmark, plain):
    return evaluated(benchmark, dials=DIALS)


def missed(evaluation):
    return sum(counts["store_misses"] for kind in ("scoring", "sampling") for counts in evaluation.run[kind].values())


def emi(evaluation, name):
    return evaluation.estimates["categories"][name]["reasoned"]["emi"]["club"]["token_rate"]


def test_other_categories_are_measured_as_without_dials(plain, dialled):
    for name, array in plain.scores.items():
        np.testing.assert_array_equal(array, dialled.scores[name])
    for name in ("IDTest", "german"):
        before, after = (of.estimates["categories"][name] for of in (plain, dialled))
        assert before["reasoned"] == after["reasoned"]
    assert plain.estimates["shifts"]["user"] == dialled.estimates["shifts"]["user"]


def test_none_and_all_of_a_mixture_are_the_two_categories(dialled):
    assert emi(dialled, "mixture(german, 0)") == emi(dialled, "IDTest")
    assert emi(dialled, ALL) == emi(dialled, "german")
    curve = dialled.estimates["dials"]["mixture(german)"]["reasoned"]["emid"]["points"]
    assert (curve[0]["value"], curve[0]["band"]) == (0, {"low": 0, "high": 0})
    assert list(dialled.dials["mixture(german)"]) == list(DIALS[:3])
    assert [number.value for number in dialled.dials["mixture(german)"].values()] == [point["value"] for point in curve]
    half = dialled.dials["mixture(german)"][HALF]
    assert {"low": half.low, "high": half.high} == curve[1]["band"]
    assert curve[2]["value"] == dialled.estimates["headline"]["categories"]["german"]["value"]


def test_they_cost_no_device_work(evaluated, benchmark, plain):
    assert missed(plain) > 0
    assert missed(evaluated(benchmark, dials=("mixture(german, 0)", ALL))) == 0


def test_a_mixture_is_measured_as_a_benchmark_of_its_records_would_be(evaluated, benchmark, dialled):
    [half] = placed(parse_dials([HALF]), benchmark)
    records = records_of(half, benchmark.test, benchmark.train, 0)
    assert sorted(record.id.split("-")[0] for record in records) == ["german", "german", "id", "id"]
    rows = [record.to_json() for record in benchmark.test["IDTest"]]
    rows += [{**record.to_json(), "sample_ID": f"{record.id} again", "subset_tag": "mixed"} for record in records]
    manifest = {"categories": {"IDTest": {"language": "en"}, "mixed": {"shift": "mixture", "reference": "IDTest"}}}
    own = evaluated(remid_jax.read_benchmark(rows, manifest=manifest))
    for name, array in own.scores.items():
        category, _, quantity = name.partition("/")
        if category == "mixed" and array.dtype.kind == "f":
            np.testing.assert_allclose(dialled.scores[f"{HALF}/{quantity}"], array, atol=2e-3, err_msg=quantity)
    lost = own.estimates["headline"]["categories"]["mixed"]
    assert dialled.estimates["headline"]["categories"][HALF]["value"] == pytest.approx(lost["value"], abs=1e-3)


def test_golden_replies_are_dropped_where_they_do_not_stay_right(dialled):
    reason = "the golden replies answer the user that exchanged(user) took away"
    section = dialled.estimates["categories"]["exchanged(user)"]["reasoned"]
    for term in ("golden", "emi", "emid", "estimator_shift"):
        number = section[term]["club"]["token_rate"]
        assert (number["value"], number["reason"]) == (None, reason)
    assert section["policy"]["club"]["token_rate"]["value"] is not None
    assert dialled.diagnostics["exchanged(user)"]["golden"]["in_language_reason"] == reason


def test_self_information_is_known_without_golden_replies(evaluated, benchmark):
    evaluation = evaluated(benchmark, samples=2, dials=("exchanged(user)",), categories=("IDTest",))
    assert list(evaluation.categories) == ["IDTest", "exchanged(user)"]
    for name in evaluation.categories:
        assert evaluation.estimates["categories"][name]["self"]["self_information"]["response"]["value"] is not None


def test_every_result_names_the_dial(dialled):
    assert [row["category"] for row in dialled.samples if row["record"].endswith(" without(user)")] == ["without(user)"] * 4
    assert dialled.diagnostics[HALF]["dial"] == {"curve": "mixture(german)", "position": 0.5}
    assert dialled.estimates["dials"]["mixture(german)"]["categories"] == list(DIALS[:3])
    again = remid_jax.estimate(dialled.scores, bootstrap=0, subsamples=2)
    assert again["dials"] == dialled.estimates["dials"]


@pytest.fixture(scope="module")
def blind(tmp_path_factory):
    """A folder of prompts that tell nobody who the user is."""
    folder = tmp_path_factory.mktemp("prompts")
    for file in (importlib.resources.files("remid_jax.dialogues") / "prompts").iterdir():
        (folder / file.name).write_text(file.read_text().replace("[User]\n{user_persona}\n\n", ""))
    return folder


def test_what_nobody_uses_costs_nothing(evaluated, benchmark, blind):
    """Neither the policy nor the estimator is told the persona, so that it is cut changes no number at all."""
    evaluation = evaluated(benchmark, prompts=str(blind), dials=("without(user)",), categories=("IDTest",))
    section = evaluation.estimates["categories"]["without(user)"]["reasoned"]
    for term in ("emid", "estimator_shift"):
        number = section[term]["club"]["token_rate"]
        assert (number["value"], number["interval"]["low"], number["interval"]["high"]) == (0, 0, 0)


def test_ready_replies_serve_all_that_mixtures_pick(evaluated, benchmark, ending_directory):
    replies = {record.id: f"I am {record.id}." for members in benchmark.test.values() for record in members}
    model = open_model(str(ending_directory))
    arguments = {
        "estimator": {"model": model, "adapters": "", "max_reasoning": 4, "plain": "golden"},
        "statistics": {"bootstrap": 0},
        "devices": {"tokens_per_step": 1024},
        "progress": Silent(),
    }
    named = {"source": benchmark, "categories": ("IDTest",)}
    evaluation = remid_jax.evaluate({**named, "dials": (HALF,)}, policy={"replies": replies}, **arguments)
    assert {row["reply"] for row in evaluation.samples if row["category"] == HALF} <= set(replies.values())
    with pytest.raises(UserError) as error:
        remid_jax.evaluate({**named, "dials": ("without(user)",)}, policy={"replies": replies}, **arguments)
    assert "no reply for records 'id-test-1 without(user)'" in str(error.value)


@pytest.mark.parametrize(("settings", "said"), [
    ({"dials": ("mixture(germn, 0.5)",)},
     "config.benchmark.dials: 'mixture(germn, 0.5)': 'germn' is no category (did you mean 'german'?)"),
    ({"dials": ("turns(2)",), "categories": ("germn",)},
     "config.benchmark.categories: 'germn' is no category of the manifest (did you mean 'german'?)"),
    ({"dials": ("turns(4)",)},
     "config.benchmark.dials: turns(4) needs 12 training records that are related to no test record, for texts of others, and "
     "the benchmark has 6: add some under the manifest's train tag"),
])  # fmt: skip
def test_what_is_wrong_is_said_before_any_work(evaluated, benchmark, settings, said):
    with pytest.raises(UserError) as error:
        evaluated(benchmark, **settings)
    assert str(error.value) == said


def test_results_can_be_written(dialled):
    assert json.loads(json.dumps(dialled.results, allow_nan=False))["config"]["benchmark"]["dials"] == list(DIALS)
