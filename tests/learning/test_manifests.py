"""Training reads the manifest that `config.benchmark.manifest` names, as an evaluation does."""

import importlib
import json

import pytest
from scripts import change

from remid_jax.errors import UserError

ROW = {
    "user_persona": "Ann.", "agent_character": {"name": "Al"}, "dialogue_context": [{"user_query": "Hi."}],
    "agent_golden_response": "Good day.",
}  # fmt: skip


@pytest.fixture
def refused(tiny_directory, tmp_path):
    """refused(script, config, manifest): the message of training on two records for it and two of a category."""
    rows = [ROW | {"sample_ID": str(k), "subset_tag": tag} for k, tag in enumerate(("fit", "fit", "day", "day"))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def refused(script, name, manifest):
        (tmp_path / "other.json").write_text(json.dumps(manifest))
        config = importlib.import_module(f"configs.{name}").get_config()
        change(config, {
            "model": str(tiny_directory), "benchmark.source": str(tmp_path / "rows.jsonl"), "batch": 6,
            "benchmark.manifest": str(tmp_path / "other.json"),
        })  # fmt: skip
        with pytest.raises(UserError) as error:
            importlib.import_module(f"experiments.{script}").main(config, tmp_path / "work")
        return str(error.value).replace(str(tmp_path), "...")

    return refused


@pytest.mark.parametrize(("script", "name"), [("train", "policy_sft"), ("corl", "corl_quickstart")])
def test_the_manifest_says_which_records_are_for_training(refused, script, name):
    said = refused(script, name, {"categories": {"day": {}}, "train": "fit"})
    few = {
        "train": "2 of 2 IDTrain records fit config.max_prompt=640 and config.max_answer=256, fewer than config.batch=6: raise "
        "the limits or lower the batch",
        "corl": "fold0 has 2 records, fewer than a step takes (6): give more records, or lower config.batch and "
        "config.prompts_per_step",
    }
    assert said == f".../rows.jsonl: {few[script]}"
    said = refused(script, name, {"categories": {"night": {}}, "train": "fit"})
    many = "'day' (and of 1 more) is no category of the manifest, whose categories are night"
    assert said == f".../rows.jsonl: line 3 ('2'): subset_tag: {many}"
