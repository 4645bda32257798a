"""Categories that dials make of the embedded benchmark and of others: which records, compared with what, what is refused."""

import dataclasses
import re

import pytest

from remid_jax.dialogues.dials.categories import placed, records_of, with_dials
from remid_jax.dialogues.dials.spelling import parse_dials
from remid_jax.dialogues.manifest import Setting
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.errors import UserError


@pytest.fixture(scope="module")
def benchmark():
    return read_benchmark("package:rpgbench_compact")


def made(benchmark, text, seed=0):
    [of_dial] = placed(parse_dials([text]), benchmark)
    return records_of(of_dial, benchmark.test, benchmark.train, seed)


def ids(records):
    return [record.id for record in records]


def test_a_mixture_takes_over_lineages_one_after_the_other(benchmark):
    before: set[str] = set()
    for sixteenths in range(17):
        records = made(benchmark, f"mixture(german, {sixteenths / 16})")
        assert [record.lineage for record in records] == [record.lineage for record in benchmark.test["IDTest"]]
        german = {record.lineage for record in records if record.id.startswith("german")}
        assert len(german) == sixteenths
        assert before <= german
        before = german
        whole = {record.id: record for name in ("IDTest", "german") for record in benchmark.test[name]}
        for record in records:
            assert record == whole[record.id].in_category(f"mixture(german, {sixteenths / 16:g})")
    halves = [{record.id for record in made(benchmark, "mixture(german, 0.5)", seed)} for seed in (0, 0, 1)]
    assert halves[0] == halves[1] != halves[2]


def test_whole_categories_stand_under_the_names_of_dials(benchmark):
    assert ids(made(benchmark, "language(de)")) == ids(benchmark.test["german"])
    assert ids(made(benchmark, "edited(WordLevelComposition)")) == ids(benchmark.test["WordLevelComposition"])
    assert ids(made(benchmark, "mixture(german, 0)")) == ids(benchmark.test["IDTest"])


def test_dials_turn_from_left_to_right(benchmark):
    records = made(benchmark, "without(user) + mixture(german, 0.5)")
    assert all(record.user_persona == "" and record.golden for record in records)
    assert {record.id.split("-")[0] for record in records} == {"german", "id"}
    assert all(record.id.endswith(" without(user)") for record in records)
    plain = made(benchmark, "mixture(german, 0.5)")
    assert ids(records) == [f"{record.id} without(user)" for record in plain]


def test_a_dial_may_begin_from_a_shifted_category(benchmark):
    records = made(benchmark, "without(user) on german")
    assert [(record.dialogue, record.golden) for record in records] == [
        (record.dialogue, record.golden) for record in benchmark.test["german"]
    ]


def test_the_manifest_says_what_they_are_compared_with(benchmark):
    texts = ["mixture(german, 0.5)", "mixture(german, 1)", "mixture(Gaming, 0.5)", "exchanged(user)", "turns(2) on german"]
    whole = with_dials(benchmark, placed(parse_dials(texts), benchmark), 3)
    categories = whole.manifest.categories
    assert {name: (of.shift, of.reference, of.language) for name, of in categories.items() if of.dial} == {
        "mixture(german, 0.5)": ("mixture(german)", "IDTest", None),
        "mixture(german, 1)": ("mixture(german)", "IDTest", "de"),
        "mixture(Gaming, 0.5)": ("mixture(Gaming)", "IDTest", "en"),
        "exchanged(user)": ("exchanged(user)", "IDTest", "en"),
        "turns(2) on german": ("turns on german", "german", "de"),
    }
    assert categories["mixture(german, 0.5)"].dial == Setting("mixture(german)", 0.5, 3)
    assert categories["exchanged(user)"].dial.no_golden == ("the golden replies answer the user that exchanged(user) took away")
    assert whole.fingerprint != benchmark.fingerprint
    again = with_dials(benchmark, placed(parse_dials(texts), benchmark), 4)
    assert again.fingerprint != whole.fingerprint


KNOWN = "IDTest, german, spanish, chinese, japanese, korean, Literature, Film & Television, Theater, Gaming, "
KNOWN += "TurnLevelComposition, WordLevelComposition"


