"""R-EMID of a role-playing model: reason -> respond -> score -> embed -> estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax import program
from remid_jax.dialogues.records import Benchmark, Record
from remid_jax.evaluation.arguments import Given, settings_of
from remid_jax.evaluation.estimating import estimates
from remid_jax.evaluation.evaluation import Evaluation
from remid_jax.evaluation.results import gathered
from remid_jax.evaluation.run import begin
from remid_jax.evaluation.stages import reason, respond, score
from remid_jax.information.score_arrays import parse
from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.progress import Reports, Shown, Timed
from remid_jax.roles.members import shown
from remid_jax.roles.reading import Reading, reading_of
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings


def evaluate(
    benchmark: str | Path | Benchmark | Sequence[Record | Mapping[str, object]] | Mapping[str, object] | None = None,
    policy: str | Path | LanguageModel | Mapping[str, object] | None = None,
    estimator: str | Path | LanguageModel | Mapping[str, object] | None = None,
    *,
    progress: Reports | None = None,
    **settings: object,
) -> Evaluation:
    """Measures what a role-playing policy loses under the shifts of a benchmark; writes nothing but the store it is given.

    Args:
      benchmark: a file or `package:NAME`, records (each a `Record` or a mapping as in a JSON Lines file), or a mapping of
        settings.
      policy: a model (directory, hub id, .gguf file, `package:NAME`, or one that is opened), or a mapping of settings; under
        "replies" a file of ready replies, or {id of a record: reply}.
      estimator: the same of the model that reasons and scores; "adapters" names its trained pairs, "" none.
      progress: where progress goes; by default to standard error.
      settings: any other setting of `remid_jax.evaluation.settings` by its name, a group as a mapping:
        `seed=1, statistics={"bootstrap": 0}, store="finished.sqlite"`. A later call that names the same store goes on from it.

    Returns:
      An `Evaluation`: estimates in nats, by category and shift, with intervals.

    Raises:
      UserError: for whatever its caller can mend, in one line.
    """
    named = {"benchmark": benchmark, "policy": policy, "estimator": estimator, **settings}
    config, given = settings_of(named)
    return evaluate_config(config, Store(config.store or ":memory:"), reading_of(config), progress or Shown(), given)


def evaluate_config(
    config: ConfigDict, store: Store, reading: Reading, progress: Reports, given: Given | None = None
) -> Evaluation:
    """Evaluates as `evaluate`, from a config of all its settings; finished device work is kept in `store`.

    Raises:
      UserError: as `evaluate`.
    """
    check_settings(config)
    stages, made_by = Timed(progress), program.described()
    run = begin(config, store, reading, stages, given or Given())
    answered = respond(run) if run.endpoint else None  # whoever cannot be asked is known before anything is computed
    written = reason(run)
    replies, samples = answered or respond(run)
    arrays = score(run, written, replies, samples)
    with stages.stage("estimate", unit=""):
        found = estimates(parse(arrays), run.statistics, Devices(config.devices.parallel, local=True))
        results, texts = gathered(run, made_by, replies, shown(written), arrays, found)
    asked = {} if run.endpoint is None else {"endpoints": {run.endpoint.name: run.endpoint.ledger.described()}}
    return Evaluation(results, arrays, texts, {"seconds": stages.seconds, **run.engines.counts(), **asked})
