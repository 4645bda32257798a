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
    """Returns what a category is compared with: the one reference by its name, or "its reference (morning or noon)"."""
    names = references(results)
    if len(names) == 1:
        return names[0]
    return f"its reference ({' or '.join(names)})" if names else "its reference"


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
    """Returns the first reference: the one whose risk stands under "risk", others under "other_risks"."""
    named = [category.get("reference") for category in results["categories"].values()]
    return next((name for name in named if name), next(iter(references(results)), "the reference"))


def at_horizon(results: Results) -> list[str]:
    """Returns a sentence that says which part of a reply was scored; none where replies were scored whole."""
    horizon = results["estimates"].get("horizon")
    return [f"Of the first {horizon} tokens of a reply, or all of one that ends sooner (the horizon)."] if horizon else []


def title(results: Results) -> str:
    """Returns what was measured, by which formula and estimator, and on which benchmark, as the title of an evaluation:

    "R-EMID (club token_rate) of SmolLM2 with adapter sft, measured by SmolLM2 with ..., on records.jsonl".
    """
    policy, estimator, headline = results["policy"], results["estimator"], results["estimates"]["headline"]
    if policy["model"] is None:
        measured = f"the replies of {policy['replies']}"
    else:
        measured = policy["model"] + (f" with adapter {_short(policy['adapter'])}" if policy.get("adapter") else "")
        measured += f", replies from {policy['replies']}" if policy["replies"] != "generated" else ""
    adapters = estimator.get("adapters")
    measured += f", measured by {estimator['model']}" + (f" with {_short(adapters['folder'])}" if adapters else "")
    quantity = "R-EMID" if headline["scorer"] == "reasoned" else "EMID"
    formula = f"{headline['estimator']} {headline['unit']}"
    return f"{quantity} ({formula}) of {measured}, on {results['config']['benchmark']['source']}"


def _short(path: str) -> str:
    """The last two parts of a path: runs are told apart by their folder."""
    return "/".join(PurePath(path).parts[-2:])
