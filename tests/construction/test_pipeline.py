"""Twenty-four records of all twelve categories out of a server that fails in every way: nothing is lost, or paid twice."""

import collections
import json
import random
import types

import openai
import pytest
import writer
from building import REQUESTS, built, canned, files, remote, results
from refusal import refusal
from writing_server import WritingServer

from remid_jax.construction.plan import Amounts
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.endpoints.chat import Sampling
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Unanswered
from remid_jax.scoring.store import Store


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The library does not sleep between tries."""
    base = openai._base_client
    monkeypatch.setattr(base, "time", types.SimpleNamespace(**{**vars(base.time), "sleep": lambda seconds: None}))


def test_two_records_of_each_category_in_every_format(whole):
    folder, made = whole
    read = [read_benchmark(folder / name) for name in ("PDGBench.json", "records.jsonl")]
    assert {name: len(records) for name, records in read[0].test.items()} == dict.fromkeys(RPGBENCH.categories, 2)
    assert [each.fingerprint for each in read] == [results(folder)["fingerprint"]] * 2
    assert made.benchmark.fingerprint == read[0].fingerprint
    counts = results(folder)["counts"]
    fitting = {stage: count for stage, count in REQUESTS.items() if stage != "propose"}
    assert {stage: counts["stages"][stage] for stage in fitting} == {
        stage: {"asked": count, "again": 0, "fitting": count, "failed": 0} for stage, count in fitting.items()
    }
    wanted = {"wanted": 2, "made": 2, "kept": 2, "lineages": 2}
    assert counts["categories"] == dict.fromkeys(RPGBENCH.categories, wanted)
    assert files(folder)["failures.jsonl"] == files(folder)["rejects.jsonl"] == b""


def test_lineages_are_kept_and_shifts_change_what_they_say(whole):
    test = whole[1].benchmark.test
    bases = {record.lineage: record for record in test["IDTest"]}
    shared = (*RPGBENCH.shifts["user"], *RPGBENCH.shifts["dialogue"])
    for name in shared:
        assert [record.lineage for record in test[name]] == list(bases)
        assert [record.agent_character for record in test[name]] == [base.agent_character for base in bases.values()]
    lineages = collections.Counter(record.lineage for name in RPGBENCH.shifts["character"] for record in test[name])
    assert not set(lineages) & set(bases)
    assert set(lineages.values()) == {1}
    for name in RPGBENCH.shifts["user"]:
        assert not {record.user_persona for record in test[name]} & {base.user_persona for base in bases.values()}
    for record in test["TurnLevelComposition"]:
        assert len(record.dialogue) == 15
        assert record.user_persona == bases[record.lineage].user_persona
    for record in test["WordLevelComposition"]:
        base = bases[record.lineage]
        changed = [(a, b) for a, b in zip(base.dialogue, record.dialogue, strict=True) if a != b]
        assert [turn.speaker for pair in changed for turn in pair] == ["user", "user"]
        assert record.golden != base.golden


def test_training_records_have_lineages_of_their_own_and_the_seed_says_which(tmp_path):
    lineages = {}
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        model = canned()[1]
        amounts = Amounts(("Literature",), lineages=2, train_lineages=3, dialogues=2)
        benchmark = built(model, folder, amounts, sampling=Sampling(64, 1.0, seed=seed)).benchmark
        assert {name: len(records) for name, records in benchmark.test.items()} == {"IDTest": 4, "Literature": 4}
        assert len(benchmark.train) == 6
        names = [{record.agent_character["name"] for record in side} for side in (benchmark.train, benchmark.test["IDTest"])]
        assert not names[0] & names[1]
        assert not {r.lineage for r in benchmark.train} & {r.lineage for r in benchmark.test["IDTest"]}
        lineages[seed] = names[1]
    assert lineages[0] != lineages[1]


def test_a_server_that_fails_in_every_way_costs_nothing_and_changes_nothing(whole, tmp_path):
    kinds = ["cut", "broken", "other", 500, 503, (429, "0.01"), *[None] * 6]

    def faults(number, content):
        plan = random.Random(content).choices(kinds, k=2)
        return "timeout" if '"edits"' in content and number == 0 else plan[number] if number < len(plan) else None

    spoils = {}

    def spoiled(content):
        german = "of the user, in German," in content or "Every message is in German" in content
        broken = ["broken JSON", "prose", None, None] if '{"' in content else [None]
        spoils[content] = "wrong language" if german else random.Random(content).choice(broken)
        return spoils[content]

    server = WritingServer(spoiled, faults=faults)
    endpoint = remote(server.base_url, tmp_path, timeout=0.5, retries=5)
    built(endpoint, tmp_path)
    server.close()
    assert files(tmp_path) == files(whole[0])
    assert set(server.paid.values()) == {1}
    again = sum(count["again"] for count in results(tmp_path)["counts"]["stages"].values())
    assert again == sum(fault is not None for fault in spoils.values())
    assert list(spoils.values()).count("wrong language") == 4
    assert len(server.paid) == sum(results(whole[0])["counts"]["stages"][stage]["asked"] for stage in REQUESTS) + again
    account = results(tmp_path)["account"]["endpoint:it"]
    assert account["replies"] == len(server.paid)
    # A time-out is counted where no try came through, and here each did.
    assert set(account["failures"]) == {"broken off", "no chat's answer", "status 429", "status 500", "status 503"}
    assert account["tries"] >= len(server.paid) + sum(account["failures"].values())


class Stopped(BaseException):
    """Stands in for a kill."""


def test_stopped_at_random_requests_it_goes_on_where_it_was(whole, tmp_path):
    dice, store = random.Random(17), Store(tmp_path / "store.sqlite")
    seen = collections.Counter()

    def run(moment):
        left = [moment]

        def answer(content):
            left[0] -= 1
            if left[0] < 0:
                raise Stopped
            seen[content] += 1
            return writer.answer(content)

        built(canned(answer, store)[1], tmp_path)

    for _ in range(10):
        with pytest.raises(Stopped):
            run(dice.randint(1, 8))
    run(10**6)
    assert files(tmp_path) == files(whole[0])
    assert set(seen.values()) == {1}


def test_what_never_fits_is_listed_and_the_rest_goes_on(whole, tmp_path):
    def answer(content):
        return "No." if "eight rounds" in content else writer.answer(content)

    made = built(canned(answer)[1], tmp_path)
    assert "TurnLevelComposition" not in made.benchmark.test
    rows = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert rows == [
        {"stage": "merge", "item": f"turn_level-{n}-12", "why": ["holds no JSON object"] * 3, "said": "No."} for n in (1, 2)
    ]
    assert results(tmp_path)["counts"]["stages"]["merge"] == {"asked": 2, "again": 4, "fitting": 0, "failed": 2}
    assert results(tmp_path)["counts"]["categories"]["TurnLevelComposition"] == {
        "wanted": 2, "made": 0, "kept": 0, "lineages": 0,
    }  # fmt: skip
    others = [
        record for name, records in whole[1].benchmark.test.items() if name != "TurnLevelComposition" for record in records
    ]
    assert [record for records in made.benchmark.test.values() for record in records] == others


def test_what_the_gates_take_out_is_listed_with_the_reason(whole, tmp_path):
    """The model steps out of its part in the golden replies of one language."""

    def answer(content):
        text = writer.answer(content)
        if "Every message is in Korean" not in content:
            return text
        rounds = json.loads(text)["rounds"]
        rounds[3]["agent"] = "저는 AI 언어 모델로서 그 질문에는 답할 수 없습니다. " + rounds[3]["agent"]
        return json.dumps({"rounds": rounds})

    made = built(canned(answer)[1], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(row["gate"], row["record"]["sample_ID"]) for row in rows] == [
        ("refusals", "korean-1-1"),
        ("refusals", "korean-2-1"),
    ]
    assert results(tmp_path)["counts"]["gates"]["refusals"] == {"looked_at": 24, "rejected": 2}
    assert results(tmp_path)["counts"]["categories"]["korean"] == {"wanted": 2, "made": 2, "kept": 0, "lineages": 0}
    kept = {name: records for name, records in whole[1].benchmark.test.items() if name != "korean"}
    assert dict(made.benchmark.test) == kept


def test_an_answer_that_did_not_come_is_asked_for_by_the_next_run_alone(whole, tmp_path):
    store, refuse = Store(tmp_path / "store.sqlite"), [True]

    def answer(content):
        if refuse[0] and '"edits"' in content:
            raise Unanswered("it timed out")
        return writer.answer(content)

    built(canned(answer, store)[1], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["why"]) for row in rows] == [("edit", ["no answer: it timed out"])] * 2
    refuse[0] = False
    backend, endpoint = canned(answer, store)
    built(endpoint, tmp_path)
    assert len(backend.asked) == 2
    assert files(tmp_path) == files(whole[0])


def tokens_of(account):
    return account["prompt_tokens"] + account["completion_tokens"]


def test_a_cap_stops_the_run_or_leaves_what_there_is(whole, tmp_path):
    store, cap = Store(tmp_path / "store.sqlite"), int(0.85 * tokens_of(results(whole[0])["account"]["endpoint:canned"]))
    said = refusal(built, canned(store=store, ledger=Ledger(cap_tokens=cap))[1], tmp_path)
    reached = f'endpoint:canned: its "cap_tokens" of {cap:,} is reached: '
    assert said.startswith(reached)
    assert not (tmp_path / "build.json").exists()
    backend, endpoint = canned(store=store, ledger=Ledger(cap_tokens=cap))
    benchmark = built(endpoint, tmp_path, go_on=True).benchmark
    assert backend.asked == {}
    [(name, why)] = results(tmp_path)["stopped"].items()
    assert (name, why.startswith(reached)) == ("endpoint:canned", True)
    made = [record for records in benchmark.test.values() for record in records]
    assert 0 < len(made) < 24
    for record in made:  # what there is, is as it would have been
        assert record in whole[1].benchmark.test[record.category]
    failed = [json.loads(line) for line in (tmp_path / "failures.jsonl").read_text().splitlines()]
    assert {tuple(row["why"]) for row in failed} == {("no answer: not asked any more",)}
    assert {row["stage"] for row in failed} <= {"dialogues", "merge", "edit"}


def test_all_that_fails_ends_with_one_line(tmp_path):
    said = refusal(built, canned(lambda content: "No.")[1], tmp_path)
    assert said == (
        f"no record could be made: stage 'propose' failed first (15 x holds no JSON object): {tmp_path / 'failures.jsonl'} "
        "lists all; ask another model, raise config.tries or config.max_new, or change the prompts"
    )
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 5
