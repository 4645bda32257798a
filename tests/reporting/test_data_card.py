"""The card's numbers, of records that are few enough to count; and its figures."""

import pytest

from remid_jax.construction.screening import Reject, Screening
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.dialogues.records import Record, Turn
from remid_jax.reporting import data_card, data_card_figures


def record(name, category, character, golden, lineage):
    return Record(name, "Mona|nurse", {"name": character}, (Turn("user", "Bees?"),), golden, category, lineage)


RECORDS = [
    record("g", "german", "Ada", "Ja, Bienen.", "one"),
    record("a", "IDTest", "Ada", "Yes.", "one"),
    record("b", "IDTest", "Ada | Countess", "Certainly not.", "two"),
    record("t", "IDTrain", "Ada", "Hm.", "three"),
]
REASONS = [f"golden reply stands in {where}: 'Bees'" for where in ("user_persona", "user_persona", "x")]
SCREENING = Screening(
    RECORDS,
    [*(Reject(RECORDS[0], "leaks", why) for why in REASONS), Reject(RECORDS[1], "split", "lineage crosses: 'one'")],
    {
        "schema": {"looked_at": 1008, "rejected": 0},
        "leaks": {"looked_at": 1008, "rejected": 3},
        "split": {"looked_at": 1005, "rejected": 1},
    },
)
ACCOUNT = {"endpoint:x": {"replies": 1234, "failures": {"429": 2}, "cost": None}, "seconds": 1.5}


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    folder = tmp_path_factory.mktemp("card")
    data_card.write_card(folder, RECORDS, RPGBENCH, SCREENING, ACCOUNT)
    return folder


@pytest.fixture(scope="module")
def lines(card):
    return (card / "card.md").read_text(encoding="utf-8").split("\n")


def test_records_are_counted(lines):
    assert lines[2] == "4 records in 3 categories, of 3 lineages, 2 characters and 1 user. 4 records rejected."
    assert "| category | shift | language | records | lineages | characters | users | turns |" in lines
    rows = [
        "| IDTrain | training | en | 1 | 1 | 1 | 1 | 2 |",
        "| IDTest | – | en | 2 | 2 | 2 | 1 | 2 |",
        "| german | user | de | 1 | 1 | 1 | 1 | 2 |",
    ]
    start = lines.index(rows[0])
    assert lines[start : start + 3] == rows


def test_lengths_and_characters_are_told(lines):
    assert "| IDTest | 10 (10 to 10) | 14 (9 to 20) | 5 (5 to 5) | 9 (4 to 14) |" in lines
    assert "Records of one character: 1 of 1 character, 3 of 1 character." in lines
    assert "Most often: Ada (3), Ada \\| Countess (1)." in lines


def test_gates_tell_their_commonest_reasons(lines):
    rows = [
        "| schema | 1,008 | 0 | – |",
        "| leaks | 1,008 | 3 | 2 x golden reply stands in user_persona; 1 x golden reply stands in x |",
        "| split | 1,005 | 1 | 1 x lineage crosses |",
    ]
    start = lines.index(rows[0])
    assert lines[start : start + 3] == rows


def test_the_account_is_as_given(lines):
    rows = [
        "| endpoint:x: replies | 1,234 |",
        "| endpoint:x: failures: 429 | 2 |",
        "| endpoint:x: cost | – |",
        "| seconds | 1.5 |",
    ]
    start = lines.index(rows[0])
    assert lines[start : start + 4] == rows


def test_figures_draw_what_the_tables_say(card):
    for name in (data_card.LENGTHS, data_card.GATES):
        assert (card / name).read_bytes().startswith(b"\x89PNG")
    axes = data_card_figures.gates(SCREENING.counts).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1008, 1008, 1005, 0, 3, 1]
    by_category = data_card.grouped(RECORDS, RPGBENCH)
    assert list(by_category) == ["IDTrain", "IDTest", "german"]
    first, *_, golden = data_card_figures.lengths(by_category).axes
    assert [list(line.get_xdata()) for line in golden.lines] == [[3, 3], [3, 3], [4, 14], [9, 9], [11, 11], [11, 11]]
    assert [label.get_text() for label in first.get_yticklabels()] == list(by_category)


def test_a_benchmark_without_records_has_a_card(tmp_path):
    data_card.write_card(tmp_path, [], RPGBENCH, Screening([], [], {}), {})
    assert (tmp_path / "card.md").read_text().split("\n")[2] == (
        "0 records in 0 categories, of 0 lineages, 0 characters and 0 users. 0 records rejected."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.md"]
