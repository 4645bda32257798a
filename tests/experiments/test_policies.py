"""Every way of training a policy, through `experiments.train`, on a tiny chat model whose replies end; what it refuses."""

import importlib
import itertools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from scripts import ROOT, change, stop
from tiny import plain_logprobs, tiny_model

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_training
from remid_jax.dialogues.records import Record, Turn, write_jsonl
from remid_jax.errors import UserError
from remid_jax.learning import policy_training
from remid_jax.learning import rewards as rewards_of
from remid_jax.learning.augmentation import augmented
from remid_jax.learning.feed import Feed
from remid_jax.learning.loop import Stopped
from remid_jax.learning.policies import golden_examples
from remid_jax.learning.rewards.pointwise_information import other_contexts
from remid_jax.models.adapters import adapted, fresh
from remid_jax.models.config import DecoderConfig, LoRAConfig, Rope
from remid_jax.models.loading import open_model
from remid_jax.models.peft_files import read_adapter, save_adapter
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.generation import Draw, Generator, Prompt, record_key
from remid_jax.scoring.seating import Seating
from remid_jax.scoring.store import Store

PROMPTS, MAX_NEW = Prompts.load(), 8
RECORDS = [
    Record(
        f"{n}", f"{name}, a baker.", {"name": name * 2, "mood": "dry"},
        (Turn("user", f"Why, {name}?"), Turn("agent", f"Why not, {name}."), Turn("user", "So?")), f"Because {name}.", "IDTrain",
    )
    for n, name in enumerate(["Ana", "Bo", "Cy", "Di", "Ed", "Flo"])
]  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("records") / "train.jsonl"
    write_jsonl(path, RECORDS)
    return path


@pytest.fixture
def script(monkeypatch):
    return importlib.import_module("experiments.train")


@pytest.fixture
def train(script, source, ending_directory, tmp_path):
    """Runs a policy's config for one small step; returns (metrics, rollouts), rows of dicts."""

    small = {
        "model": str(ending_directory), "benchmark.source": str(source), "steps": 1, "batch": 2, "rollouts.draws": 3,
        "rollouts.max_new": MAX_NEW, "rollouts.rows": 2, "devices.tokens_per_step": 1024,
    }  # fmt: skip

    def train(name, workdir="run", **changes):
        config = importlib.import_module(f"configs.{name}").get_config()
        change(config, small | changes)
        folder = tmp_path / workdir
        folder.mkdir(exist_ok=True)
        script.main(config, folder)
        return lines(folder / "metrics.jsonl"), lines(folder / "rollouts.jsonl")

    train.small = small
    return train


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def first_batch(count):
    return next(Feed(count, 2, 0))


def nll(model, pairs):
    """Mean negative log-likelihood, nats a token, of answers after prefixes, one sequence at a time."""
    logprobs = [plain_logprobs(model, prefix, answer) for prefix, answer in pairs]
    return -np.concatenate(logprobs).mean()


def beginning(model):
    """A policy config's fresh adapter changes nothing yet: the base itself, under another name."""
    return open_model(str(model), "float32")


def drawn(model, draws, thinking=False, max_new=MAX_NEW):
    """The samples of step 0, asked for one record at a time."""
    generator = Generator(model, Devices(), Store(":memory:"), draws)
    found = {}
    for of in RECORDS:
        draw = [Draw(1.0, key=record_key(0, "rollout 0", of.id, n)) for n in range(draws)]
        prompt = Prompt(model.tokenizer.encode_chat(PROMPTS.policy(of, thinking)), draw)
        [found[of.id]] = generator.generate([prompt], Sampler(max_new, model.end_ids))
    return found


def judged(model, record, candidate):
    messages, opening = PROMPTS.judge(record, None, candidate)
    prefix = model.tokenizer.encode_chat(messages) + model.tokenizer.encode(opening)
    return plain_logprobs(model, prefix, model.tokenizer.encode("100%")).mean()


def judge_ratio(model, record, text):
    return min(1.0, np.exp(judged(model, record, text.strip()) - judged(model, record, record.golden)))


