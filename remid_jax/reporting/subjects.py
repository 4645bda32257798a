"""What an evaluation was of, in words: the policy, the estimator, the categories that others are compared with.

Input is the dictionary of results.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

Results = Mapping[str, Any]


def references(results: Results) -> list[str]:
    """Returns the categories that others are compared with, in order."""
    categories = results["categories"]
    if not any("reference" in category for category in categories.values()):  # results of before say it by the shift alone
        return [name for name, category in categories.items() if category["shift"] is None]
    named = [category["reference"] for category in categories.values()]
    return [name for name in categories if name in named]


def reference(results: Results) -> str:
    """Returns the name of the category that all others are compared with; where there are several, "its reference"."""
    names = references(results)
    return names[0] if len(names) == 1 else "its reference"


def compared_with(results: Results) -> list[str]:
    """Returns a sentence for each reference with the categories that are compared with it; none where there is one for all."""
    if len(references(results)) < 2:
        return []
    categories = results["categories"]
    return [
        f"Compared with {of}: {', '.join(name for name in categories if categories[name]['reference'] == of)}."
        for of in references(results)
    ]


def risky(results: Results) -> str:
    """Returns the reference from whose contexts alone the risk is predicted."""
    named = [category.get("reference") for category in results["categories"].values()]
    return next((name for name in named if name), next(iter(references(results)), "the reference"))


def subject(results: Results) -> str:
    """Returns what was measured, by which estimator, as a title: "SmolLM2 with adapter sft, measured by SmolLM2 with ..."."""
    policy, estimator = results["policy"], results["estimator"]
    if policy["model"] is None:
        measured = f"the replies of {policy['replies']}"
    else:
        measured = policy["model"] + (f" with adapter {_short(policy['adapter'])}" if policy.get("adapter") else "")
        measured += f", replies from {policy['replies']}" if policy["replies"] != "generated" else ""
    adapters = estimator.get("adapters")
    return f"{measured}, measured by {estimator['model']}" + (f" with {_short(adapters['folder'])}" if adapters else "")


def _short(path: str) -> str:
    """The last two parts of a path: runs are told apart by their folder."""
    return "/".join(PurePath(path).parts[-2:])
