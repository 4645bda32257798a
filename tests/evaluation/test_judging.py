"""Replies and numbers of finished evaluations, and what a judge whose answers are planted says of them."""

import fake_run
import numpy as np
import pytest
from evaluated import saved
from scipy import stats

from remid_jax.dialogues.judge_prompts import ContextTexts, JudgePrompts
from remid_jax.dialogues.rated import read_rated
from remid_jax.errors import UserError
from remid_jax.evaluation import judging
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.judged_replies import JudgedReply, of_file, of_runs
from remid_jax.evaluation.judging import judge, pairs_of
from remid_jax.information.estimates import Settings
from remid_jax.progress import Silent

NAMES = ("IDTest", "german", "spanish")
CONTROLS = ("golden", "golden_other", "constant", "parrot")


def results_of():
    return fake_run.results(NAMES, with_self=False, settings=Settings(bootstrap=0))


class Asked:
    """Stands in for an engine, of which a planted judge needs its name alone."""

    class model:
        source, dtype, fingerprint = "planted", "float32", "f"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two runs of one benchmark; the second replies otherwise, and its R-EMI in IDTest is 9."""
    folder, samples = tmp_path_factory.mktemp("runs"), fake_run.samples(NAMES)
    found = []
    for name, said in (("sft", "Patience."), ("naive", "As an AI I cannot.")):
        results = results_of()
        if name == "naive":
            results["estimates"]["categories"]["IDTest"]["reasoned"]["emi"]["club"]["token_rate"]["value"] = 9.0
        rows = [{**row, "reply": said} for row in samples]
        found.append(str(saved(folder / name, Evaluation(results, {"IDTest/fold": np.array([0, 1, 0])}, rows, {}))))
    return found


@pytest.fixture(scope="module")
def read(folders):
    return of_runs(folders, CONTROLS)


def test_replies_are_those_of_runs_and_controls(read):
    judged, _ = read
    said = {(of.system, of.context): of.reply for of in judged}
    assert len(said) == len(judged) == 6 * 9
    assert said["naive", "german/german-2"] == "As an AI I cannot."
    assert said["parrot", "german/german-2"] == "Was raten Sie mir?"
    assert said["golden", "IDTest/IDTest-1"] == said["golden_other", "IDTest/IDTest-2"] == "Measure twice, my friend."
    assert said["constant", "spanish/spanish-3"] == "I see. Please tell me more about that."
    assert judged[0].texts == ContextTexts(
        "A retired pilot who now keeps bees.", "name: Ada Lovelace\nspeech_style: Victorian, ends in a crisp claim",
        "User: What would you tell a young engineer?",
    )  # fmt: skip
    assert (judged[0].category, judged[0].lineage) == ("IDTest", "id-test-1")


def test_metrics_are_the_numbers_of_results(read):
    _, metrics = read
    estimates = results_of()["estimates"]
    assert list(metrics) == [
        "R-EMI", "novel R-EMI", "identified", "novel identified", "EMI", "novel EMI", "plain identified",
        "novel plain identified",
    ]  # fmt: skip
    german, control = estimates["categories"]["german"], estimates["controls"]["reasoned"]["parrot"]["german"]
    assert metrics["R-EMI"]["naive", "IDTest"] == 9.0
    assert metrics["R-EMI"]["naive", "german"] == german["reasoned"]["emi"]["club"]["token_rate"]["value"]
    assert metrics["novel EMI"]["sft", "german"] == german["plain"]["by_source"]["emi"]["novel"]["club"]["token_rate"]["value"]
    assert metrics["novel plain identified"]["sft", "german"] == german["plain"]["identified"]["policy"]["novel"]["value"]
    assert metrics["R-EMI"]["parrot", "german"] == control["club"]["token_rate"]["value"]
    assert metrics["novel R-EMI"]["parrot", "german"] == control["novel"]["club"]["token_rate"]["value"]
    assert metrics["identified"]["parrot", "german"] == control["identified"]["whole"]["value"]
    assert metrics["R-EMI"]["golden", "spanish"] == 0


def test_runs_that_cannot_be_compared_are_refused(folders, tmp_path):
    results = results_of()
    results["fingerprints"]["estimator"] = "other"
    other = str(saved(tmp_path / "other", Evaluation(results, {"x": np.zeros(1)}, fake_run.samples(NAMES), {})))
    with pytest.raises(UserError) as error:
        of_runs([folders[0], other], ())
    assert str(error.value) == "config.runs: sft and other have another estimator: judge runs that can be compared"
    with pytest.raises(UserError) as error:
        of_runs([folders[0], folders[0]], ())
    assert str(error.value).startswith("config.runs: two runs are called 'sft'")
    with pytest.raises(UserError) as error:
        of_runs(folders, ("parot",))
    assert str(error.value) == "config.controls: 'parot' is no control policy (did you mean 'parrot'?)"
    silent = [{**row, "golden": None} for row in fake_run.samples(NAMES)]
    bare = str(saved(tmp_path / "bare", Evaluation(results, {"x": np.zeros(1)}, silent, {})))
    with pytest.raises(UserError) as error:
        of_runs([bare], ("golden_other",))
    assert str(error.value) == (
        "config.controls: 'golden_other' needs golden replies, which 'IDTest' has none of: leave it out"
    )  # fmt: skip


WORTH = {"golden": 9.0, "sft": 7.0, "naive": 5.0, "golden_other": 3.0, "constant": 2.0, "parrot": 1.0}


@pytest.fixture
def planted(monkeypatch, read):
    """A judge that rates by system, a little less in german, and prefers the better one with .8, and with .9 if shown first."""
    judged, metrics = read
    apart = [of for of in judged if of.system != "golden_other"]  # here all golden replies of a category are one text
    systems = {(of.context, of.reply): of.system for of in apart}

    def rated(engine, prompts, asked, report):
        by_system = [WORTH[systems[of.group, of.replies[0]]] - ("german" in of.group) for of in asked]
        return np.tile(np.array(by_system)[:, None, None], (1, len(prompts.criteria), 2))

    def preferred(engine, prompts, asked, report):
        better = [WORTH[systems[of.group, of.replies[0]]] > WORTH[systems[of.group, of.replies[1]]] for of in asked]
        chances = np.where(np.array(better)[:, None], [0.9, 0.7], [0.3, 0.1])
        return np.tile(chances[:, None, None], (1, len(prompts.criteria), 2, 1))

    monkeypatch.setattr(judging, "rated", rated)
    monkeypatch.setattr(judging, "preferred", preferred)
    return judge(apart, metrics, Asked, JudgePrompts.load(), True, 0.95, 0, Silent()).results


def test_ratings_and_comparisons_are_means(planted):
    assert planted["counts"] == {"replies": 45, "contexts": 9, "pairs": 90}
    assert planted["ratings"]["sft"]["german"]["continuity"]["value"] == 6.0
    wins = {system: number["value"] for system, number in planted["wins"]["user fit"].items()}
    assert wins == pytest.approx({"golden": 0.8, "sft": 0.65, "naive": 0.5, "constant": 0.35, "parrot": 0.2})
    assert planted["pairs"]["user fit"]["sft > naive"]["value"] == pytest.approx(0.8)
    assert planted["itself"]["user fit"]["position_bias"]["value"] == pytest.approx(0.1)
    assert planted["itself"]["user fit"]["orders_agree"]["value"] == 1.0
    assert planted["itself"]["user fit"]["ratings_agree"]["value"] == 1.0


def test_metrics_are_correlated_over_systems_and_categories(planted, read):
    _, metrics = read
    cells = [(system, category) for system in WORTH if system != "golden_other" for category in NAMES]
    ratings = [WORTH[system] - (category == "german") for system, category in cells]
    numbers = [metrics["R-EMI"][cell] for cell in cells]
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
    texts = ContextTexts("", "", "")
    replies = [JudgedReply("a", "all", "a", system, said, texts) for system, said in ("xp", "xq", "yp", "zr")]
    assert pairs_of(replies).tolist() == [[0, 3], [1, 2], [1, 3], [2, 3]]
    assert pairs_of(replies[:1]).shape == (0, 2)


def test_a_files_replies_get_the_ratings_as_scores(planted):
    rows = [
        {"context_id": name, "messages": [{"role": "user", "content": f"{name}?"}], "system": "m", "reply": "Yes.",
         "scores": {"fit": 1}}
        for name in "ab"
    ]  # fmt: skip
    replies = read_rated(rows)
    assert [of.texts.dialogue for of in of_file(replies)] == ["User: a?", "User: b?"]
    said = judging.Judgement({"criteria": {"wit": "is funny"}}, [{"wit": 3.5}, {"wit": 4.0}]).scored(replies)
    assert [of.scores for of in said] == [{"fit": 1.0, "judge: wit": 3.5}, {"fit": 1.0, "judge: wit": 4.0}]
