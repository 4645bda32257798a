"""From a config to a benchmark: who is asked, what for, and by which gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.construction.answering import answering
from remid_jax.construction.characters import read_characters, read_personas
from remid_jax.construction.gates import default_gates
from remid_jax.construction.pipeline import Asked, Built, build
from remid_jax.construction.plan import Amounts
from remid_jax.construction.prompts import ConstructionPrompts
from remid_jax.construction.retrieval import LocalFiles
from remid_jax.construction.screening import Gate
from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.records import Record
from remid_jax.endpoints.chat import Sampling
from remid_jax.errors import UserError
from remid_jax.parallel import Devices
from remid_jax.progress import Reports
from remid_jax.roles.opening import open_engine
from remid_jax.roles.reading import reading_of
from remid_jax.scoring.store import Store
from remid_jax.settings import check_settings


def build_config(config: ConfigDict, workdir: Path, store: Store, progress: Reports) -> Built:
    """Makes the benchmark that a config with the settings of configs/build_benchmark.py asks for, and writes it to `workdir`.

    Answers are kept in `store`.

    Raises:
      UserError: as `build`, and for whatever else its caller can mend.
    """
    check_settings(config)
    if not config.model:
        raise UserError("config.model is not set: name who writes, --config.model=endpoint:NAME or a model")
    amounts = Amounts(tuple(config.categories), config.lineages, config.train_lineages, config.dialogues)
    retriever = LocalFiles(config.sources) if config.sources else None
    prompts, personas = ConstructionPrompts.load(config.prompts), read_personas(config.personas)
    scoring_prompts = Prompts.load(config.scoring.prompts)
    characters = read_characters(config.characters) if config.characters else []
    devices = Devices(config.devices.parallel, config.devices.mesh_model)
    model = answering(config.model, config, workdir, store, devices)
    lookup = model
    if config.search and config.search != config.model:
        lookup = answering(config.search, config, workdir, store, devices)
    engine = None
    if config.scoring.model:
        engine = open_engine(config.scoring, config.devices, store, reading_of(config, workdir), "config.scoring")
    else:
        progress.say("no config.scoring.model: nothing checks that golden replies are likelier in their own contexts")

    def gates(sources: Mapping[str, Sequence[Record]]) -> Sequence[Gate]:
        return default_gates(sources, engine, scoring_prompts)

    sampling = Sampling(config.max_new, temperature=config.temperature, seed=config.seed)
    asked = Asked(model, lookup, retriever, prompts, personas, characters, sampling, config.tries, config.go_on)
    return build(asked, amounts, gates, workdir, progress)
