"""A comparison in the layout of lm-evaluation-harness's results: results[task]["metric,filter"], and its standard error."""

from __future__ import annotations

from typing import Any

from remid_jax.reporting.comparison_tables import is_loss, others, quantities, quantity_name
from remid_jax.reporting.subjects import Results

NONE = "N/A"  # what the harness writes for a standard error that is not known
OVERALL = "all shifted categories"


def lm_eval(results: Results) -> dict[str, Any]:
    """Returns the headline's values by task, "r_emid,RUN", and differences to the baseline, "r_emid_difference,RUN".

    A category is a task; a shift, named "SHIFT shift", and all shifted categories are groups. The name of the run stands where
    the harness has that of a filter. A value that does not exist is left out.
    """
    tasks: dict[str, dict[str, Any]] = {}
    better: dict[str, dict[str, bool]] = {}
    for quantity in quantities(results):
        metric = quantity_name(results, quantity).lower().replace("-", "_").replace(" ", "_")
        for entry in results["standings"]:
            if entry["quantity"] == quantity:
                task = _task(entry["kind"], entry["name"])
                better.setdefault(task, {})[metric] = not is_loss(quantity)
                for run, standing in entry["runs"].items():
                    _add(tasks, task, metric, run, standing["value"], standing["error"])
        for row in results["differences"]:
            if row["quantity"] == quantity and (together := row["simultaneous"]) is not None:
                task = _task(row["kind"], row["name"])
                better[task][f"{metric}_difference"] = not is_loss(quantity)
                _add(tasks, task, f"{metric}_difference", row["run"], row["difference"]["value"], together["error"])
    groups = {_task("shift", shift): names for shift, names in results["shifts"].items() if _task("shift", shift) in tasks}
    if OVERALL in tasks:
        groups[OVERALL] = list(dict.fromkeys(name for names in groups.values() for name in names))
    return {
        "results": tasks,
        "groups": {group: tasks[group] for group in groups},
        "group_subtasks": groups,
        "configs": {name: {"task": name, "metric_list": [{"metric": metric} for metric in better[name]]} for name in tasks},
        "versions": dict.fromkeys(tasks, results["schema_version"]),
        "n-shot": dict.fromkeys(tasks, 0),
        "higher_is_better": better,
        "n-samples": {
            name: {"original": about["common"], "effective": about["common"]} for name, about in results["records"].items()
        },
        "config": {
            "model": "remid_jax",
            "model_args": {run: about["policy"] for run, about in results["runs"].items()},
            "baseline": results["baseline"],
            "compared": others(results),
        },
    }


def _task(kind: str, name: str) -> str:
    return {"category": name, "shift": f"{name} shift", "overall": OVERALL}[kind]


def _add(tasks: dict[str, dict[str, Any]], task: str, metric: str, run: str, value: float | None, error: float | None) -> None:
    entry = tasks.setdefault(task, {"alias": task})
    if value is not None:
        entry[f"{metric},{run}"] = value
        entry[f"{metric}_stderr,{run}"] = NONE if error is None else error
