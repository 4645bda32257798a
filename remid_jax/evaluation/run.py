"""What an evaluation has before its first device step: settings, records, models, engines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ml_collections import ConfigDict

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Benchmark
from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.endpoints.recorded import Recorded
from remid_jax.errors import UserError
from remid_jax.evaluation.arguments import Given
from remid_jax.evaluation.horizons import horizon_of
from remid_jax.evaluation.models import Models, open_models
from remid_jax.evaluation.records import Records, choose_records, read_records, ready_texts
from remid_jax.information.estimates import Settings
from remid_jax.parallel import Devices
from remid_jax.progress import Timed
from remid_jax.roles.members import Member, trained, untrained
from remid_jax.roles.pairs import Pairs, read_pairs
from remid_jax.roles.reading import Reading, thinking_of
from remid_jax.scoring.engines import Engines
from remid_jax.scoring.store import Store


@dataclasses.dataclass(frozen=True)
class Run:
    """All that the stages of an evaluation share."""

    config: ConfigDict
    statistics: Settings
    horizon: int | None  # tokens of an answer at most; None: whole answers
    benchmark: Benchmark
    records: Records
    excluded: Mapping[str, Mapping[str, int]]
    prompts: Prompts
    models: Models
    pairs: Pairs | None
    members: Sequence[Member]
    engines: Engines
    stages: Timed
    reading: Reading
    ready_replies: Mapping[str, str] | None  # by record; None: they are to be generated
    ready_reasoning: Mapping[str, str] | None
    endpoint: Recorded | None  # that answers in place of the policy's model


def begin(config: ConfigDict, store: Store, reading: Reading, stages: Timed, given: Given) -> Run:
    """Reads and opens everything, before the first device step.

    Raises:
      UserError: for whatever its caller can mend.
    """
    horizon = horizon_of(config)
    benchmark = read_records(config, given.benchmark)
    prompts = Prompts.load(config.prompts)
    c = config.statistics
    statistics = Settings(c.level, c.subsamples, bootstrap=c.bootstrap, seed=config.seed)
    statistics.check()
    if str(config.estimator.reasoning).startswith("package:"):
        raise UserError(
            f"config.estimator.reasoning={config.estimator.reasoning}: was written with golden replies in view, so it would "
            "measure its author's knowledge of them: leave it empty or name a file"
        )
    if config.estimator.plain not in (None, "", "golden"):
        raise UserError(f"config.estimator.plain={config.estimator.plain!r}: choose golden, or leave it out for all replies")
    devices = Devices(config.devices.parallel, config.devices.mesh_model)
    endpoint = None
    if not config.policy.replies and is_endpoint(config.policy.model):
        endpoint = _open_policy(config, store)
    models = open_models(config, given.models, bool(config.policy.replies or endpoint), devices, reading)
    thinking = thinking_of(config.policy.thinking) == "tags"
    records, excluded = choose_records(config, benchmark, prompts, models, thinking)
    replies = ready_texts("reply", config.policy.replies, given.replies, records, benchmark)
    reasoning = ready_texts("reasoning", config.estimator.reasoning, given.reasoning, records, benchmark)
    pairs = read_pairs(config.estimator.adapters, models.estimator) if config.estimator.adapters else None
    members = trained(models.estimator, pairs, records) if pairs else untrained(models.estimator, records)
    d = config.devices
    engines = Engines(devices, store, d.tokens_per_step, d.max_row, d.sampling_rows)
    return Run(
        config, statistics, horizon, benchmark, records, excluded, prompts, models, pairs, members, engines, stages, reading,
        replies, reasoning, endpoint,
    )  # fmt: skip


def _open_policy(config: ConfigDict, store: Store) -> Recorded:
    """The endpoint that `config.policy.model` names."""
    for name in ("adapter", "template"):
        if config.policy[name]:
            raise UserError(f"config.policy.{name}: {config.policy.model} is no model on this machine: leave it out")
    return open_endpoint(config.policy.model, config.endpoints, store)
