"""A policy behind an endpoint: measured as if its model were here, paid for once, and told where it was asked."""

import json

import numpy as np
import pytest
from faulty_server import FaultyServer
from refusal import refusal
from running import running

import remid_jax
from remid_jax.evaluation.loaded import LoadedModels
from remid_jax.evaluation.settings import default_settings
from remid_jax.models.loading import open_model
from remid_jax.progress import Silent
from remid_jax.sweeps import inputs

SETTINGS = {"statistics": {"bootstrap": 0, "subsamples": 4}, "devices": {"tokens_per_step": 1024, "sampling_rows": 4}}


@pytest.fixture
def evaluate(tmp_path, few_records, tiny_directory):
    """evaluate(base_url, policy's settings, of the endpoint): an evaluation whose store stays."""

    def evaluate(base_url, policy=None, **described):
        path = tmp_path / "endpoints.json"
        path.write_text(json.dumps({"it": {"base_url": base_url, "model": "tiny", "retries": 0, "concurrency": 8} | described}))
        return remid_jax.evaluate(
            few_records,
            policy={"model": "endpoint:it", "max_reply": 12} | (policy or {}),
            estimator={"model": open_model(str(tiny_directory)), "adapters": "", "max_reasoning": 8, "plain": "golden"},
            endpoints=str(path),
            store=str(tmp_path / "store.sqlite"),
            progress=Silent(),
            **SETTINGS,
        )

    return evaluate


def test_its_numbers_are_those_of_the_same_model_here(evaluate, tiny_directory):
    with running(open_model(str(tiny_directory)), max_prompt=640) as (base_url, _):
        found = evaluate(base_url)
        again = evaluate(base_url)
    here = evaluate(base_url, {"model": str(tiny_directory), "repetition_penalty": 1.0, "self_samples": 0})
    assert [row["reply"] for row in found.samples] == [row["reply"] for row in here.samples]
    assert {row["reply"] for row in found.samples} != {""}
    assert set(found.scores) == set(here.scores)
    for name, array in here.scores.items():
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found.scores[name], array, atol=1e-3)
    [account] = found.run["endpoints"].values()
    assert (account["replies"], account["from_store"], account["tries"], account["failures"]) == (9, 0, 9, {})
    assert account["completion_tokens"] <= 9 * 12
    [account] = again.run["endpoints"].values()
    assert (account["replies"], account["from_store"], account["tries"]) == (9, 9, 0)
    assert again.results == found.results
    assert found.results["policy"] | {"thinking": None} == {
        "model": "endpoint:it", "dtype": None, "adapter": None, "thinking": None, "replies": "generated",
        "endpoint": {"base_url": base_url, "model": "tiny", "body": {}}, "run": None, "step": None,
    }  # fmt: skip
    assert found.results["fingerprints"]["policy"] is None
    assert len(found.results["fingerprints"]["replies"]) == 64
    for category in found.estimates["categories"].values():
        assert category["self"] == here.estimates["categories"]["IDTest"]["self"] | {"reason": category["self"]["reason"]}
        assert category["self"]["reason"] == "no samples scored under the policy's own kernel"
    assert f"endpoint:it (tiny at {base_url}), replies generated" in found._repr_html_() + page_of(found)


def page_of(found):
    from remid_jax.reporting import report

    return report.page_of(found.results, found.samples)


def test_thoughts_are_left_out_and_cut_replies_are_not_finished(evaluate):
    server = FaultyServer(content_of=lambda content: "<think>A user.</think> <Agent Response> Good day! </Agent Response>")
    found = evaluate(server.base_url)
    server.close()
    assert {row["reply"] for row in found.samples} == {"Good day!"}
    assert sum(category["replies"]["thoughts"]["replies"] for category in found.diagnostics.values()) == 9
    assert sum(category["replies"]["truncated"] for category in found.diagnostics.values()) == 0


def test_what_stops_it(evaluate, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    server = FaultyServer()
    assert refusal(evaluate, server.base_url, key="NO_SUCH_KEY") == (
        f"endpoint:it: the environment has no NO_SUCH_KEY: export it with the key of {server.base_url}"
    )
    assert refusal(evaluate, server.base_url, {"adapter": "folder"}) == (
        "config.policy.adapter: endpoint:it is no model on this machine: leave it out"
    )
    said = refusal(evaluate, server.base_url, cap_tokens=1, concurrency=1)
    assert said.startswith('endpoint:it: its "cap_tokens" of 1 is reached: ')
    assert server.paid.total() == 1
    server.close()


def test_a_sweep_knows_it_by_what_its_description_says(tmp_path):
    path = tmp_path / "endpoints.json"

    def print_of(**described):
        path.write_text(json.dumps({"it": {"base_url": "http://127.0.0.1:1/v1", "model": "tiny"} | described}))
        return inputs.model("endpoint:it", str(path))

    assert print_of() == print_of(concurrency=2, cap_tokens=7)
    assert print_of() != print_of(model="other")


def test_a_sweep_opens_no_model_for_it(tiny_directory):
    config = default_settings()
    config.policy.model, config.estimator.model = "endpoint:it", str(tiny_directory)
    assert list(LoadedModels().of_evaluation(config)) == ["estimator"]
