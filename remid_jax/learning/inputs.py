"""What every training run opens before it begins: the base model, the prompts, and the devices they are used on."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

from ml_collections import ConfigDict

from remid_jax.dialogues.prompts import Prompts
from remid_jax.dialogues.reading import teacher_files
from remid_jax.files import read_bytes
from remid_jax.models.loading import LanguageModel, open_model, read_as
from remid_jax.parallel import Devices
from remid_jax.roles.reading import Reading, reading_of, template_settings


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The `base` that learns, or on which adapters learn; how all models of the run are opened and read texts."""

    base: LanguageModel
    prompts: Prompts
    devices: Devices
    dtype: str
    reading: Reading

    def model(self, source: str | None) -> LanguageModel:
        """Returns another model that reads texts as the base does; the base itself where none is named."""
        if not source:
            return self.base
        return read_as(open_model(source, self.dtype, self.devices.parameter_mesh), thinking=False, **self.reading)


def open_inputs(config: ConfigDict, workdir: Path) -> Inputs:
    """Opens what `config` names as `model` and `prompts`; the day of its templates is kept in `workdir`.

    Raises:
      UserError: if something cannot be read.
    """
    devices = Devices("mesh", config.devices.mesh_model)
    reading, template = reading_of(config, workdir), template_settings(config.template, "config.template")
    opened, prompts = open_model(config.model, config.dtype, devices.parameter_mesh), Prompts.load(config.prompts)
    base = read_as(opened, thinking=False, template=template, **reading)
    return Inputs(base, prompts, devices, config.dtype, reading)


def content_of(values: object) -> str:
    """Returns the sha256 of values that have been read, such as a list of records, wherever they were read from."""
    return hashlib.sha256(repr(values).encode()).hexdigest()


def file_content(path: str | None) -> str | None:
    """Returns the sha256 of a file's content; None where no file is named.

    Raises:
      UserError: if it cannot be read.
    """
    return hashlib.sha256(read_bytes(path)).hexdigest() if path else None


def reasoning_content(source: str) -> str:
    """Returns the sha256 of ready reasoning: of a file, or of the teacher's that comes with a benchmark of the package.

    Raises:
      UserError: if it cannot be read.
    """
    if not source.startswith("package:"):
        return hashlib.sha256(read_bytes(source)).hexdigest()
    return hashlib.sha256(b"".join(file.read_bytes() for file in teacher_files(source))).hexdigest()
