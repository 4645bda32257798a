"""The runs that are compared: where they lie, and what is read of them, which of thousands is as little as will do.

Of results.json that is how a run was made, and of its arrays the golden and policy replies; what the baseline holds alike is
not read again. Texts are read of runs that are shown.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from remid_jax.dialogues.validated import validated
from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import RESULTS, SAMPLES, SCORES, Evaluation, read_results, read_samples
from remid_jax.evaluation.results import SCHEMA_VERSION
from remid_jax.evaluation.score_files import read_arrays
from remid_jax.evaluation.stored_arrays import StoredArrays
from remid_jax.files import read_bytes
from remid_jax.information.common_records import SIDES, Outline, outline
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import REPLIES, SCORERS, ScoreTable
from remid_jax.reporting.subjects import Results

Source = str | Path | Evaluation
ELSEWHERE = ("self", "of_id", "in_id", "embedding", "identity")  # arrays that comparing has no use for


class _Part(pydantic.BaseModel):
    """An object of results.json; of its keys those that comparing asks for must be there."""

    model_config = pydantic.ConfigDict(extra="allow")


class _Source(_Part):
    source: Any


class _Config(_Part):
    benchmark: _Source
    estimator: dict[str, Any]
    policy: dict[str, Any]
    prompts: Any
    seed: Any
    max_prompt: Any


class _Fingerprints(_Part):
    benchmark: Any
    prompts: Any
    estimator: Any
    policy: Any
    protocol: Any


class _Estimator(_Part):
    model: Any
    dtype: Any
    reasoning: Any
    adapters: dict[str, Any] | None


class _Policy(_Part):
    model: Any
    adapter: Any
    replies: Any


class _Reader(_Part):
    template: Any
    writes_date: Any
    tokenizer: Any


class _Readers(_Part):
    estimator: _Reader


class _Reading(_Part):
    control_tokens: Any
    models: _Readers


class _Statistics(_Part):
    level: Any
    subsamples: Any
    pairs: Any
    headline: Any


class _Estimates(pydantic.BaseModel):
    settings: _Statistics
    headline: dict[str, Any]


class _Head(pydantic.BaseModel):
    """What comparing reads of results.json."""

    schema_version: Any
    kind: Any
    config: _Config
    fingerprints: _Fingerprints
    estimator: _Estimator
    policy: _Policy
    reading: _Reading
    estimates: _Estimates


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """One run, and by category what tells which records it has in common with others."""

    name: str
    results: Results
    scorers: tuple[str, ...]
    horizon: int | None
    outlines: Mapping[str, Outline]
    source: Path | Evaluation = dataclasses.field(repr=False)
    stored: StoredArrays | None = dataclasses.field(repr=False)  # of the baseline, where it is a folder

    def table(self, baseline: ComparedRun) -> ScoreTable:
        """Reads the scores of golden and policy replies.

        Raises:
          UserError: the arrays do not fit the layout.
        """
        if isinstance(self.source, Evaluation):
            return parse(self.source.scores, f"{self.name}: scores")
        return parse(_arrays(self.source, baseline.stored), f"{self.name}: scores")

    def replies(self) -> Mapping[tuple[str, str], str]:
        """Reads the policy's replies, by category and record."""
        if isinstance(self.source, Evaluation):
            rows = self.source.samples
        else:
            rows = read_samples(self.source, "category", "record", "reply")
        return {(row["category"], row["record"]): row["reply"] for row in rows}


def read_runs(sources: Source | Sequence[Source] | Mapping[str, Source]) -> list[ComparedRun]:
    """Reads runs; a folder is named by its path, an evaluation in memory by its key, or else its place in the list.

    A folder of a list that is no evaluation itself, such as a sweep's, stands for all evaluations in folders below it, by path,
    but for those that are named before it.

    Raises:
      UserError: there are fewer than two; the files of a folder are missing, broken or of another version.
    """
    if isinstance(sources, str | Path | Evaluation):
        sources = [sources]
    if isinstance(sources, Mapping):
        named = list(sources.items())
    else:
        named = [(_name(source, place), source) for place, source in enumerate(_unfolded(sources), 1)]
    if len(named) < 2:
        raise UserError(f"{len(named)} run{'s' * (len(named) != 1)} given: name two or more, the baseline first")
    names, taken = list[str](), set[str]()
    for name, _ in named:
        numbered = itertools.chain([name], (f"{name} ({number})" for number in itertools.count(2)))
        names.append(next(other for other in numbered if other not in taken))
        taken.add(names[-1])
    baseline, *others = (source for _, source in named)
    first = _read(names[0], baseline, None)
    return [first, *(_read(name, source, first.stored) for name, source in zip(names[1:], others, strict=True))]


