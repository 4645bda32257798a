"""What an evaluation found: typed estimates, the numbers of every record, texts; and how it is kept and shown."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from remid_jax.errors import UserError
from remid_jax.evaluation.numbers import (
    CategoryEstimates,
    Number,
    ShiftEstimates,
    categories_of,
    dials_of,
    shifts_of,
    table_of,
)
from remid_jax.evaluation.results import SCHEMA_VERSION, parquet_bytes
from remid_jax.evaluation.score_files import read_arrays, write_scores
from remid_jax.files import read_object, write_bytes, write_text
from remid_jax.progress import Reports, Silent, Timed
from remid_jax.reporting import report, tables
from remid_jax.reporting.page import table_html
from remid_jax.reporting.subjects import Results

RESULTS, SCORES, SAMPLES, RUN = "results.json", "scores.npz", "samples.parquet", "run.json"


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The results of one evaluation.

    Attributes:
      results: everything in the layout of results.json.
      scores: the arrays of the score table (layout: remid_jax.information.score_arrays).
      samples: a row a record: its texts and its own numbers.
      run: seconds a stage, and what the engines did.
    """

    results: Results = dataclasses.field(repr=False)
    scores: Mapping[str, np.ndarray] = dataclasses.field(repr=False)
    samples: Sequence[Mapping[str, Any]] = dataclasses.field(repr=False)
    run: Mapping[str, Any] = dataclasses.field(repr=False)

    @functools.cached_property
    def categories(self) -> Mapping[str, CategoryEstimates]:
        """Estimates by category, in the headline's estimator and unit."""
        return categories_of(self.results)

    @functools.cached_property
    def shifts(self) -> Mapping[str, ShiftEstimates]:
        """Estimates by shift, in the headline's estimator and unit."""
        return shifts_of(self.results)

    @property
    def estimates(self) -> Mapping[str, Any]:
        """Every estimate in every unit (layout: remid_jax.information.estimates)."""
        return self.results["estimates"]

    @property
    def records(self) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What each record adds, by category."""
        return self.results["records"]

    @property
    def diagnostics(self) -> Mapping[str, Mapping[str, Any]]:
        """What else may move the numbers, by category: exclusions, languages, truncations, lengths."""
        return self.results["categories"]

    @property
    def verdict(self) -> Sequence[str]:
        """The answer in words, the shortest first: which shifts cost the policy something, and what could not be seen."""
        return self.results["estimates"]["verdict"]["sentences"]

    @property
    def novel(self) -> Mapping[str, Number]:
        """Novel R-EMID, nats a token, by shift and by category: where it exists, and where it is known what replies copy."""
        return {name: of.novel_r_emid for name, of in self._rows() if of.novel_r_emid is not None}

    @property
    def identified(self) -> Mapping[str, Number]:
        """How often replies are traced to their own context, by shift and by category; by chance 0.5."""
        return {name: of.identified for name, of in self._rows()}

    def _rows(self) -> Iterator[tuple[str, ShiftEstimates | CategoryEstimates]]:
        yield from self.shifts.items()
        yield from self.categories.items()

    @functools.cached_property
    def dials(self) -> Mapping[str, Mapping[str, Number]]:
        """R-EMID by curve and setting of its dial; intervals are bands, which hold at all settings of a curve at once."""
        return dials_of(self.results)

    @property
    def first_line(self) -> str:
        """Whether reasoning hurt the estimator, else the riskiest shift."""
        return self.results["first_line"]

    @property
    def warnings(self) -> Sequence[str]:
        """What speaks against the numbers, a sentence each."""
        return self.results["warnings"]

    def table(self) -> pa.Table:
        """Returns every estimate as a table, a row a category or shift and quantity (columns: `numbers.COLUMNS`)."""
        return table_of(self.results)

    def save(self, workdir: str | Path, progress: Reports | None = None) -> list[Path]:
        """Writes results.json, scores.npz, samples.parquet, run.json, the report and its figures to a folder, which is made.

        Returns:
          The files.

        Raises:
          UserError: if the folder cannot be written to.
        """
        folder, stages = Path(workdir), Timed(progress or Silent())
        _make(folder)
        write_scores(folder / SCORES, self.scores)
        write_bytes(folder / SAMPLES, parquet_bytes(pa.Table.from_pylist(list(self.samples))))
        write_text(folder / RESULTS, _json(self.results, ensure_ascii=False) + "\n")
        with stages.stage("report", unit=""):
            drawn = report.write(self.results, folder, self.samples)
        run = {**self.run, "seconds": {**self.run["seconds"], **stages.seconds}}
        write_text(folder / RUN, _json(run) + "\n")
        return [*(folder / name for name in (RESULTS, SCORES, SAMPLES, RUN)), *drawn]

    def report(self, path: str | Path) -> None:
        """Writes the report as one HTML file that needs nothing beside it.

        Raises:
          UserError: if the file cannot be written.
        """
        write_text(path, report.page_of(self.results, self.samples))

    @classmethod
    def read(cls, workdir: str | Path) -> Evaluation:
        """Reads what `save` wrote.

        Raises:
          UserError: if a file is missing, broken or of another version.
        """
        folder = Path(workdir)
        results = read_results(folder)
        return cls(results, read_arrays(folder / SCORES), read_samples(folder), read_object(folder / RUN, "evaluate again"))

    def __str__(self) -> str:
        return "\n".join(self.verdict)

    def _repr_html_(self) -> str:
        """The headline as a table, for notebooks."""
        return table_html(tables.headline(self.results), " ".join(self.verdict))


def read_results(folder: Path) -> dict[str, Any]:
    """Reads the results.json of an evaluation's workdir.

    Raises:
      UserError: it is missing, broken, or of another version.
    """
    results = read_object(folder / RESULTS, "name the workdir of an evaluation")
    if (version := results.get("schema_version")) != SCHEMA_VERSION or results.get("kind") != "evaluation":
        raise UserError(f"{folder / RESULTS}: is no evaluation of version {SCHEMA_VERSION} but {version!r}: evaluate again")
    return results


def read_samples(folder: Path, *texts: str) -> list[dict[str, Any]]:
    """Reads the rows of an evaluation's samples.parquet: these columns, which hold texts, or all.

    Raises:
      UserError: it is missing or broken, or has no such column of texts.
    """
    path = folder / SAMPLES
    if not path.is_file():
        raise UserError(f"{path}: no such file: name the workdir of an evaluation, or evaluate again")
    try:
        with pq.ParquetFile(path) as file:
            held = {field.name for field in file.schema_arrow if field.type in (pa.string(), pa.large_string())}
            lacking = [name for name in texts if name not in held and file.metadata.num_rows]
            rows = file.read(list(texts) or None)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0]}): evaluate again") from error
    if lacking:
        raise UserError(f"{path}: has no column {', '.join(lacking)} of texts: evaluate again")
    return rows.to_pylist()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}): name a folder you may write to") from error


def _json(value: object, ensure_ascii: bool = True) -> str:
    return json.dumps(value, indent=1, ensure_ascii=ensure_ascii, allow_nan=False)
