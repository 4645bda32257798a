"""The runs that are compared: where they lie, whether they may be compared, and in what their policies differ."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from remid_jax.errors import UserError
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.information.score_table import ScoreTable, parse

Source = str | Path | Evaluation


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """One run. `replies` are those of its policy by (category, record)."""

    name: str
    results: Mapping[str, Any]
    scores: ScoreTable
    replies: Mapping[tuple[str, str], str]


def read_runs(sources: Sequence[Source] | Mapping[str, Source]) -> list[ComparedRun]:
    """Reads runs; a folder is named by its path, an evaluation in memory by its key, or else its place in the list.

    Raises:
      UserError: there are fewer than two; the files of a folder are missing, broken or of another version.
    """
    named = list(sources.items()) if isinstance(sources, Mapping) else [(_name(of, k), of) for k, of in enumerate(sources, 1)]
    if len(named) < 2:
        raise UserError(f"{len(named)} run{'s' * (len(named) != 1)} given: name two or more, the baseline first")
    names: list[str] = []
    for name, _ in named:
        again = sum(other == name or other.startswith(f"{name} (") for other in names)
        names.append(f"{name} ({again + 1})" if again else name)
    return [_read(name, source) for name, (_, source) in zip(names, named, strict=True)]


def _name(source: Source, place: int) -> str:
    return f"run {place}" if isinstance(source, Evaluation) else str(source)


def _read(name: str, source: Source) -> ComparedRun:
    evaluation = source if isinstance(source, Evaluation) else Evaluation.read(source)
    replies = {(row["category"], row["record"]): row["reply"] for row in evaluation.samples}
    return ComparedRun(name, evaluation.results, parse(evaluation.scores, f"{name}: scores"), replies)


class _Fact(NamedTuple):
    """What must be equal: `identity` is compared, `words` are said."""

    identity: Any
    words: Any


def check_comparable(runs: Sequence[ComparedRun]) -> None:
    """Refuses runs that were not measured alike (protocol.md, rule 27); their policies may differ in everything.

    Raises:
      UserError: one line that names everything in which a run differs from the first, with both values.
    """
    baseline, *others = runs
    expected = _facts(baseline)
    for run in others:
        found = _facts(run)
        both = [name for name in expected if name in found]  # some count only under a setting that is compared itself
        differing = [name for name in both if found[name].identity != expected[name].identity]
        if differing:
            said = "; ".join(_differs(name, found[name].words, expected[name].words) for name in differing)
            mend = "evaluate both with the same benchmark, prompts, estimator and statistics"
            raise UserError(f"{run.name}: cannot be compared with {baseline.name}: {said}: {mend}")


def _differs(name: str, words: Any, expected: Any) -> str:
    return f"{name} {words} with other contents" if words == expected else f"{name} {words} instead of {expected}"


def _facts(run: ComparedRun) -> dict[str, _Fact]:
    results = run.results
    config, prints, estimator = results["config"], results["fingerprints"], results["estimator"]
    adapters = estimator["adapters"] or {"fingerprint": None, "folder": "none"}
    reader = results["reading"]["models"]["estimator"]
    facts = {
        "benchmark": _Fact(prints["benchmark"], config["benchmark"]["source"]),
        "prompts": _Fact(prints["prompts"], config["prompts"] or "package"),
        "estimator": _Fact(prints["estimator"], estimator["model"]),
        "estimator's adapters": _Fact(adapters["fingerprint"], adapters["folder"]),
        "estimator's tokenizer": _Fact(reader["tokenizer"], f"of {estimator['model']}"),
    }
    plain = {
        "protocol": prints["protocol"],
        "estimator's dtype": estimator["dtype"],
        "estimator's template": reader["template"],
        "estimator's reasoning": estimator["reasoning"],
        "replies scored": " and ".join(run.scores.scorers),
        "control_tokens": results["reading"]["control_tokens"],
    }
    if estimator["reasoning"] == "generated":
        plain |= {f"estimator.{name}": config["estimator"][name] for name in ("max_reasoning", "fallback")}
    if reader["writes_date"]:
        plain["date"] = results["reading"]["date"]
    statistics = results["estimates"]["settings"]
    plain |= {f"statistics.{name}": statistics[name] for name in ("level", "subsamples", "pairs", "headline")}
    return facts | {name: _Fact(value, value) for name, value in plain.items()}


def policy_differences(run: ComparedRun, baseline: ComparedRun) -> dict[str, list[Any]]:
    """Returns {setting: [of the run, of the baseline]} of whatever says which policy it is and how it answers."""
    mine, other = _policy(run), _policy(baseline)
    differing = {name: [mine.get(name), other.get(name)] for name in (mine | other) if mine.get(name) != other.get(name)}
    changed = run.results["fingerprints"]["policy"] != baseline.results["fingerprints"]["policy"]
    if changed and not {"policy.model", "policy.adapter", "policy.replies"} & set(differing):
        differing["policy.contents"] = [run.results["fingerprints"]["policy"], baseline.results["fingerprints"]["policy"]]
    return differing


def _policy(run: ComparedRun) -> dict[str, Any]:
    config = run.results["config"]
    settings = {f"policy.{name}": value for name, value in (config["policy"] | run.results["policy"]).items()}
    return settings | {"seed": config["seed"], "max_prompt": config["max_prompt"]}
