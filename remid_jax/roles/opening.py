"""From settings to an engine that scores: which model, how it reads texts, on which devices."""

from __future__ import annotations

from ml_collections import ConfigDict

from remid_jax.parallel import Devices
from remid_jax.roles.reading import Reading, template_settings
from remid_jax.scoring.engine import ScoringEngine
from remid_jax.scoring.score import scoring_engine
from remid_jax.scoring.store import Store


def open_engine(
    settings: ConfigDict, devices: ConfigDict, store: Store, reading: Reading, called: str = "config"
) -> ScoringEngine:
    """Returns the engine that scores with the model that a config names.

    Args:
      settings: a config or a group of it, with `model`, `dtype` and `template`.
      devices: the same or another group, with `parallel`, `mesh_model`, `tokens_per_step` and `max_row`.
      store: where finished work is kept.
      reading: what all models of the run have in common.
      called: the name of `settings` in faults.

    Raises:
      UserError: for a setting or a model that cannot be used.
    """
    return scoring_engine(
        settings.model,
        dtype=settings.dtype,
        template=template_settings(settings.template, f"{called}.template"),
        store=store,
        tokens_per_step=devices.tokens_per_step,
        max_row=devices.max_row,
        devices=Devices(devices.parallel, devices.mesh_model),
        **reading,
    )
