"""The gates of a benchmark, one file each; docs/gates.md says what each asks, from where on it rejects, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from remid_jax.construction.gates.composition import Composition
from remid_jax.construction.gates.duplicates import Duplicates
from remid_jax.construction.gates.language import Language
from remid_jax.construction.gates.leaks import Leaks
from remid_jax.construction.gates.refusals import Refusals, read_patterns
from remid_jax.construction.gates.schema import Schema
from remid_jax.construction.gates.split import Split
from remid_jax.construction.gates.threads import Threads
from remid_jax.construction.screening import Gate
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record

if TYPE_CHECKING:
    from remid_jax.scoring.engine import ScoringEngine


def default_gates(
    sources: Mapping[str, Sequence[Record]] = {},
    scoring: ScoringEngine | None = None,
    prompts: Prompts | None = None,
    refusals: str | Path | None = None,
) -> list[Gate]:
    """Returns the gates in the order in which they are asked: what costs least first, what needs a model last.

    Training records that cross over to the test go before copies are looked for, so that a copy costs the training record.

    Args:
      sources: a record's id -> the records that it was edited or merged from; without any, compositions are not asked.
      scoring: the engine that asks how likely golden replies are; without one, they are not asked.
      prompts: its prompts, by default the package's.
      refusals: a file with patterns of your own in place of the package's refusals.txt.

    Raises:
      UserError: the file of patterns cannot be read, with every fault.
    """
    gates: list[Gate] = [Schema(), Language(), Refusals(read_patterns(refusals)), Leaks(), Split()]
    if sources:
        gates += [Composition(sources), Threads(sources)]
    gates.append(Duplicates())
    if scoring is not None:
        from remid_jax.construction.gates.likelihood import Likelihood  # imports jax, which no other gate needs

        gates.append(Likelihood(scoring, prompts or Prompts.load()))
    return gates