def test_da_sft_learns_from_every_turn(train, ending_directory):
    model = beginning(ending_directory)
    found, rollouts = train("policy_da_sft")
    examples = golden_examples(augmented(RECORDS, 0), PROMPTS, model.tokenizer)
    assert len(examples) == 12
    chosen = [examples[n] for n in first_batch(12)]
    assert found[0]["loss"] == pytest.approx(nll(model, [(of.prefix, of.answer) for of in chosen]), abs=1e-4)
    assert rollouts == []


def test_dpo_rejects_what_the_beginning_policy_says(train, ending_directory, tmp_path, monkeypatch):
    model = beginning(ending_directory)
    found, rollouts = train("policy_dpo")
    assert found[0]["loss"] == pytest.approx(np.log(2), abs=1e-4)
    samples = drawn(model, 1)
    batch = [RECORDS[n].id for n in first_batch(6)]
    assert [row["record"] for row in rollouts] == batch
    assert [row["text"] for row in rollouts] == [model.tokenizer.decode(samples[name][0].ids) for name in batch]

    shutil.rmtree(tmp_path / "run" / "checkpoints")
    monkeypatch.setattr(Seating, "serve", None)  # a run that begins again draws nothing again
    assert train("policy_dpo") == (found, rollouts)


def test_rft_learns_the_replies_that_the_judge_likes_best(drawn_figures, train, ending_directory):
    model = beginning(ending_directory)
    found, rollouts = train("policy_rft")
    samples, best = drawn(model, 3), []
    for n in first_batch(6):
        record = RECORDS[n]
        said = samples[record.id]
        texts = [model.tokenizer.decode(of.ids) for of in said]
        ratios = [judge_ratio(model, record, text) for text in texts]
        rows = [row for row in rollouts if row["record"] == record.id]
        assert [row["text"] for row in rows] == texts
        np.testing.assert_allclose([row["reward"] for row in rows], ratios, atol=1e-4)
        assert [row["kept"] for row in rows] == [k == int(np.argmax(ratios)) for k in range(3)]
        prefix = model.tokenizer.encode_chat(PROMPTS.policy(record))
        best.append((prefix, said[int(np.argmax(ratios))].ids))
    assert found[0]["loss"] == pytest.approx(nll(model, best), abs=1e-4)


def test_mi_grpo_from_an_adapter(train, ending_directory, tmp_path):
    base = beginning(ending_directory)
    train("policy_sft", "sft", **{"optimizer.learning_rate": 0.02})
    adapter = tmp_path / "sft" / "adapter"
    found, rollouts = train("policy_mi_grpo", adapter=str(adapter))
    assert all(np.isfinite(row["loss"]) for row in found)
    samples = drawn(adapted(base, read_adapter(adapter, base)), 3)
    encode, end = base.tokenizer.encode, base.tokenizer.end_of_turn_id
    for n in first_batch(6):
        record = RECORDS[n]
        rows = [row for row in rollouts if row["record"] == record.id]
        contexts = [record, *other_contexts(record, RECORDS, 4, 0)]
        for row, sample in zip(rows, samples[record.id], strict=True):
            text = base.tokenizer.decode(sample.ids)
            ids = [*encode(text.strip()), *([end] if sample.finish == "end" else [])]
            prompts = [PROMPTS.responder(of, None) for of in contexts]
            prefixes = [base.tokenizer.encode_chat(messages) + encode(header) for messages, header in prompts]
            own, *others = (plain_logprobs(base, prefix, ids).sum() for prefix in prefixes)
            information = (own - np.log(np.mean(np.exp(others)))) / len(ids)
            assert (row["text"], row["reward/judge_ratio"]) == (text, pytest.approx(judge_ratio(base, record, text), abs=1e-4))
            assert row["reward/pointwise_information"] == pytest.approx(information, abs=1e-4)
            assert row["reward"] == pytest.approx(row["reward/judge_ratio"] + row["reward/pointwise_information"])


