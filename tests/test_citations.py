"""Every citation of the documents is of a section, rule, theorem or world that exists; every link of a page leads to a file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("remid_jax", "experiments", "configs", "benchmarks", "tests", "docs")
DOCUMENTS = ("metric", "protocol", "theory")
NEEDS_SHARED = {"tests/shared_data.py", "tests/test_citations.py"}  # may name the dialogues that lie beside the repository

DOCUMENT = rf"(?:docs/)?({'|'.join(DOCUMENTS)})\.md"
NUMBER = r"\d+(?:\s\((?!i\))[^()]*\))?"  # 5, or 5 (Training the estimator)
NUMBERS = rf"{NUMBER}(?:(?:,|,?\sand|\sto)\s{NUMBER})*"
CITATION = re.compile(rf"{DOCUMENT},\s(?:(sections?|rules?)\s({NUMBERS})|([TW]\d+))")
ABBREVIATED = re.compile(
    r"\b(?:method\.md|protocol\srules?\s\d|rules?\s\d+\sof\sthe\sprotocol|(?<!docs/)(?:metric|protocol|theory)\.md)"
)


def sources() -> Iterator[tuple[str, str]]:
    """(path, text) of every Python and Markdown file that people wrote or read."""
    files = [*ROOT.glob("*.md"), *(file for room in ROOMS for kind in ("*.py", "*.md") for file in (ROOT / room).rglob(kind))]
    for file in sorted(files):
        yield file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")


def plain(text: str) -> str:
    """The text in one line: comment signs and line breaks are spaces, a Markdown link is its address without `../`."""
    text = re.sub(r"\[[^\]]*\]\((?:\.\./)*([^()\s]+\.md)\)", r"\1", text)
    return re.sub(r"\s+(?:#\s+)?", " ", text)


def headings(document: str) -> dict[str, str]:
    """{label: name} of a document: sections "5", rules "rule 19", theorems "T4", worlds "W6"; each label stands once."""
    text = (ROOT / "docs" / f"{document}.md").read_text(encoding="utf-8")
    found = re.findall(r"^## (\d+)\. (.+)$", text, re.M) + re.findall(r"^### (T\d+)\. (.+)$", text, re.M)
    found += [(f"rule {number}", name) for number, name in re.findall(r"^\*\*Rule (\d+)\. (.+?)\.\*\*", text, re.M)]
    found += [(label, "") for label in re.findall(r"^- \*\*(W\d+)\.\*\*", text, re.M)]
    assert len(dict(found)) == len(found), f"{document}.md has a label twice"
    return dict(found)


def faults(path: str, text: str, known: dict[str, dict[str, str]]) -> Iterable[str]:
    """What is wrong with the citations in a text."""
    line = plain(text)
    for document, kind, numbers, label in CITATION.findall(line):
        rule = kind.startswith("rule")
        cited = [(label, "")] if label else re.findall(r"(\d+)(?: \(([^()]*)\))?", numbers)
        for number, name in cited:
            wanted = f"rule {number}" if rule else number
            if wanted not in known[document]:
                yield f"{path}: docs/{document}.md has no {wanted if label or rule else f'section {number}'}"
            elif name and not label and name != known[document][wanted]:
                yield f"{path}: docs/{document}.md calls {number} {known[document][wanted]!r}, not {name!r}"
    if path.endswith(".py"):
        yield from (f"{path}: {short!r} names no document of docs/" for short in ABBREVIATED.findall(line))
        yield from (
            f"{path}: {lone!r} stands without its document" for lone in re.findall(r"\brules? \d+", CITATION.sub("", line))
        )
    if "../shared" in text and path not in NEEDS_SHARED:
        yield f"{path}: ../shared is no part of this repository"


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, str]]:
    return {document: headings(document) for document in DOCUMENTS}


def test_the_documents_have_all_their_labels(known):
    assert list(known["protocol"]) == [f"rule {number}" for number in range(1, 28)]
    assert [label for label in known["metric"] if label.isdigit()] == [str(number) for number in range(1, 9)]
    theorems = [label for label in known["theory"] if label.startswith("T")]
    assert sorted(theorems) == [f"T{number}" for number in range(1, 8)]
    worlds = [label for label in known["theory"] if label.startswith("W")]
    assert worlds == [f"W{number}" for number in range(1, 11)]


def test_every_citation_is_of_something_that_exists(known):
    found = {path: len(CITATION.findall(plain(text))) for path, text in sources()}
    assert sum(count for path, count in found.items() if path.endswith(".py")) > 60
    assert [fault for path, text in sources() if path != "tests/test_citations.py" for fault in faults(path, text, known)] == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("(docs/metric.md, section 5 (Training the estimator))", None),
        ("docs/metric.md,\n    sections 2 (Definitions) and 3", None),
        ("# of docs/protocol.md,\n# rules 6, 9 and 17", None),
        ("see [theory.md](../docs/theory.md), T4", None),
        ("docs/metric.md, section 9", "a.md: docs/metric.md has no section 9"),
        ("docs/protocol.md, rules 9 and 31", "a.md: docs/protocol.md has no rule 31"),
        ("[theory](theory.md), T8", "a.md: docs/theory.md has no T8"),
        ("docs/theory.md, W11", "a.md: docs/theory.md has no W11"),
        ("docs/metric.md, section 5 (Training)", "a.md: docs/metric.md calls 5 'Training the estimator', not 'Training'"),
    ],
)
def test_a_broken_citation_is_named(text, fault, known):
    assert list(faults("a.md", text, known)) == ([] if fault is None else [fault])


def test_code_names_the_document(known):
    assert list(faults("a.py", '"""See method.md."""', known)) == ["a.py: 'method.md' names no document of docs/"]
    assert list(faults("a.py", "# as rule 7 says", known)) == ["a.py: 'rule 7' stands without its document"]
    assert list(faults("a.py", "# in ../shared/x", known)) == ["a.py: ../shared is no part of this repository"]


def test_links_of_pages_lead_to_files_and_headings():
    broken = []
    for path, text in sources():
        if not path.endswith(".md"):
            continue
        for target in re.findall(r"\]\(([^()\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            file = (ROOT / path).parent / name if name else ROOT / path
            if not file.exists():
                broken.append(f"{path}: {target}: no such file")
            elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
                broken.append(f"{path}: {target}: no such heading")
    assert broken == []


def anchors(page: str) -> set[str]:
    """What GitHub calls a page's headings: lower case, spaces as hyphens, no other signs."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
