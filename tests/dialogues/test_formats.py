"""docs/formats.md: each file that it shows is read, and gives exactly the records that it says."""

import json
import re
from pathlib import Path

import pytest

from remid_jax.dialogues.manifest import RPGBENCH, Category, Manifest
from remid_jax.dialogues.reading import read_benchmark
from remid_jax.dialogues.records import Benchmark, Record, Turn

DOCS = Path(__file__).parents[2] / "docs"
FORMATS = DOCS / "formats"
SMITH = {"description": "You are a village smith who measures twice and speaks once."}
PILOT = {"description": "You are the pilot of a cargo ship between two moons, and bored."}
ANA, BEN = "Ana, a baker.", "Ben, a ferryman."
KEEPER = {"description": "You are the keeper of a lighthouse."}
GHOST = {"description": "You are a ghost who keeps the accounts of a wine cellar."}


def user(text):
    return Turn("user", text)


def agent(text):
    return Turn("agent", text)


def test_records():
    benchmark = read_benchmark(FORMATS / "records.jsonl")
    assert benchmark.manifest == Manifest(
        {
            "paris": Category("paris", language="fr"),
            "cairo": Category("cairo", "new users", "paris", "ar"),
            "noir": Category("noir", "new genre", "paris", "fr"),
        }
    )
    assert list(benchmark.test) == ["paris", "cairo", "noir"]
    assert benchmark.test["paris"] == [
        Record(
            "paris-1", "Inès, 30 ans, étudiante.",
            {"name": "Odile", "identity": "boulangère à Lyon", "traits": ["directe", "patiente"]},
            (user("Bonjour, il vous reste du pain ?"),), "Un seul, Inès, et il est encore chaud.", "paris", "bread",
        ),
        Record(
            "paris-2", "Paul, 51 ans, postier.", {"name": "Marcel", "identity": "agent de gare", "traits": ["précis"]},
            (user("Le train est à l'heure ?"), agent("Il a six minutes de retard."), user("J'attends où ?")),
            "Voie deux, Paul, sous l'horloge.", "paris", "train",
        ),
    ]  # fmt: skip
    assert benchmark.test["cairo"][0] == Record(
        "cairo-1", "ليلى، ثلاثون عامًا، طالبة.", benchmark.test["paris"][0].agent_character, (user("مرحبًا، هل بقي خبز؟"),),
        "رغيف واحد يا ليلى، وهو ما زال ساخنًا.", "cairo", "bread",
    )  # fmt: skip
    assert [(r.id, r.lineage) for r in benchmark.test["noir"]] == [("noir-1", "bread"), ("noir-2", "train")]


def test_messages():
    benchmark = read_benchmark(FORMATS / "messages.jsonl")
    assert benchmark.manifest == Manifest(
        {"village": Category("village", language="en"), "orbit": Category("orbit", "character", "village", "en")}
    )
    door = (user("Can you mend my oven door?"), agent("Show me the hinge."), user("Here it is, bent."))
    anchor, bread, river = "My anchor lost an arm.", "Is there bread on board?", "How do you steer without a river?"
    falling = "By falling slowly, Ben, and on purpose."
    assert benchmark.test == {
        "village": [
            Record("ana-smith", ANA, SMITH, door, "Bent, not broken, Ana. Come back at noon.", "village", "ana"),
            Record("ben-smith", BEN, SMITH, (user(anchor),), "Which one, Ben? Bring both halves.", "village", "ben"),
        ],
        "orbit": [
            Record("ana-pilot", ANA, PILOT, (user(bread),), "Powder, Ana. It remembers being bread.", "orbit", "ana"),
            Record("ben-pilot", BEN, PILOT, (user(river),), falling, "orbit", "ben"),
        ],
    }


