"""The first look: which categories it takes, and that the whole evaluation goes on from what it computed and opened."""

import pytest
from scripts import change

from configs import quickstart
from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import write_jsonl
from remid_jax.evaluation import first_look, models
from remid_jax.evaluation.arguments import Given
from remid_jax.evaluation.evaluate import evaluate_config
from remid_jax.evaluation.first_look import first_categories, take_first_look, time_left
from remid_jax.progress import Silent
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store


class Told(Silent):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def test_first_categories_are_the_references_and_one_a_shift():
    assert first_categories(RPGBENCH, list(RPGBENCH.categories)) == ("IDTest", "german", "Literature", "TurnLevelComposition")
    made_up = {
        "cairo": Category("cairo", "new users", "paris"),
        "paris": Category("paris"),
        "alone": Category("alone"),
        "oslo": Category("oslo", "new users", "paris"),
        "opera": Category("opera", "new genre", "film"),
        "film": Category("film"),
    }
    manifest = Manifest(made_up)
    assert first_categories(manifest, list(made_up)) == ("cairo", "paris", "opera", "film")
    assert first_categories(manifest, ["alone", "oslo", "paris"]) == ("oslo", "paris")


@pytest.fixture
def config(tmp_path, ending_directory):
    """Three records each of a reference and of two categories of one shift."""
    config, path = quickstart.get_config(), tmp_path / "records.jsonl"
    test = read_benchmark("package:rpgbench_compact").test
    write_jsonl(path, [record for name in ("IDTest", "german", "spanish") for record in test[name][:3]])
    model = {"estimator.model": str(ending_directory), "estimator.adapters": "", "policy.model": str(ending_directory)}
    small = {
        "benchmark.source": str(path),
        "estimator.max_reasoning": 4,
        "policy.max_reply": 8,
        "policy.self_samples": 0,
    }
    exact = {"estimator.dtype": "float32", "policy.dtype": "float32", "statistics.bootstrap": 0, "statistics.subsamples": 2}
    change(config, model | small | exact | {"devices.tokens_per_step": 1024, "devices.sampling_rows": 2})
    return config


def test_the_whole_goes_on_from_the_first_look(config, tmp_path, monkeypatch):
    told, store = Told(), Store(tmp_path / "store.sqlite")
    whole = evaluate_config(config, Store(":memory:"), reading_of(config), Silent())
    categories = tuple(whole.estimates["categories"])
    clock = iter((100.0, 160.0))
    monkeypatch.setattr(first_look, "monotonic", lambda: next(clock))  # the look takes a minute, the rest has half its records
    given = take_first_look(config, store, reading_of(config), told)
    monkeypatch.undo()
    assert categories == ("IDTest", "german", "spanish")
    assert told.lines[0] == "first 2 of 3 categories: IDTest, german"
    with monkeypatch.context() as patch:
        patch.setattr(models, "open_model", None)  # no model is opened again
        after = evaluate_config(config, store, reading_of(config), Silent(), given)
    assert [row["reply"] for row in after.samples] == [row["reply"] for row in whole.samples]
    assert after.estimates == whole.estimates
    asked = [engine for kind in ("scoring", "sampling") for engine in after.run.get(kind, {}).values()]
    assert sum(engine["store_hits"] for engine in asked) > 0
    config.benchmark.categories = ("IDTest", "german")
    narrow, silent = evaluate_config(config, Store(":memory:"), reading_of(config), Silent()), Told()
    assert told.lines[1:-1] == ["A first look, of one category a shift:", *(f"  {line}" for line in narrow.verdict)]
    assert told.lines[-1] == "All 3 categories: about 0:30 more"
    assert take_first_look(config, store, reading_of(config), silent) == Given()
    assert silent.lines == []


def test_how_long_the_rest_takes_counts_what_was_computed():
    assert time_left(60.0, [{"rows": 4, "store_misses": 4}], 2.0) == 120.0
    assert time_left(60.0, [{"rows": 4, "store_misses": 3}, {"rows": 4, "store_misses": 3}], 2.0) == 160.0
    assert time_left(60.0, [{"rows": 4, "store_misses": 2}], 2.0) is None
