"""Whether runs may be compared, and in what their policies differ."""

from __future__ import annotations

from collections.abc import Sequence

from remid_jax.errors import UserError
from remid_jax.evaluation.opened_runs import ComparedRun
from remid_jax.identity import Identity


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
        "conditioning": " and ".join(run.scorers),
        "horizon": run.horizon or "whole replies",
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
