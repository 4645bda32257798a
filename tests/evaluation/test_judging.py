"""Replies and numbers of finished evaluations, and what a judge whose answers are planted says of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluated import saved
from judged_runs import BENCHMARK, NAMES, results_of, samples_of, saved_run
from refusal import refusal
from scipy import stats

from remid_jax.dialogues.judge_prompts import JudgePrompts
from remid_jax.dialogues.rated import RatedReply, read_rated
from remid_jax.endpoints.canned import Canned
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Recorded, Unanswered
from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.joint_agreement import joint_agreement
from remid_jax.evaluation.judging import judge, pairs_of
from remid_jax.evaluation.replies_of_runs import Metrics, replies_of_runs
from remid_jax.progress import Silent
from remid_jax.roles.asked_judge import AskedJudge
from remid_jax.scoring.store import Store

CONTROLS = ("golden", "golden_other", "constant", "parrot")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of one benchmark; the second replies otherwise, and its R-EMI in IDTest is 9."""
    folder = tmp_path_factory.mktemp("runs")
    return [
        str(saved_run(folder / "sft", "Patience.")),
        str(saved_run(folder / "naive", "As an AI I cannot.", r_emi=9.0)),
    ]


@pytest.fixture(scope="module")
def read(folders):
    return replies_of_runs(folders, CONTROLS)


def test_replies_are_those_of_runs_and_controls(read):
    replies, _ = read
    said = {(of.system, of.record.id): of.reply for of in replies}
    assert len(said) == len(replies) == 6 * 9
    german, english = BENCHMARK.test["german"], BENCHMARK.test["IDTest"]
    assert said["naive", german[1].id] == "As an AI I cannot."
    assert said["parrot", german[1].id] == german[1].dialogue[-1].text
    assert said["golden", english[0].id] == english[0].golden
    assert said["golden_other", german[0].id] == german[2].golden  # half a turn of three
    assert [said["golden_other", of.id] for of in english[:3]] == [english[k].golden for k in (2, 1, 0)]  # in folds of 2 and 1
    assert said["constant", german[2].id] == "I see. Please tell me more about that."
    assert replies[0] == RatedReply(english[0], "sft", "Patience.", {})


def test_metrics_are_the_numbers_of_results(read):
    _, metrics = read
    estimates = results_of()["estimates"]
    assert list(metrics) == [
        "R-EMI", "novel R-EMI", "identified", "novel identified", "EMI", "novel EMI", "plain identified",
        "novel plain identified",
    ]  # fmt: skip
    german, control = estimates["categories"]["german"], estimates["controls"]["reasoned"]["parrot"]["german"]
    assert metrics["R-EMI"]["naive", "IDTest"]["value"] == 9.0
    assert metrics["R-EMI"]["naive", "german"] == german["reasoned"]["emi"]["club"]["token_rate"]
    assert metrics["novel EMI"]["sft", "german"] == german["plain"]["by_source"]["emi"]["novel"]["club"]["token_rate"]
    assert metrics["novel plain identified"]["sft", "german"] == german["plain"]["identified"]["policy"]["novel"]
    assert metrics["R-EMI"]["parrot", "german"] == control["club"]["token_rate"]
    assert metrics["novel R-EMI"]["parrot", "german"] == control["novel"]["club"]["token_rate"]
    assert metrics["identified"]["parrot", "german"] == control["identified"]["whole"]
    assert metrics["R-EMI"]["golden", "spanish"]["value"] == 0


def test_runs_that_cannot_be_judged_are_refused(folders, tmp_path):
    def refusal(workdirs, controls=()):
        with pytest.raises(UserError) as error:
            replies_of_runs(workdirs, controls)
        return str(error.value)

    def changed(name, change):
        results = results_of()
        change(results)
        return str(saved(tmp_path / name, Evaluation(results, {"x": np.zeros(1)}, samples_of("Yes."), {})))

    other = changed("other", lambda of: of["fingerprints"].update(estimator="other"))
    assert refusal([folders[0], other]) == (
        "config.runs: sft and other have another estimator: judge runs that are comparable"
    )  # fmt: skip
    assert refusal([folders[0]] * 2) == f"config.runs: {folders[0]} is called 'sft', as another one is: rename its folder"
    parrot = str(tmp_path / "parrot")
    assert refusal([parrot]) == f"config.runs: {parrot} is called 'parrot', as a control policy is: rename its folder"
    assert refusal(folders, ("parot",)) == "config.controls: 'parot' is no control policy (did you mean 'parrot'?)"
    moved = changed("moved", lambda of: of["fingerprints"].update(benchmark="before"))
    assert refusal([moved]) == f"{moved}: package:rpgbench_compact/eight is no longer what was evaluated: evaluate it again"
    given = changed("given", lambda of: of["config"]["benchmark"].update(source="given in Python"))
    assert refusal([given]) == f"{given}: its benchmark was given in Python: evaluate it from a file to judge its replies"