@pytest.mark.parametrize(("text", "said"), [
    ("mixture(germn, 0.5)", "'mixture(germn, 0.5)': 'germn' is no category (did you mean 'german'?)"),
    ("mixture(zzz, 0.5)", f"'mixture(zzz, 0.5)': 'zzz' is no category: the categories are {KNOWN}"),
    ("mixture(IDTest, 0.5)", "'mixture(IDTest, 0.5)': IDTest is compared with none: name a category that shifted"),
    ("mixture(german, 0.5) on german",
     "'mixture(german, 0.5) on german': 'german' would be mixed with itself: name a category that shifted"),
    ("without(user) on germn", "'without(user) on germn': 'germn' is no category (did you mean 'german'?)"),
    ("language(fr)", "'language(fr)': no category that shifted is in 'fr': languages are de, es, zh, ja, ko"),
    ("edited(WordLevel)",
     "edited(WordLevel): 'WordLevel' is neither a category (did you mean 'WordLevelComposition'?) nor a file of edits"),
])  # fmt: skip
def test_what_does_not_fit_the_benchmark_is_refused(benchmark, text, said):
    with pytest.raises(UserError, match=f"^{re.escape(f'config.benchmark.dials: {said}')}$"):
        placed(parse_dials([text]), benchmark)


def small(lineages):
    """Two references and one shifted category, of the given lineages."""
    rows = [
        {
            "sample_ID": f"{category}-{k}", "lineage": lineage, "subset_tag": category, "user_persona": "someone",
            "agent_character": {"name": "Ada"}, "dialogue_context": [{"user_query": f"{category} {k}?"}],
            "agent_golden_response": f"{category} {k}",
        }
        for category, names in lineages.items()
        for k, lineage in enumerate(names)
    ]  # fmt: skip
    manifest = {"categories": {
        "paris": {}, "rome": {}, "cairo": {"shift": "new users", "reference": "paris"},
        "milan": {"shift": "new users", "reference": "rome"},
    }}  # fmt: skip
    return read_benchmark(rows, manifest=manifest)


def test_lineages_that_one_category_lacks_are_left_out():
    benchmark = small({"paris": "abcd", "rome": "ab", "cairo": "ccba", "milan": "ab"})
    assert sorted(ids(made(benchmark, "mixture(cairo, 1)"))) == ["cairo-0", "cairo-1", "cairo-2", "cairo-3"]
    assert ids(made(benchmark, "mixture(cairo, 0)")) == ["paris-0", "paris-1", "paris-2"]


def test_what_a_mixture_needs_is_said():
    benchmark = small({"paris": "abcd", "rome": "ab", "cairo": "efgh", "milan": "ab"})
    with pytest.raises(UserError) as error:
        made(benchmark, "mixture(cairo, 0.5)")
    assert str(error.value) == (
        "config.benchmark.dials: 'mixture(cairo, 0.5)': 0 records of paris have a lineage that cairo has, too, and an estimate "
        "needs 2: name what they were made from as lineage (docs/formats.md, Lineage)"
    )
    with pytest.raises(UserError) as error:
        placed(parse_dials(["without(user)"]), benchmark)
    assert str(error.value) == (
        "config.benchmark.dials: 'without(user)': may begin from paris, rome: say from which, as 'without(user) on paris'"
    )
    with pytest.raises(UserError) as error:
        made(benchmark, "turns(2) on rome")
    assert "needs 2 training records" in str(error.value)


def test_a_category_of_that_name_is_not_covered_up(benchmark):
    whole = with_dials(benchmark, placed(parse_dials(["turns(2)"]), benchmark), 0)
    own = {name: dataclasses.replace(of, dial=None) for name, of in whole.manifest.categories.items()}
    taken = dataclasses.replace(whole, manifest=dataclasses.replace(whole.manifest, categories=own))
    with pytest.raises(UserError) as error:
        with_dials(taken, placed(parse_dials(["turns(2)"]), taken), 0)
    assert str(error.value) == "config.benchmark.dials: 'turns(2)' is a category of the benchmark already: rename that one"
