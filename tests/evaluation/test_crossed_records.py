"""An evaluation of records whose users and characters are crossed, from records to what is kept."""

import numpy as np
import pytest

import remid_jax
from remid_jax.evaluation.estimating import estimate
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent

PAIRS = [(user, character) for user in ("u1", "u2", "u3") for character in ("c1", "c2")]


def talk(user, character):
    return {
        "id": f"{user}-{character}", "lineage": {"user": user, "character": character}, "user_persona": f"User {user}.",
        "messages": [
            {"role": "system", "content": f"You are {character}."},
            {"role": "user", "content": f"Who am I, {character}?"},
            {"role": "assistant", "content": f"You are {user}."},
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def evaluation(ending_directory, tmp_path_factory):
    model = open_model(str(ending_directory))
    return remid_jax.evaluate(
        {"source": [talk(*pair) for pair in PAIRS]},
        policy={"replies": {f"{user}-{character}": f"No, {user}." for user, character in PAIRS}},
        estimator={"model": model, "adapters": "", "reasoning": dict.fromkeys(("-".join(pair) for pair in PAIRS), "Thus.")},
        statistics={"bootstrap": 0},
        devices={"tokens_per_step": 1024, "sampling_rows": 8},
        store=tmp_path_factory.mktemp("store") / "store.sqlite",
        progress=Silent(),
    )


def test_clusters_reach_scores_results_and_samples(evaluation):
    users, characters = zip(*PAIRS, strict=True)
    assert evaluation.scores["all/cluster/user"].tolist() == list(users)
    assert evaluation.scores["all/cluster/character"].tolist() == list(characters)
    category = evaluation.estimates["categories"]["all"]
    assert (category["lineages"], category["clusters"]) == (6, {"character": 2, "user": 3})
    found = category["reasoned"]["emi"]["club"]["token_rate"]["interval"]
    assert (found["kinds"], found["clusters"], found["validated"]) == ({"character": 2, "user": 3}, 2, False)
    assert [row["cluster_user"] for row in evaluation.samples] == list(users)
    assert [row["cluster_character"] for row in evaluation.records["all"]] == list(characters)
    assert [warning for warning in evaluation.warnings if "lineage" in warning] == []


def test_what_is_kept_gives_the_same_again(evaluation, tmp_path):
    evaluation.save(tmp_path / "run")
    read = Evaluation.read(tmp_path / "run")
    assert estimate(tmp_path / "run" / "scores.npz", bootstrap=0)["categories"] == evaluation.estimates["categories"]
    assert all(np.array_equal(array, read.scores[name], equal_nan=array.dtype.kind == "f")
               for name, array in evaluation.scores.items())  # fmt: skip


def test_a_run_compared_with_itself_has_differences_of_nothing_over_both_kinds(evaluation):
    row = remid_jax.compare({"a": evaluation, "b": evaluation}).headline[0]
    assert (row.value, row.low, row.high, row.clusters, row.validated) == (0.0, 0.0, 0.0, 2, False)