WORTH = {"golden": 9.0, "sft": 7.0, "naive": 5.0, "golden_other": 3.0, "constant": 2.0, "parrot": 1.0}


class Planted:
    """A judge that rates by system, a little less in german, and prefers the better one with .8, with .9 if it is shown first.

    One rating it does not give.
    """

    prompts, unit, missing = JudgePrompts.load(), "replies", {}

    def __init__(self, replies):
        self.systems = {(of.record.id, of.reply): of.system for of in replies}
        self.german = {of.record.id for of in replies if of.record.category == "german"}

    def described(self):
        return {"source": "planted", "dtype": None}

    def rated(self, asked, report):
        by_system = [WORTH[self.systems[of.group, of.replies[0]]] - (of.group in self.german) for of in asked]
        ratings = np.tile(np.array(by_system)[:, None, None], (1, len(self.prompts.criteria), 2))
        ratings[0, 0, 1] = np.nan
        return ratings

    def preferred(self, asked, report):
        better = [WORTH[self.systems[of.group, of.replies[0]]] > WORTH[self.systems[of.group, of.replies[1]]] for of in asked]
        chances = np.where(np.array(better)[:, None], [0.9, 0.7], [0.3, 0.1])
        return np.tile(chances[:, None], (1, len(self.prompts.criteria), 1))


@pytest.fixture(scope="module")
def planted(read):
    judged, metrics = read
    apart = [of for of in judged if of.system != "golden_other"]  # in a fold of one it is golden
    return judge(apart, metrics, Planted(apart), True, 0.95, 0, Silent())


def test_ratings_and_comparisons_are_means(planted):
    scores = {of.system: of.scores for of in planted.replies if of.record.category == "IDTest"}
    assert scores["sft"] == {f"judge: {name}": 7.0 for name in ("role consistency", "user fit", "continuity")}
    planted = planted.results
    assert planted["counts"] == {"replies": 45, "contexts": 9, "pairs": 90, "answers": 810, "missing": {}, "unread": 1}
    assert planted["ratings"]["sft"]["german"]["continuity"]["value"] == 6.0
    assert planted["systems"]["naive"]["continuity"]["value"] == pytest.approx(5 - 1 / 3)  # a third of the contexts is german
    wins = {system: number["value"] for system, number in planted["wins"]["user fit"].items()}
    assert wins == pytest.approx({"golden": 0.8, "sft": 0.65, "naive": 0.5, "constant": 0.35, "parrot": 0.2})
    assert planted["pairs"]["user fit"]["sft > naive"]["value"] == pytest.approx(0.8)
    assert planted["itself"]["user fit"]["position_bias"]["value"] == pytest.approx(0.1)
    assert planted["itself"]["user fit"]["orders_agree"]["value"] == 1.0
    assert planted["itself"]["user fit"]["ratings_agree"]["value"] == 1.0


def test_metrics_are_correlated_over_systems_and_categories(planted, read):
    _, metrics = read
    planted = planted.results
    cells = [(system, category) for system in WORTH if system != "golden_other" for category in NAMES]
    ratings = [WORTH[system] - (category == "german") for system, category in cells]
    numbers = [metrics["R-EMI"][cell]["value"] for cell in cells]
    assert planted["values"]["R-EMI"]["naive"]["IDTest"]["value"] == 9.0
    found = planted["metrics"]["continuity"]["R-EMI"]
    assert found["spearman"]["value"] == pytest.approx(stats.spearmanr(numbers, ratings).statistic, abs=1e-9)
    assert found["spearman"]["interval"]["kinds"] == {"context": 3, "system": 5}
    assert found["systems"]["value"] == pytest.approx(
        stats.spearmanr(
            np.reshape(numbers, (5, 3)).mean(axis=1), [WORTH[name] for name in WORTH if name != "golden_other"]
        ).statistic,
        abs=1e-9,
    )


@pytest.fixture
def judged_apart(planted, read, tmp_path):
    """judged_apart(systems, ...): folders, each with what `Planted` says of some systems."""
    replies, metrics = [of for of in read[0] if of.system != "golden_other"], read[1]

    def judged_apart(*groups):
        folders = []
        for number, systems in enumerate(groups):
            few = [of for of in replies if of.system in systems]
            folders.append(tmp_path / f"judged{number}")
            folders[-1].mkdir()
            judge(few, metrics, Planted(replies), False, 0.95, 0, Silent()).save(folders[-1])
        return [str(folder) for folder in folders]

    return judged_apart


