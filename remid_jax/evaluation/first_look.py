"""A first answer, long before the last: the references and one category a shift are evaluated before all are.

What it computes, the whole evaluation takes from the store, but for rows that other categories share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import monotonic

from ml_collections import ConfigDict

from remid_jax.dialogues.manifest import Manifest
from remid_jax.evaluation.arguments import Given
from remid_jax.evaluation.evaluate import evaluate_config
from remid_jax.evaluation.loaded import LoadedModels
from remid_jax.evaluation.records import read_records
from remid_jax.progress import Reports, clock
from remid_jax.roles.reading import Reading
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings


def take_first_look(config: ConfigDict, store: Store, reading: Reading, progress: Reports) -> Given:
    """Evaluates the categories of `first_categories` and says what they show, and how long the others will take about.

    What is computed stays in `store`.

    Returns:
      The models that it opened, for the whole evaluation; none where these categories are all that the benchmark has.

    Raises:
      UserError: as `evaluate_config`.
    """
    check_settings(config)
    benchmark = read_records(config, None)
    categories = first_categories(benchmark.manifest, list(benchmark.test))
    if len(categories) == len(benchmark.test):
        return Given()
    narrowed = ConfigDict(config.to_dict())
    narrowed.benchmark.categories, narrowed.benchmark.dials = categories, ()
    progress.say(f"first {len(categories)} of {len(benchmark.test)} categories: {', '.join(categories)}")
    given, began = Given(models=LoadedModels().of_evaluation(config)), monotonic()
    look = evaluate_config(narrowed, store, reading, progress, given)
    seconds = monotonic() - began
    progress.say("A first look, of one category a shift:")
    for sentence in look.verdict:
        progress.say(f"  {sentence}")
    engines = [engine for kind in ("scoring", "sampling") for engine in look.run.get(kind, {}).values()]
    records = sum(len(benchmark.test[name]) for name in categories)
    left = time_left(seconds, engines, sum(map(len, benchmark.test.values())) / records - 1)
    if left is not None:
        progress.say(f"All {len(benchmark.test)} categories: about {clock(left)} more")
    return given


def time_left(seconds: float, engines: Iterable[Mapping[str, int]], times: float) -> float | None:
    """Returns about how many seconds so many times the work of `engines` will take, after `seconds` for that work.

    Rows that the store had cost nothing. Where it had half of them or more, nothing can be said: None.

    >>> time_left(60.0, [{"rows": 8, "store_misses": 6}, {"rows": 2, "store_misses": 2}], 2.0)
    150.0
    """
    rows, computed = map(sum, zip(*((engine["rows"], engine["store_misses"]) for engine in engines), strict=True))
    return seconds * rows / computed * times if 2 * computed > rows else None


def first_categories(manifest: Manifest, names: Sequence[str]) -> tuple[str, ...]:
    """Returns those of the categories `names` that others are compared with, and the first of each shift, in their order."""
    first = {next((name for name in of_shift if name in names), None) for of_shift in manifest.shifts.values()}
    return tuple(name for name in names if name in first or name in manifest.references)
