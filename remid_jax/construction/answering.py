"""Whoever a script's config names to answer: a model behind an address, or one on this machine."""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.endpoints.chat import Endpoint
from remid_jax.endpoints.descriptions import is_endpoint
from remid_jax.endpoints.local import Local
from remid_jax.endpoints.opening import open_endpoint
from remid_jax.models.loading import open_model, read_as
from remid_jax.parallel import Devices
from remid_jax.roles.reading import reading_of, template_settings
from remid_jax.scoring.generation import Generator
from remid_jax.scoring.store import Store


def answering(source: str, config: ConfigDict, workdir: Path, store: Store, devices: Devices) -> Endpoint:
    """Returns whoever the source names, "endpoint:NAME" or a model as elsewhere; answers are kept in `store`.

    `config` says how a model on this machine is read: `dtype`, `template`, `control_tokens`, `date`, `devices.sampling_rows`;
    and where endpoints are described: `endpoints`.

    Raises:
      UserError: if the endpoint is not described or lacks its key, or the model cannot be opened.
    """
    if is_endpoint(source):
        return open_endpoint(source, config.endpoints, store)
    model = read_as(
        open_model(source, config.dtype, devices.parameter_mesh),
        template=template_settings(config.template, "config.template"),
        **reading_of(config, workdir),
    )
    return Local(Generator(model, devices, store, config.devices.sampling_rows))