def test_judged_apart_they_agree_as_judged_together(planted, folders, judged_apart):
    controls = ["golden", "constant", "parrot"]
    found = joint_agreement(folders, controls, judged_apart(["sft", *controls], ["naive"]), 0.95, 0)
    assert found["systems"] == 5
    assert found["judge"] == {"source": "planted", "dtype": None}
    together = planted.results["metrics"]
    assert found["metrics"].keys() == together.keys()
    for criterion, of_criterion in together.items():
        for metric, measures in of_criterion.items():
            for measure, expected in measures.items():
                assert found["metrics"][criterion][metric][measure]["value"] == pytest.approx(expected["value"], abs=1e-12)
    assert found["metrics"]["continuity"]["R-EMI"]["spearman"] == together["continuity"]["R-EMI"]["spearman"]


def test_a_systems_metrics_are_means_over_its_categories(folders, read, judged_apart):
    found = joint_agreement(folders, ["parrot"], judged_apart(["sft", "parrot"], ["naive"]), 0.95, 0)
    assert list(found["means"]) == ["sft", "naive", "parrot"]
    for system, of_system in found["means"].items():
        for metric, mean in of_system.items():
            values = [number["value"] for (whose, _), number in read[1][metric].items() if whose == system]
            half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
            assert mean["value"] == pytest.approx(np.mean(values), abs=1e-12)
            assert mean["interval"]["clusters"] == mean["n"] == len(values) == 3
            assert mean["interval"]["high"] == pytest.approx(np.mean(values) + half, abs=1e-9)
    assert found["means"]["naive"]["R-EMI"]["unit"] == "token_rate"


def test_what_was_judged_apart_must_fit_together(folders, judged_apart):
    one, two, again = judged_apart(["sft", "golden"], ["naive"], ["naive"])
    assert refusal(joint_agreement, folders, ["parrot"], [one, two], 0.95, 0) == (
        f"{one}, {two}: no ratings of parrot: judge these, too"
    )
    assert refusal(joint_agreement, folders, [], [one, two, again], 0.95, 0) == (
        f"{again}: 'naive' was judged in another folder, too: name one of them"
    )
    path = Path(two) / "judge.json"
    path.write_text(path.read_text().replace('"planted"', '"another"'))
    assert refusal(joint_agreement, folders, [], [one, two], 0.95, 0) == (
        f"{two}: another judge, or one with other prompts, than in {one}: judge all replies alike"
    )
    assert refusal(joint_agreement, folders, [], [folders[0]], 0.95, 0).startswith(f"{folders[0]}/judge.json: ")


def test_equal_texts_and_replies_of_one_system_are_not_compared():
    row = {"messages": [{"role": "user", "content": "Hm?"}]}
    said = [("a", system, reply) for system, reply in ("xp", "xq", "yp", "zr")] + [("b", "x", "p")]
    replies = read_rated([{**row, "context_id": of[0], "system": of[1], "reply": of[2]} for of in said], scored=False)
    assert pairs_of(replies).tolist() == [[0, 3], [1, 2], [1, 3], [2, 3]]
    assert pairs_of(replies[:1]).shape == (0, 2)


def test_answers_that_did_not_come_are_counted_by_reason_and_refused_once_the_others_are_saved(tmp_path):
    def answer(chat, draw):
        asked = chat.messages[-1]["content"]
        if "Never." in asked:
            raise Unanswered("it timed out")
        return "As you like." if "Mute." in asked else "7"

    backend, store = Canned(answer), Store(":memory:")
    endpoint = Recorded("endpoint:it", backend, store, Ledger(), 1)
    messages = [{"role": "user", "content": "Hm?"}]
    said = [("m1", "Good."), ("m2", "Never."), ("m3", "Mute.")]
    rows = [{"context_id": of, "messages": messages, "system": name, "reply": reply} for of in "ab" for name, reply in said]
    replies = read_rated(rows, scored=False)
    found = judge(replies, Metrics(), AskedJudge(endpoint, JudgePrompts.load(), 8), False, 0.95, 0, Silent())
    with pytest.raises(UserError) as refused:
        found.save(tmp_path)
    assert str(refused.value) == (
        "endpoint:it: 12 of 36 replies did not come (12 x it timed out): the others are kept, run the same command again for "
        "these"
    )
    counts = json.loads((tmp_path / "judge.json").read_text())["counts"]
    assert (counts["answers"], counts["missing"], counts["unread"]) == (36, {"it timed out": 12}, 12)
