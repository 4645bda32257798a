"""R-EMID: how much a role-playing language model loses when it meets users, characters or dialogues unlike those it knows.

    import remid_jax

    evaluation = remid_jax.evaluate(policy="path/or/hub-id")
    print(evaluation.shifts["user"].r_emid)

Every name below is imported when it is first used, so that importing the package takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remid_jax.dialogues.reading import read_benchmark
    from remid_jax.dialogues.records import Benchmark, Record
    from remid_jax.errors import UserError
    from remid_jax.evaluation.agreement import Agreement, agreement
    from remid_jax.evaluation.comparison import Comparison, compare
    from remid_jax.evaluation.estimating import estimate
    from remid_jax.evaluation.evaluate import evaluate
    from remid_jax.evaluation.evaluation import Evaluation
    from remid_jax.models.loading import open_model
    from remid_jax.progress import Silent
    from remid_jax.roles.training_runs import export
    from remid_jax.scoring.score import score

__version__ = "0.1.0"

_HOMES = {
    "Agreement": "evaluation.agreement",
    "Benchmark": "dialogues.records",
    "Comparison": "evaluation.comparison",
    "Evaluation": "evaluation.evaluation",
    "Record": "dialogues.records",
    "Silent": "progress",
    "UserError": "errors",
    "agreement": "evaluation.agreement",
    "compare": "evaluation.comparison",
    "estimate": "evaluation.estimating",
    "evaluate": "evaluation.evaluate",
    "export": "roles.training_runs",
    "open_model": "models.loading",
    "read_benchmark": "dialogues.reading",
    "score": "scoring.score",
}
__all__ = [
    "Agreement", "Benchmark", "Comparison", "Evaluation", "Record", "Silent", "UserError", "agreement", "compare", "estimate",
    "evaluate", "export", "open_model", "read_benchmark", "score",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
