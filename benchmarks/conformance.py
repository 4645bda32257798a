"""The table of tests/conformance as figures: ids beside transformers', log-likelihoods beside torch's.

    python -m benchmarks.conformance          prints the table and writes docs/conformance.md (5 to 9 minutes)
    python -m benchmarks.conformance --first=52 --page=      the first 52 folders, printed only

Ends with status 1 if an id differs or an answer is further off than the limit.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
import transformers
from absl import app, flags
from rich.console import Console
from rich.progress import track

from remid_jax.files import write_text
from tests.conformance import variants
from tests.conformance.comparison import LIMIT, Outcome, compare
from tests.conformance.templates import TEMPLATES
from tests.conformance.variants import Variant

PAGE = flags.DEFINE_string("page", "docs/conformance.md", "The page to write; none if empty.")
FIRST = flags.DEFINE_integer("first", 0, "How many folders, 0 for all.", lower_bound=0)

INTRODUCTION = f"""# Conformance

Written by `python -m benchmarks.conformance`. Small model folders in which every tokenizer meets every template, and either
meets every config and every kind of weight files, read by `remid_jax` and by transformers {transformers.__version__}.

- *Texts*: 40 texts, each as raw prompt, in a chat and as answer behind a prompt. *Equal*: those with `AutoTokenizer`'s ids. A
  chat that transformers refuses (no template, or one for tools alone) counts as equal if it is refused here, too.
- *Worst gap*: how far the log-likelihood of an answer is from torch's (float32 both), nats a token, at most. The limit is
  {LIMIT:g}.
- *Refused*: folders that transformers cannot open, and that are refused here in one line.
- A tokenizer that puts a space before a text puts none before an answer: the right ids of an answer are those that stand
  behind the prompt's in the whole text, or, where the two merge, those behind another text.
- Texts that name a control token are compared with `control_tokens="tokens"`; all others have the same ids with `"text"`, the
  default.
"""


@dataclasses.dataclass
class Sum:
    """Of several folders; `gap` in nats a token."""

    folders: int = 0
    texts: int = 0
    equal: int = 0
    refused: int = 0
    gap: float = 0.0

    def add(self, outcome: Outcome) -> None:
        self.folders += 1
        self.texts += outcome.texts
        self.equal += outcome.equal
        self.refused += outcome.refused
        self.gap = max(self.gap, outcome.gap)

    def cells(self) -> tuple[str, ...]:
        return f"{self.folders}", f"{self.refused}", f"{self.texts:,}", f"{self.equal:,}", f"{self.gap:.1e}"


def main(_: Sequence[str]) -> None:
    torch.set_num_threads(1)  # idle torch threads spin, and would slow down JAX's
    table = variants.cover()[: FIRST.value or None]
    with tempfile.TemporaryDirectory() as place:
        outcomes = list(measure(table, Path(place)))
    page = INTRODUCTION + "".join(sections(table, outcomes))
    print(page)
    if PAGE.value:
        write_text(PAGE.value, page)
    if any(outcome.differences or outcome.gap >= LIMIT for outcome in outcomes):
        sys.exit(1)


def measure(table: Sequence[Variant], place: Path) -> Iterable[Outcome]:
    """Compares the folders one after another; says at once what differs."""
    console = Console(stderr=True)
    for n, variant in enumerate(track(table, "folders", console=console)):
        outcome = compare(variants.write(place / str(n), variant), TEMPLATES[variant.template], place / "store.sqlite")
        for difference in outcome.differences:
            console.print(f"{', '.join(variant)}: {difference}", highlight=False, markup=False)
        if outcome.gap >= LIMIT:
            console.print(f"{', '.join(variant)}: {outcome.gap:.1e} nats a token", highlight=False, markup=False)
        yield outcome


def sections(table: Sequence[Variant], outcomes: Sequence[Outcome]) -> Iterable[str]:
    """One table for each axis, a line for each of its values, and the sum."""
    for axis, field in enumerate(Variant._fields):
        sums: dict[str, Sum] = {}
        for variant, outcome in zip(table, outcomes, strict=True):
            sums.setdefault(variant[axis], Sum()).add(outcome)
        lines = [(name, *total.cells()) for name, total in sums.items()]
        yield f"\n## By {field}\n\n" + _markdown((field, "folders", "refused", "texts", "equal", "worst gap"), lines)
    total = Sum()
    for outcome in outcomes:
        total.add(outcome)
    yield (
        f"\nIn all: {total.folders} folders, {total.refused} of them refused; {total.equal:,} of {total.texts:,} texts have "
        f"equal ids; the worst gap is {total.gap:.1e} nats a token.\n"
    )


def _markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] + ["---:"] * (len(head) - 1), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in rows)


if __name__ == "__main__":
    app.run(main)
