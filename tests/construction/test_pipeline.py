"""Twenty-four records of all twelve categories out of a server that fails in every way: nothing is lost, or paid twice."""

import collections
import json
import random
import types

import openai
import pytest
import writer
from building import REQUESTS, built, canned, files, remote, results
from faulty_server import FaultyServer
from refusal import refusal

from remid_jax.construction.plan import Amounts
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.endpoints.chat import Sampling
from remid_jax.endpoints.descriptions import Price
from remid_jax.endpoints.ledger import Ledger
from remid_jax.endpoints.recorded import Unanswered
from remid_jax.scoring.store import Store


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    """The library does not sleep between tries."""
    base = openai._base_client
    monkeypatch.setattr(base, "time", types.SimpleNamespace(**{**vars(base.time), "sleep": lambda seconds: None}))


class WritingServer(FaultyServer):
    """Answers as `writer` does; `spoiled(content)` says how the first draw of an answer is spoiled, if at all."""

    def __init__(self, spoiled=lambda content: None, **settings):
        super().__init__(heeds_keys=True, **settings)
        self.spoiled = spoiled

    def text_of(self, body):
        content = body["messages"][-1]["content"]
        text = writer.answer(content)
        fault = self.spoiled(content) if body["seed"] == 0 else None
        if fault == "broken JSON":
            return text[:-5]
        if fault == "wrong language":
            return writer.answer(content.replace("German", "Spanish"))
        return {"prose": "I would rather not."}.get(fault, text)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """(folder, what was built) of a run without faults."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, built(canned()[1], folder)


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
        amounts = Amounts(("TurnLevelComposition",), lineages=2, train_lineages=3, dialogues=2)
        benchmark = built(model, folder, amounts, sampling=Sampling(64, 1.0, seed=seed)).benchmark
        assert {name: len(records) for name, records in benchmark.test.items()} == {"IDTest": 4, "TurnLevelComposition": 4}
        assert len(benchmark.train) == 6
        names = [{record.agent_character["name"] for record in side} for side in (benchmark.train, benchmark.test["IDTest"])]
        assert not names[0] & names[1]
        assert not {r.lineage for r in benchmark.train} & {r.lineage for r in benchmark.test["IDTest"]}
        lineages[seed] = names[1]
    assert lineages[0] != lineages[1]


def test_a_server_that_fails_in_every_way_costs_nothing_and_changes_nothing(whole, tmp_path):
    dice = random.Random(2512)
    kinds = ["cut", "broken", "other", 500, 503, (429, "0.01"), *[None] * 6]
    plans = collections.defaultdict(lambda: [dice.choice(kinds) for _ in range(2)])
    late = {"left": 2}

    def faults(number, content):
        if late["left"] and number == 0 and "infer" not in content and dice.random() < 0.1:
            late["left"] -= 1
            return "timeout"
        plan = plans[content]
        return plan[number] if number < len(plan) else None

    spoils = {}

    def spoiled(content):
        if content not in spoils:
            german = "of the user, in German," in content or "Every message is in German" in content
            broken = ["broken JSON", "prose", None, None] if '{"' in content else [None]
            spoils[content] = "wrong language" if german else dice.choice(broken)
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
    assert set(account["failures"]) == {
        "broken off", "no chat's answer", "status 429", "status 500", "status 503", "timed out",
    } - ({"timed out"} if late["left"] == 2 else set())  # fmt: skip


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


@pytest.mark.parametrize("cap", [0.5, 1.01])
def test_a_cap_stops_the_run_or_leaves_what_there_is(whole, tmp_path, cap):
    """The cap is a share of what all costs: half of it, or a little more than all."""
    price = Price(prompt=1e6, completion=1e6)
    spent = Ledger(price)
    built(canned(ledger=spent)[1], tmp_path)
    cost = spent.described()["cost"] * cap
    store = Store(tmp_path / "store.sqlite")
    if cap > 1:
        built(canned(store=store, ledger=Ledger(price, cap=cost))[1], tmp_path)
        assert files(tmp_path) == files(whole[0])
        return
    said = refusal(built, canned(store=store, ledger=Ledger(price, cap=cost))[1], tmp_path)
    assert said.startswith(f'endpoint:canned: its "cap" of {cost:g} is reached: ')
    backend, endpoint = canned(store=store, ledger=Ledger(price, cap=cost))
    refusal(built, endpoint, tmp_path, go_on=True)
    assert backend.asked == {}


def test_all_that_fails_ends_with_one_line(tmp_path):
    said = refusal(built, canned(lambda content: "No.")[1], tmp_path)
    assert said == (
        f"no record could be made: stage 'propose' failed first (15 x holds no JSON object): {tmp_path / 'failures.jsonl'} "
        "lists all; ask another model, raise config.tries or config.max_new, or change the prompts"
    )
    assert len((tmp_path / "failures.jsonl").read_text().splitlines()) == 5
