"""A sweep in several jobs, such as a SLURM array: each runs its share of the points, with an index of its own."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remid_jax.errors import UserError
from remid_jax.files import write_text
from remid_jax.sweeps.index import Entries, Index, as_text, journal_beside, read_entries
from remid_jax.sweeps.locks import keeping, sweeping
from remid_jax.sweeps.plan import Done, Plan

TIMES = frozenset({"training_hours"})  # of a summary, which two runs of one point have each their own


@dataclasses.dataclass(frozen=True)
class Shard:
    """Share `number` of `count`: every `count`-th point that a sweep is for.

    What several shards need is computed by whichever comes first, if they share a workdir: others wait for it and take it.
    """

    number: int
    count: int

    def share(self, names: Sequence[str]) -> list[str]:
        """Returns those of `names` that this shard runs."""
        return list(names[self.number - 1 :: self.count])

    def path(self, output: str) -> str:
        """Returns the index of this shard, beside that of the sweep."""
        whole = Path(output)
        return str(whole.with_name(f"{whole.stem}.{self.number}of{self.count}{whole.suffix}"))


def read_shard(text: str) -> Shard:
    """Reads "2/3".

    Raises:
      UserError: if it is none.
    """
    numbers = re.fullmatch(r"(\d+)/(\d+)", text)
    if numbers is None or not 1 <= int(numbers[1]) <= int(numbers[2]):
        raise UserError(f"config.shard={text!r}: write it as 2/3, the second of three, counted from 1")
    return Shard(int(numbers[1]), int(numbers[2]))


def indexes_of_shards(output: str) -> list[Path]:
    """Returns the indexes of shards that lie beside that of the sweep, in their order."""
    whole = Path(output)
    name = re.compile(rf"{re.escape(whole.stem)}\.(\d+)of(\d+){re.escape(whole.suffix)}(\.journal)?")
    paths = {
        (int(match[2]), int(match[1])): path.with_name(path.name.removesuffix(".journal"))
        for path in whole.parent.glob(f"{whole.stem}.*")
        if (match := name.fullmatch(path.name))
    }
    return [paths[place] for place in sorted(paths)]


def merge(output: str, plan: Plan) -> tuple[Index, int]:
    """Joins the indexes of all shards with that of the sweep, into this; returns it, and how many shards there were.

    The shards' own files stay as they are.

    Raises:
      UserError: if there is no shard, two files have one point with other settings or other numbers, or the sweep is run now.
    """
    with sweeping(output), keeping(output):
        return _merge(output, plan)


def _merge(output: str, plan: Plan) -> tuple[Index, int]:
    paths = indexes_of_shards(output)
    if not paths:
        raise UserError(f"config.merge: there is no {Shard(1, 3).path(output)} or the like: run the shards first")
    joined, _ = read_entries(output)
    places = dict.fromkeys(joined.done, output)
    for path in paths:
        Index(path, plan)  # whether it is of this plan
        entries, _ = read_entries(path)
        if conflicts := [
            f"{name} of {path} and of {places[name]} differs in {difference}"
            for name, done in entries.done.items()
            if name in joined.done and (difference := _difference(joined.done[name], done))
        ]:
            raise UserError(f"config.merge: {'; '.join(conflicts[:20])}: delete it from one of them, and run that again")
        places |= {name: str(path) for name in entries.done if name not in places}
        joined = Entries(entries.done | joined.done, entries.failed | joined.failed)
    joined.failed = {name: failure for name, failure in joined.failed.items() if name not in joined.done}
    write_text(output, as_text(joined, [point.name for point in plan.points]))
    journal_beside(output).unlink(missing_ok=True)
    return Index(output, plan), len(paths)


def _difference(one: Done, other: Done) -> str:
    """What two runs of a point have otherwise, but for how long they took."""
    if one.identity.key != other.identity.key:
        return ", ".join(one.identity.differences(other.identity))
    return "" if _untimed(one.summary) == _untimed(other.summary) else "its numbers"


def _untimed(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in TIMES}
