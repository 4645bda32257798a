"""One of our models behind an OpenAI-compatible server, so that lm-eval and other clients use the exact scorer.

    python -m experiments.serve --config=configs/serve.py --config.model=M

`/v1/chat/completions`, `/v1/completions` (with `logprobs` and `echo`: log-probabilities of the prompt), `/v1/score` (the lines
of experiments.score) and `/v1/models`. Clients, limits and refusals: docs/endpoints.md.
"""

from __future__ import annotations

from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.errors import UserError
from remid_jax.models.adapters import adapted
from remid_jax.models.loading import open_model, read_as
from remid_jax.models.peft_files import read_adapter
from remid_jax.parallel import Devices
from remid_jax.roles.reading import reading_of, template_settings
from remid_jax.roles.shipped import policy_parts
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings

from . import cli


def main(config: ConfigDict, workdir: Path) -> None:
    check_settings(config)
    if not config.model:
        raise UserError("config.model is not set: give --config.model=...")
    try:
        from remid_jax.serving.app import application
        from remid_jax.serving.served import Limits, Served
        from remid_jax.serving.server import address_of, listen, server_of, token_of
    except ImportError as error:
        raise UserError(f"serving needs the package {error.name}: pip install 'remid-jax[serve]'") from error
    token = token_of(config.host, config.token)
    listening = listen(config.host, config.port)
    cli.use_compilation_cache()
    devices = Devices(config.devices.parallel, config.devices.mesh_model)
    base, adapter = policy_parts(config.model, config.adapter)
    model = read_as(
        open_model(base, config.dtype, devices.parameter_mesh),
        template=template_settings(config.template, "config.template"),
        **reading_of(config, workdir),
    )
    model = adapted(model, read_adapter(adapter, model)) if adapter else model
    d, limits = config.devices, Limits(config.max_prompt, config.max_new)
    name = config.name or config.model
    store = Store(workdir / "store.sqlite")
    served = Served(name, model, devices, store, d.tokens_per_step, d.max_row, d.sampling_rows, limits)
    cli.progress().say(f"serving {name} at {address_of(listening)}")
    server_of(application(served, token)).run(sockets=[listening])


def start() -> None:
    cli.run(main)


if __name__ == "__main__":
    start()
