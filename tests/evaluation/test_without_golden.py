"""Records without golden replies: self information and distances of contexts as ever, and nothing that golden replies make."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

import remid_jax
from remid_jax.errors import UserError
from remid_jax.evaluation.estimating import estimate
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent
from remid_jax.reporting import tables, terminal

NO_GOLDEN = "no golden replies"


@pytest.fixture(scope="module")
def records():
    """Four of each of two categories."""
    benchmark = remid_jax.read_benchmark("package:rpgbench_compact", categories=["german"])
    return {name: [record.to_json() for record in benchmark.test[name][:4]] for name in ("IDTest", "german")}


def without(rows):
    return [{key: value for key, value in row.items() if key != "agent_golden_response"} for row in rows]


@pytest.fixture(scope="module")
def evaluated(ending_directory, tmp_path_factory):
    """evaluated(rows): their evaluation in this process; all go on from one store."""
    model, store = open_model(str(ending_directory)), tmp_path_factory.mktemp("store") / "store.sqlite"

    def evaluated(rows, **benchmark) -> Evaluation:
        return remid_jax.evaluate(
            {"source": rows, "golden_optional": True, **benchmark},
            policy={"model": model, "max_reply": 48, "self_samples": 4},
            estimator={"model": model, "adapters": "", "max_reasoning": 4},
            statistics={"bootstrap": 0, "subsamples": 2},
            devices={"tokens_per_step": 1024, "sampling_rows": 2},
            store=store,
            progress=Silent(),
        )

    return evaluated


@pytest.fixture(scope="module")
def full(evaluated, records):
    return evaluated([row for rows in records.values() for row in rows])


@pytest.fixture(scope="module")
def mixed(evaluated, records):
    return evaluated([*records["IDTest"], *without(records["german"])])


@pytest.fixture(scope="module")
def bare(evaluated, records):
    return evaluated([row for rows in records.values() for row in without(rows)])


def numbers(section):
    """Every estimate below `section` with its path."""
    if isinstance(section, dict) and {"value", "interval"} <= section.keys():
        return [((), section)]
    pairs = section.items() if isinstance(section, dict) else ()
    return [((name, *path), number) for name, below in pairs for path, number in numbers(below)]


def assert_same(found, expected):
    """The same numbers and intervals up to what other rows of a batch move a log-likelihood."""
    expected = dict(numbers(expected))
    assert dict(numbers(found)).keys() == expected.keys()
    for path, number in numbers(found):
        other = expected[path]
        assert {**number, "value": None, "interval": None} == {**other, "value": None, "interval": None}
        if other["value"] is None:
            assert (number["value"], number["interval"]) == (None, None)
            continue
        ends = [(of["value"], of["interval"]["low"], of["interval"]["high"]) for of in (number, other)]
        np.testing.assert_allclose(*(np.array(of, float) for of in ends), atol=2e-4, rtol=0, err_msg=str(path))


def test_what_needs_no_golden_reply_is_as_with_them(full, bare):
    for name, category in full.estimates["categories"].items():
        other = bare.estimates["categories"][name]
        assert category["self"]["self_information"] is not None
        assert_same(other["self"]["self_information"], category["self"]["self_information"])
        assert_same(other["self"]["leave_one_out"], category["self"]["leave_one_out"])
        assert_same(other["lengths"]["policy"], category["lengths"]["policy"])
        for scorer in ("reasoned", "plain"):
            for formula in ("club", "mixture_raw", "leave_one_out", "prompt_marginal"):
                assert_same(other[scorer]["policy"][formula], category[scorer]["policy"][formula])
    here, there = (run.estimates["bounds"]["categories"]["german"]["divergence"] for run in (full, bare))
    assert here["of"]["user"]["representation"]["value"] > 0
    for quantity in ("of", "cascade", "shapley"):
        assert_same(there[quantity], here[quantity])
    assert [row["reply"] for row in bare.samples] == [row["reply"] for row in full.samples]


def test_what_golden_replies_make_is_null_and_says_why(bare):
    made, kept = 0, 0
    for category in bare.estimates["categories"].values():
        for path, number in numbers(category):
            if "policy" in path or path[0] in ("lengths", "self"):
                calibrated = path[2:3] in (("mixture",), ("retrieval",), ("saturated",))  # a critic's scale is a golden one
                golden = "golden" in path or "self_emi_mixed_scorers" in path or calibrated
            else:
                golden = True  # emi, emid, estimator_shift, relative, reasoning_gain and Ihat of golden replies
            if golden:
                assert (number["value"], number["interval"], number["reason"]) == (None, None, NO_GOLDEN), path
            else:
                assert number["value"] is not None, path
            made, kept = made + golden, kept + (not golden)
    assert made > kept > 50
    for path, number in numbers(bare.estimates["shifts"]):
        assert (number.get("reason") == NO_GOLDEN) == (path[-3:-1] != ("identified", "policy")), path
    controls = bare.estimates["controls"]["reasoned"]
    assert list(controls) == ["golden", "golden_other", "constant", "golden_half", "parrot", "reciter"]
    for path, number in numbers(controls):
        known = not path[0].startswith("golden") and ("identified" in path or "copied" in path)
        assert (number.get("reason") == NO_GOLDEN) == (not known), path
    assert bare.estimates["headline"]["reason"] == NO_GOLDEN
    assert bare.first_line == "No headline: no golden replies."
    bounds = bare.estimates["bounds"]
    assert bounds["categories"]["german"]["bounds"] == {"reason": "IDTest: no golden replies"}
    assert bounds["risk"] == {"reason": "IDTest: no golden replies"}
    golden = {key: value for row in bare.records["german"] for key, value in row.items() if key.startswith("golden_")}
    assert len(golden) == 6
    assert set(golden.values()) == {None}
    assert bare.diagnostics["german"]["golden"] == {"in_language": None, "in_language_reason": NO_GOLDEN}
    assert {row["golden"] for row in bare.samples} == {None}
    assert bare.shifts["user"].r_emid.reason == NO_GOLDEN
    assert {row["reason"] for row in bare.table().to_pylist() if row["quantity"] == "emi"} == {NO_GOLDEN}


def test_categories_with_golden_replies_keep_their_numbers_beside_one_without(full, mixed):
    here, there = (run.estimates["categories"]["IDTest"] for run in (mixed, full))
    for scorer in ("reasoned", "plain"):
        for formula in ("club", "mixture_raw", "leave_one_out", "prompt_marginal"):
            assert_same(here[scorer]["emi"][formula], there[scorer]["emi"][formula])
    assert_same(here["self"], there["self"] | {"self_emi_mixed_scorers": here["self"]["self_emi_mixed_scorers"]})
    german = mixed.estimates["categories"]["german"]["reasoned"]
    assert german["emid"]["club"]["token_rate"]["reason"] == NO_GOLDEN
    assert_same(german["policy"]["club"], full.estimates["categories"]["german"]["reasoned"]["policy"]["club"])
    assert mixed.estimates["bounds"]["categories"]["german"]["bounds"] == {"reason": "the category: no golden replies"}
    assert "german/of_id/self" not in mixed.scores
    assert "balls" in mixed.estimates["bounds"]["risk"]["reasoned"]


def test_every_place_that_shows_results_says_so(bare, mixed, tmp_path):
    for run in (bare, mixed):
        run.save(tmp_path)
        again = Evaluation.read(tmp_path)
        assert json.loads(json.dumps(run.results)) == again.results
        estimated = estimate(tmp_path / "scores.npz", bootstrap=0, subsamples=2)
        assert estimated["categories"] == run.estimates["categories"]
        text = io.StringIO()
        Console(file=text, width=200).print(terminal.summary(run.results))
        page = (tmp_path / "report.html").read_text()
        own = run.estimates["categories"]["german"]["self"]["self_information"]["response"]["value"]
        for shown in (text.getvalue(), page):
            assert NO_GOLDEN in shown
            assert f"{own:+.2f}" in shown
        assert "Self information of the policy" in text.getvalue()
        assert page.count("no golden reply<") == len(tables.without_golden(run.results))
    rows = {row.label: row for row in tables.headline(mixed.results).rows}
    assert [cell.reason for cell in rows["german"].cells[:2]] == [NO_GOLDEN] * 2
    assert rows["german"].cells[2].value is not None  # whose reply it is can be asked without a golden one
    assert rows["IDTest"].cells[2].value is not None


def test_a_comparison_leaves_a_category_without_golden_replies_out(mixed, bare):
    assert remid_jax.compare({"a": mixed, "b": mixed}).results["left_out"] == {"german": NO_GOLDEN}
    with pytest.raises(UserError) as error:
        remid_jax.compare({"a": bare, "b": bare})
    reasons = "IDTest: no golden replies; german: no golden replies"
    assert str(error.value) == f"a, b: no category in common ({reasons}): evaluate both on the same records"


def test_golden_replies_are_asked_for_unless_they_are_said_to_be_optional(evaluated, records, tmp_path):
    rows = [*records["IDTest"], *without(records["german"])]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError) as error:
        evaluated(path, golden_optional=None)
    wanted = "no record of 'german' has a golden reply: give them one, or set config.benchmark.golden_optional=True"
    places = [f"line {k} ({rows[k - 1]['sample_ID']!r}): agent_golden_response: missing" for k in (5, 6, 7, 8)]
    assert str(error.value) == "; ".join(f"{path}: {fault}" for fault in (wanted, *places))
    partly = [*records["IDTest"], *without(records["german"][:3]), records["german"][3]]
    with pytest.raises(UserError) as error:
        evaluated(partly)
    wanted = "1 of the 4 records of category 'german' have a golden reply: give one to all records of a category or to none"
    assert str(error.value) == f"records: {wanted}"