def test_thinking_sft_and_grpo(train, ending_directory, tmp_path):
    model = beginning(ending_directory)
    reasoning = tmp_path / "reasoning.jsonl"
    reasoning.write_text("".join(json.dumps({"sample_ID": of.id, "reasoning": f"of {of.id}"}) + "\n" for of in RECORDS))
    found, _ = train("policy_thinking_sft", "sft", reasoning=str(reasoning))
    pairs = []
    for n in first_batch(6):
        text = f"of {RECORDS[n].id}\n<Agent Response>\n{RECORDS[n].golden}\n</Agent Response>"
        ids = [*model.tokenizer.encode(text), model.tokenizer.end_of_turn_id]
        pairs.append((model.tokenizer.encode_chat(PROMPTS.policy(RECORDS[n], thinking=True)), ids))
    assert found[0]["loss"] == pytest.approx(nll(model, pairs), abs=1e-4)

    found, rollouts = train(
        "policy_thinking_grpo", "grpo", **{"adapter": str(tmp_path / "sft" / "adapter"), "loss.penalty": "k2",
        "loss.penalty_weight": 0.1, "rewards": {"format": 1.0, "length": 1.0}}
    )  # fmt: skip
    assert {row["reward/format"] for row in rollouts} == {0.0}  # a random model writes no tags
    policy = adapted(model, read_adapter(tmp_path / "sft" / "adapter", model))
    samples = drawn(policy, 3, thinking=True)
    expected = [policy.tokenizer.decode(s.ids) for n in first_batch(6) for s in samples[RECORDS[n].id]]
    assert [row["text"] for row in rollouts] == expected


def test_stopped_while_it_draws_it_goes_on_from_what_was_drawn(train, script, tmp_path, monkeypatch):
    whole = train("policy_rft", "whole", **{"rollouts.rows": 2})
    stop(monkeypatch, script, (look > 3 for look in itertools.count()))
    with pytest.raises(SystemExit, match="stopped after step 0 of 1"):
        train("policy_rft", "stopped", **{"rollouts.rows": 2})
    monkeypatch.undo()
    made, serve = [], Seating.serve
    monkeypatch.setattr(Seating, "serve", lambda self, prompts, *more: made.extend(prompts) or serve(self, prompts, *more))
    assert train("policy_rft", "stopped", **{"rollouts.rows": 2}) == whole
    assert 0 < len(made) < 6


def test_a_run_belongs_to_its_base_and_its_beginning(train, tiny_directory):
    train("policy_sft")
    with pytest.raises(UserError, match=r"holds a run that differs in model \('.*' -> '.*tiny.*'\): use the config"):
        train("policy_sft", model=str(tiny_directory))


def test_a_run_is_its_settings_and_contents_wherever_it_is_and_however_often_it_is_saved(train, tmp_path, capsys):
    train("policy_sft", "sft")
    adapter, moved = tmp_path / "sft" / "adapter", tmp_path / "adapter"
    settings = {"adapter": str(adapter), "steps": 2, "date": "2026-01-31", "optimizer.learning_rate": 0.02}
    config = importlib.import_module("configs.policy_sft").get_config()
    change(config, train.small | settings)
    with pytest.raises(Stopped, match=r"^stopped after step 1 of 2$"):
        policy_training.train(config, tmp_path / "run", stopping=lambda: True)
    first = [lines(tmp_path / "run" / name) for name in ("metrics.jsonl", "times.jsonl")]

    def difference(**changes):
        with pytest.raises(UserError) as refusal:
            train("policy_sft", **settings | changes)
        before, _, rest = str(refusal.value).partition(" differs in ")
        difference, _, mend = rest.rpartition(": ")
        assert (before, mend) == ("this workdir holds a run that", "use the config it was begun with, or another workdir")
        return difference

    assert difference(**{"optimizer.learning_rate": 0.01}) == "optimizer.learning_rate (0.02 -> 0.01)"
    write_jsonl(tmp_path / "reversed.jsonl", RECORDS[::-1])
    sources = train.small["benchmark.source"], str(tmp_path / "reversed.jsonl")
    assert difference(**{"benchmark.source": sources[1]}) == f"benchmark.source ({sources[0]!r} -> {sources[1]!r})"
    adapter.rename(moved)
    train("policy_sft", "retrained", seed=1)
    (tmp_path / "retrained" / "adapter").rename(adapter)
    assert difference() == f"the content of adapter ({str(adapter)!r})"

    (tmp_path / "run").rename(tmp_path / "elsewhere")
    same = {"adapter": str(moved), "save_every": 7, "devices.tokens_per_step": 512, "devices.max_row": 1024}
    capsys.readouterr()
    train("policy_sft", "elsewhere", **settings | same)
    assert re.search(r"^train +[\d.]+ s +1 steps", capsys.readouterr().err, re.MULTILINE)  # of two: the other is no work
    second = [lines(tmp_path / "elsewhere" / name) for name in ("metrics.jsonl", "times.jsonl")]
    assert [rows[:1] for rows in second] == first  # that step is not made again
    assert [row["step"] for row in second[0]] == [0, 1]