def _unfolded(sources: Sequence[Source]) -> list[Source]:
    """The sources, with the evaluations below it in the place of a folder that is none."""
    found: list[Source] = []
    for source in sources:
        inside = [] if isinstance(source, Evaluation) or _is_evaluation(Path(source)) else _below(Path(source))
        named = {Path(run).resolve() for run in found if not isinstance(run, Evaluation)} if inside else set()
        found += [path for path in inside if path.resolve() not in named] or [source]
    return found


def _is_evaluation(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (RESULTS, SCORES, SAMPLES))


def _below(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob(RESULTS) if _is_evaluation(path.parent))


def _name(source: Source, place: int) -> str:
    return f"run {place}" if isinstance(source, Evaluation) else str(source)


def _read(name: str, source: Source, alike: StoredArrays | None) -> ComparedRun:
    """A run, its arrays shared with those of the file `alike`, or kept to be shared where there is none yet."""
    if isinstance(source, Evaluation):
        table = parse(source.scores, f"{name}: scores")
        return ComparedRun(name, source.results, table.scorers, table.horizon, outline(table), source, None)
    folder, results = Path(source), _head(Path(source))
    if not (folder / SAMPLES).is_file():
        raise UserError(f"{folder / SAMPLES}: no such file: name the workdir of an evaluation, or evaluate again")
    try:
        stored = StoredArrays(folder / SCORES)
        scorers, horizon, outlines = _outlines(stored, alike or stored)
    except (OSError, ValueError, KeyError):  # nothing that we wrote; whatever is wrong is said here, all of it
        table = parse(read_arrays(folder / SCORES), f"{name}: scores")
        return ComparedRun(name, results, table.scorers, table.horizon, outline(table), folder, None)
    return ComparedRun(name, results, scorers, horizon, outlines, folder, None if alike else stored)


def _head(folder: Path) -> Results:
    """What comparing reads of a folder's results.json."""
    if (folder / RESULTS).is_file():
        try:
            head = _Head.model_validate_json(read_bytes(folder / RESULTS))
        except pydantic.ValidationError:
            head = None  # what is wrong is said in words below
        if head is not None and (head.schema_version, head.kind) == (SCHEMA_VERSION, "evaluation"):
            return head.model_dump()
    faults: list[str] = []
    head = validated(_Head, read_results(folder), faults)
    if head is None:
        raise UserError(f"{folder / RESULTS}: {'; '.join(faults)}: evaluate again")
    return head.model_dump()


def _outlines(stored: StoredArrays, alike: StoredArrays) -> tuple[tuple[str, ...], int | None, dict[str, Outline]]:
    """Conditionings, horizon, and the outline of each category; KeyError and ValueError where the layout is another."""
    names = stored.entries
    categories = list(dict.fromkeys(name.partition("/")[0] for name in names))

    def array(name: str, kinds: str, shape: tuple[int, ...] | None) -> np.ndarray:
        found = stored.read([name], alike)[name]
        if found.dtype.kind not in kinds or (found.ndim != 1 if shape is None else found.shape != shape):
            raise ValueError(f"{name} has another layout")
        return found

    outlines = {}
    for category in categories:
        record, fold = array(f"{category}/record", "U", None), f"{category}/fold"
        sides = [side for side in SIDES if f"{category}/tokens/{side}" in names]
        outlines[category] = Outline(
            record,
            array(fold, "iu", record.shape) if fold in names else None,
            "golden" in sides,
            all(f"{category}/tokens_by_source/{side}" in names for side in sides),
        )
    scorers = tuple(of for of in SCORERS if f"{categories[0]}/loglik/{of}/policy" in names)
    horizon = f"{categories[0]}/horizon"
    return scorers, int(array(horizon, "iu", ())) if horizon in names else None, outlines


def _arrays(folder: Path, alike: StoredArrays | None) -> Mapping[str, np.ndarray]:
    try:
        stored = StoredArrays(folder / SCORES)
        return stored.read(_compared(stored.entries), alike or stored)
    except (OSError, ValueError):
        arrays = read_arrays(folder / SCORES)
        return {name: arrays[name] for name in _compared(arrays)}


def _compared(names: Iterable[str]) -> list[str]:
    """Those of the arrays that comparing reads: none that are `ELSEWHERE`, none of the replies of control policies."""
    found = []
    for name in names:
        _, quantity, *_ = (*name.split("/"), "")
        last = name.rpartition("/")[2]
        if quantity not in ELSEWHERE and (quantity == "cluster" or last in SIDES or last not in REPLIES):
            found.append(name)
    return found
