"""Replies and numbers of finished evaluations, and what a judge whose answers are planted says of them."""

import fake_run
import numpy as np
import pytest
from evaluated import saved
from scipy import stats

from remid_jax.dialogues.judge_prompts import JudgePrompts
from remid_jax.dialogues.rated import RatedReply, read_rated
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.judging import judge, pairs_of
from remid_jax.evaluation.replies_of_runs import replies_of_runs
from remid_jax.information.estimates import Settings
from remid_jax.progress import Silent

NAMES = ("IDTest", "german", "spanish")
CONTROLS = ("golden", "golden_other", "constant", "parrot")


BENCHMARK = read_benchmark("package:rpgbench_compact/eight", categories=NAMES)


def results_of():
    results = fake_run.results(NAMES, with_self=False, settings=Settings(bootstrap=0))
    results["config"]["benchmark"] = {"source": "package:rpgbench_compact/eight", "categories": list(NAMES), "records": 3}
    results["fingerprints"]["benchmark"] = BENCHMARK.fingerprint
    return results


def samples_of(said):
    """Three records a category, and one reply to all."""
    return [
        {"record": record.id, "category": category, "reply": said, "reply_finished": True}
        for category, members in BENCHMARK.test.items()
        for record in members[:3]
    ]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of one benchmark; the second replies otherwise, and its R-EMI in IDTest is 9."""
    folder, found = tmp_path_factory.mktemp("runs"), []
    for name, said in (("sft", "Patience."), ("naive", "As an AI I cannot.")):
        results = results_of()
        if name == "naive":
            results["estimates"]["categories"]["IDTest"]["reasoned"]["emi"]["club"]["token_rate"]["value"] = 9.0
        run = Evaluation(results, {"IDTest/fold": np.array([0, 1, 0])}, samples_of(said), {})
        found.append(str(saved(folder / name, run)))
    return found


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

    prompts = JudgePrompts.load()

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
    assert planted["counts"] == {"replies": 45, "contexts": 9, "pairs": 90, "unread": 1}
    assert planted["ratings"]["sft"]["german"]["continuity"]["value"] == 6.0
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


def test_equal_texts_and_replies_of_one_system_are_not_compared():
    row = {"messages": [{"role": "user", "content": "Hm?"}]}
    said = [("a", system, reply) for system, reply in ("xp", "xq", "yp", "zr")] + [("b", "x", "p")]
    replies = read_rated([{**row, "context_id": of[0], "system": of[1], "reply": of[2]} for of in said], scored=False)
    assert pairs_of(replies).tolist() == [[0, 3], [1, 2], [1, 3], [2, 3]]
    assert pairs_of(replies[:1]).shape == (0, 2)
