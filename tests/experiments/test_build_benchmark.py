"""The script that has a benchmark written: out of a server, with a model of this machine, and what it refuses."""

import json

import pytest
import writer
from faulty_server import FaultyServer
from scripts import load

from remid_jax.dialogues.reading import read_benchmark

SMALL = {"categories": ("german", "WordLevelComposition"), "lineages": 2, "train_lineages": 1, "max_new": 64}


@pytest.fixture
def server():
    made = FaultyServer(content_of=writer.answer)
    yield made
    made.close()


@pytest.fixture
def changes(tmp_path, server):
    """Settings that ask the server under two names."""
    path = tmp_path / "endpoints.json"
    described = {
        "base_url": server.base_url,
        "model": "m-1",
        "retries": 0,
        "concurrency": 1,
        "price": {"prompt": 0.0, "completion": 1e5},
    }
    path.write_text(json.dumps({"writes": described, "searches": described | {"model": "m-2"}}))
    return SMALL | {"endpoints": str(path), "model": "endpoint:writes"}


def test_it_writes_a_benchmark_and_says_what_it_cost(call, changes, server, capsys, tmp_path):
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "people.md").write_text("Ada Lovelace wrote a table of operations.")
    work = call("build_benchmark", changes | {"search": "endpoint:searches", "sources": str(tmp_path / "library")})
    found, benchmark = load(work / "build.json"), read_benchmark(work / "PDGBench.json")
    assert {name: len(records) for name, records in benchmark.test.items()} == {
        "IDTest": 2, "german": 2, "WordLevelComposition": 2,
    }  # fmt: skip
    assert len(benchmark.train) == 1
    assert found["fingerprint"] == benchmark.fingerprint
    assert found["asked"]["lookup"]["endpoint"]["model"] == "m-2"
    searched = [body for body in server.bodies if body["model"] == "m-2"]
    assert len(searched) == found["account"]["endpoint:searches"]["replies"] == found["counts"]["stages"]["look up"]["asked"]
    assert f"endpoint:searches: replies | {len(searched)} |" in (work / "card.md").read_text()
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "records kept: 7; rejected by gates: 0; questions without a fitting answer: 0"
    asked = len(server.bodies) - len(searched)
    tokens = found["account"]["endpoint:writes"]["prompt_tokens"]
    spent = f"{tokens} + {5 * asked} tokens, cost {asked * 0.5:.4g}"
    assert said[1] == f"endpoint:writes: {asked} answers, 0 of them from earlier runs, {spent}"
    call("build_benchmark", changes | {"search": "endpoint:searches", "sources": str(tmp_path / "library")})
    assert server.paid.total() == asked + len(searched)
    assert load(work / "build.json")["fingerprint"] == found["fingerprint"]


def test_a_scoring_model_is_for_the_gate_of_likelihoods(call, changes, tiny_directory, monkeypatch, capsys):
    given = []

    def gates(sources, scoring, prompts):
        given.append((sources, scoring, prompts))
        return []

    monkeypatch.setattr("remid_jax.construction.builds.default_gates", gates)
    call("build_benchmark", changes)
    call("build_benchmark", changes | {"scoring.model": str(tiny_directory)})
    assert [scoring is not None for _, scoring, _ in given] == [False, True]
    assert given[1][1].model.source == str(tiny_directory)
    assert set(given[1][0]) == {"word_level-1-1", "word_level-2-1"}
    assert [source.category for sources in given[1][0].values() for source in sources] == ["IDTest"] * 2
    said = "no config.scoring.model: nothing checks that golden replies are likelier in their own contexts"
    assert capsys.readouterr().err.count(said) == 1


def test_a_model_of_this_machine_is_asked_and_a_tiny_one_fails(refused, tiny_directory, tmp_path):
    settings = SMALL | {"model": str(tiny_directory), "max_new": 4, "tries": 2, "devices.sampling_rows": 4}
    said = refused("build_benchmark", settings)
    assert said.startswith(
        "no record could be made: stage 'propose' failed first (2 x holds no JSON object, cut off after 4 tokens"
    )
    [row] = (tmp_path / "work" / "failures.jsonl").read_text().splitlines()
    assert json.loads(row)["stage"] == "propose"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model": None}, "config.model is not set: name who writes, --config.model=endpoint:NAME or a model"),
        (
            {"model": "endpoint:wrotes"},
            "{folder}/endpoints.json: has no endpoint 'wrotes' (did you mean 'writes'?): it has writes, searches",
        ),
        ({"sources": "none"}, "none: holds no .txt or .md file: name a folder of texts to look characters up in"),
        (
            {"dialogues": 4, "max_new": 0},
            "config.dialogues=4: must be a whole number from 1 to 3; config.max_new=0: must be a whole number from 1 to "
            "2147483647",
        ),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_before_anybody_is_asked(refused, changes, server, tmp_path, settings, said):
    assert refused("build_benchmark", changes | settings) == said.format(folder=tmp_path)
    assert server.bodies == []


@pytest.mark.parametrize("go_on", [False, True])
@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, 'wants a key (status 401): name in "key" the environment variable that holds it'),
        (404, 'knows no model \'m-1\' or is no such address (status 404): check "model" and "base_url"'),
        (None, 'cannot be reached ([Errno 111] Connection refused): check its "base_url" and the network, then run the same '
         "command again"),
    ],
)  # fmt: skip
def test_where_nothing_can_be_done_it_ends_at_once_in_any_case(refused, changes, server, tmp_path, status, said, go_on):
    if status is None:
        server.close()
    server.faults = lambda number, content: status
    assert refused("build_benchmark", changes | {"go_on": go_on}) == f"endpoint:writes: {server.base_url} {said}"
    assert not (tmp_path / "work" / "build.json").exists()
    assert len((tmp_path / "work" / "failures.jsonl").read_text().splitlines()) == (1 if go_on else 0)


def test_what_there_is_is_kept_where_it_shall_go_on(call, changes, server, capsys):
    asked = []

    def faults(number, content):
        asked.append(content)
        return 404 if '"edits"' in content and sum('"edits"' in each for each in asked) > 1 else None

    server.faults = faults
    work = call("build_benchmark", changes | {"go_on": True})
    found = load(work / "build.json")
    assert {name: count["kept"] for name, count in found["counts"]["categories"].items()} == {
        "IDTrain": 1, "IDTest": 2, "german": 2, "WordLevelComposition": 1,
    }  # fmt: skip
    said = capsys.readouterr().out.splitlines()
    assert said[:3] == [
        "records kept: 6; rejected by gates: 0; questions without a fitting answer: 1",
        "WordLevelComposition: 1 of 2 records (1 made)",
        "one record, where an evaluation needs two: WordLevelComposition: name the others in --config.benchmark.categories",
    ]
    assert said[3].startswith("not asked any more: endpoint:writes: http://127.0.0.1:")
    rows = [json.loads(line) for line in (work / "failures.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["why"]) for row in rows] == [("edit", ["no answer: not asked any more"])]