NAN = {"rewards": {"length": 1.0}}


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("policy_rft", NAN, "no reward of any drawn reply is a number: look at what length make of them"),
        ("policy_grpo", NAN, "step 0: no reward is a number, on records .*: look at what length make"),
        ("policy_grpo", {"rewards": {"lenght": 1.0}}, "config.rewards: lenght: choose among format, judge_ratio, length"),
        ("policy_rft", {"rewards": {}}, "config.rewards: none given"),
        ("policy_grpo", {"reward_settings": {"judge_ratio": {"scale": 2}}}, "judge_ratio: no setting scale: there are none"),
        ("policy_mi_grpo", {"reward_settings.pointwise_information.others": 9}, "others=9: some record has only 5"),
        ("policy_grpo", {"rollouts.draws": 1}, "draws at least 2"),
        ("policy_grpo", {"loss.penalty": "k1"}, "penalty='k1': choose one of none, k2, k3_ratio"),
        ("policy_dpo", {"preference.beta": 0.0}, "config.preference.beta=0.0: must be a number above 0"),
        ("policy_dpo", {"thinking": True}, "config.thinking learns from reasoning: name a JSONL"),
        ("policy_thinking_sft", {"augment": True}, "config.augment makes records that config.reasoning has no reasoning for"),
        ("policy_thinking_sft", {"reasoning": "nowhere.jsonl"}, "nowhere.jsonl: cannot be read"),
        ("policy_sft", {"benchmark.source": "TESTS"}, "holds no IDTrain record"),
        ("policy_sft", {"adapter": "OTHER"}, "is no adapter of"),
    ],
)
def test_what_cannot_be_trained_is_refused(train, monkeypatch, tmp_path, name, changes, said):
    if changes is NAN:
        nan = lambda groups: np.full((len(groups), len(groups[0].texts)), np.nan)  # noqa: E731
        monkeypatch.setattr(importlib.import_module(f"{rewards_of.__name__}.length"), "make", lambda resources: nan)
    if changes.get("benchmark.source") == "TESTS":
        changes = {"benchmark.source": str(tmp_path / "tests.jsonl")}
        write_jsonl(tmp_path / "tests.jsonl", [Record("a", "Ana.", {"name": "Bo"}, (Turn("user", "Ho?"),), "Yes.", "IDTest")])
    if changes.get("adapter") == "OTHER":
        other = DecoderConfig("llama", 97, 16, 2, 2, 2, 8, 48, 1e-5, Rope(), 8192, tied_embeddings=False)
        save_adapter(tmp_path / "other", fresh(other, LoRAConfig(3, 6.0), 0), tiny_model(config=other))
        changes = {"adapter": str(tmp_path / "other")}
    with pytest.raises(UserError, match=said):
        train(name, **changes)


def test_policies_differ_in_values_only(monkeypatch):
    names = sorted(path.stem for path in Path(ROOT / "configs").glob("policy_*.py"))
    assert len(names) == 9
    keys = [set(importlib.import_module(f"configs.{name}").get_config().keys()) for name in names]
    assert all(of == keys[0] for of in keys)
    assert read_training("package:rpgbench_compact")  # the benchmark of all of them
