"""Imports all that a build needs, and has each language told once: a process that is a copy of this one begins at once."""

import building
import openai
import writer

from remid_jax.dialogues.languages import language_share
from remid_jax.dialogues.manifest import RPGBENCH
from remid_jax.endpoints import remote

__all__ = ["building", "openai", "remote"]

for name in writer.LANGUAGES.values():
    record = writer.benchmark().test[name][0]
    for text in (record.user_persona, record.golden, *(turn.text for turn in record.dialogue)):
        language_share([text], RPGBENCH.categories[name].language, RPGBENCH.languages)
