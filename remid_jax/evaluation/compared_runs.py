"""The runs that are compared: where they lie, whether they may be compared, and in what their policies differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import RESULTS, SAMPLES, SCORES, Evaluation
from remid_jax.identity import Identity
from remid_jax.information.score_arrays import parse
from remid_jax.information.score_table import ScoreTable
from remid_jax.reporting.subjects import Results

Source = str | Path | Evaluation


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """One run. `replies` are those of its policy by (category, record)."""

    name: str
    results: Results
    scores: ScoreTable
    replies: Mapping[tuple[str, str], str]


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
    names: list[str] = []
    for name, _ in named:
        again = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({again + 1})" if again else name)
    return [_read(name, source) for name, (_, source) in zip(names, named, strict=True)]


def _unfolded(sources: Sequence[Source]) -> list[Source]:
    """The sources, with the evaluations below it in the place of a folder that is none."""
    found: list[Source] = []
    for source in sources:
        inside = [] if isinstance(source, Evaluation) or _is_evaluation(Path(source)) else _below(Path(source))
        named = {Path(run).resolve() for run in found if not isinstance(run, Evaluation)}
        found += [path for path in inside if path.resolve() not in named] or [source]
    return found


def _is_evaluation(folder: Path) -> bool:
    return all((folder / name).is_file() for name in (RESULTS, SCORES, SAMPLES))


def _below(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob(RESULTS) if _is_evaluation(path.parent))


def _name(source: Source, place: int) -> str:
    return f"run {place}" if isinstance(source, Evaluation) else str(source)


def _read(name: str, source: Source) -> ComparedRun:
    evaluation = source if isinstance(source, Evaluation) else Evaluation.read(source)
    replies = {(row["category"], row["record"]): row["reply"] for row in evaluation.samples}
    return ComparedRun(name, evaluation.results, parse(evaluation.scores, f"{name}: scores"), replies)


def check_comparable(runs: Sequence[ComparedRun]) -> None:
    """Refuses runs that were not measured alike (docs/protocol.md, rule 27); their policies may differ in everything.

    Raises:
      UserError: one line that names everything in which a run differs from the first, with both values.
    """
    baseline, *others = runs
    for run in others:
        if differing := _measurement(baseline).differences(_measurement(run)):
            raise UserError(
                f"{run.name}: cannot be compared with {baseline.name}, from which it differs in {', '.join(differing)}: "
                "evaluate both with the same benchmark, horizon, prompts, estimator and statistics"
            )


def _measurement(run: ComparedRun) -> Identity:
    """How a policy was measured, whichever it was."""
    results = run.results
    config, prints, estimator = results["config"], results["fingerprints"], results["estimator"]
    reader, adapters = results["reading"]["models"]["estimator"], estimator["adapters"] or {}
    settings = {
        "conditioning": " and ".join(run.scores.scorers),
        "horizon": run.scores.horizon or "whole replies",
        "control_tokens": results["reading"]["control_tokens"],
        "estimator.dtype": estimator["dtype"],
        "estimator.reasoning": estimator["reasoning"],
        "estimator.template": reader["template"],
    }
    if estimator["reasoning"] == "generated":
        settings |= {f"estimator.{name}": config["estimator"][name] for name in ("max_reasoning", "fallback")}
    if reader["writes_date"]:
        settings["date"] = results["reading"]["date"]
    statistics = results["estimates"]["settings"]
    settings |= {f"statistics.{name}": statistics[name] for name in ("level", "subsamples", "pairs", "headline")}
    contents = {
        "benchmark.source": prints["benchmark"],
        "prompts": prints["prompts"],
        "estimator.model": prints["estimator"],
        "estimator.adapters": adapters.get("fingerprint"),
        "the estimator's tokenizer": reader["tokenizer"],
    }
    paths = {
        "benchmark.source": config["benchmark"]["source"],
        "prompts": config["prompts"] or "ours",
        "estimator.model": estimator["model"],
        "estimator.adapters": adapters.get("folder"),
    }
    given = {name: content for name, content in contents.items() if content is not None}
    return Identity(settings, given, {"protocol": prints["protocol"]}, {name: paths[name] for name in given if name in paths})


def policy_differences(run: ComparedRun, baseline: ComparedRun) -> list[str]:
    """Returns in what a run's policy is another one, or answers otherwise: settings with both values, the baseline's first."""
    return _policy(baseline).differences(_policy(run))


def _policy(run: ComparedRun) -> Identity:
    config, prints = run.results["config"], run.results["fingerprints"]
    settings = {f"policy.{name}": value for name, value in (config["policy"] | run.results["policy"]).items()}
    settings |= {"seed": config["seed"], "max_prompt": config["max_prompt"]}
    contents = {"the policy": prints["policy"], "the ready replies": prints.get("replies")}
    return Identity(settings, {name: content for name, content in contents.items() if content is not None}, {}, {})