def test_sharegpt_whole_and_cut_into_replies():
    lonely, gulls, night = user("Is it lonely up here?"), agent("The gulls disagree."), user("And at night?")
    oldest, cork = user("Which bottle is the oldest?"), "The one that still owes me a cork."
    benchmark = read_benchmark(FORMATS / "sharegpt.json")
    assert benchmark.manifest == Manifest({"all": Category("all")})
    assert benchmark.test == {
        "all": [
            Record("tower", "", KEEPER, (lonely, gulls, night), "At night I am the company.", "all"),
            Record("cellar", "", GHOST, (oldest,), cork, "all"),
        ]
    }
    assert read_benchmark(FORMATS / "sharegpt.json", every_reply=True).test == {
        "all": [
            Record("tower turn 1", "", KEEPER, (lonely,), "The gulls disagree.", "all", "tower"),
            Record("tower turn 2", "", KEEPER, (lonely, gulls, night), "At night I am the company.", "all", "tower"),
            Record("cellar turn 1", "", GHOST, (oldest,), cork, "all", "cellar"),
        ]
    }


@pytest.mark.parametrize("version", ["card_v1.json", "card_v2.json"])
def test_cards(version):
    first, second = read_benchmark(FORMATS / "carded.jsonl", character=FORMATS / version).test["all"]
    assert first == Record(
        "1", "Mo, a street sweeper.",
        {
            "name": "Captain Brill",
            "description": "Brill sails a paper boat and takes it seriously.",
            "personality": "solemn, easily wet",
            "scenario": "Mo has found the boat in a gutter.",
            "examples": "<START>\nMo: Is it safe?\nBrill: It is dry. That is better.",
        },
        (user("Is that yours, Brill?"),), "She is not a that, Mo. She is a she.", "all",
    )  # fmt: skip
    assert second == Record(
        "2", "",
        {
            "name": "Captain Brill",
            "description": "Captain Brill sails a paper boat and takes it seriously.",
            "personality": "solemn, easily wet",
            "scenario": "User has found the boat in a gutter.",
            "examples": "<START>\nUser: Is it safe?\nCaptain Brill: It is dry. That is better.",
        },
        (user("Where do you sail?"),), "Where the rain decides, User, says Captain Brill.", "all",
    )  # fmt: skip


def test_a_mapping():
    tea, wu, ida = (
        "I like tea. I am 44.",
        {"name": "Wu", "profile": "A tea seller."},
        {"name": "Ida", "profile": "A ticket seller."},
    )
    fresh, two = (user("What is fresh today?"),), (user("Two for tonight, please."),)
    assert read_benchmark(FORMATS / "mapped.jsonl", mapping=FORMATS / "mapping.json").test == {
        "all": [
            Record("17", tea, wu, fresh, "The green one.", "all", "g1"),
            Record("18", tea, ida, two, "Tonight is sold out, tomorrow is better anyway.", "all", "g1"),
        ]
    }


def test_pdgbench():
    benchmark = read_benchmark(FORMATS / "PDGBench.json")
    ferry, again = (user("Does the ferry run in fog?"),), (user("Does the ferry run in frost?"),)
    character = {"name": "Sten", "identity": "ferryman"}
    assert benchmark == Benchmark(
        [Record("t1", ANA, character, again, "Until the rope breaks.", "IDTrain")],
        {
            "IDTest": [
                Record("1", ANA, character, ferry, "It runs, it just does not know where.", "IDTest"),
                Record("2", BEN, character, again, "You tell me, colleague.", "IDTest"),
            ]
        },
        RPGBENCH,
    )


def test_crossed_clusters():
    records = read_benchmark(FORMATS / "crossed.jsonl").test["all"]
    assert [(record.id, record.clusters) for record in records] == [
        (f"{user}-{character}", {"user": user, "character": character})
        for user in ("mia", "leo")
        for character in ("miller", "heron")
    ]
    assert records[0].lineage == "character miller, user mia"


def test_the_page_names_every_file_and_shows_what_they_hold():
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\(formats/([^)]+)\)", page)) == {file.name for file in FORMATS.iterdir()}
    texts = [file.read_text(encoding="utf-8") for file in FORMATS.iterdir() if file.suffix != ".png"]
    held = [json.loads(line) for text in texts for line in text.split("\n") if line.startswith("{") and line.endswith("}")]
    held += [json.loads(text) for text in texts if text.startswith(("{\n", "[\n"))]
    held += [row for value in held if isinstance(value, list) for row in value]
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    assert len(shown) == 8
    assert [block for block in shown if block not in held] == []


def test_the_python_of_the_page_runs():
    page = (DOCS / "formats.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    exec(block, {})
