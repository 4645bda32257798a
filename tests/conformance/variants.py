"""The table: model folders in which every two values of tokenizer, template, config and weight files meet at least once."""

import itertools
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from . import tokenizer_folders, weight_files
from .templates import TEMPLATES
from .tokenizer_folders import TOKENIZERS
from .weight_files import CONFIGS, WEIGHTS


class Variant(NamedTuple):
    tokenizer: str
    template: str
    config: str
    weights: str


def cover() -> tuple[Variant, ...]:
    """All tokenizers with all templates; config and weight files are those whose pairs with the others were met the least.

    The first `len(TOKENIZERS)` variants hold every tokenizer, every template, and every config with every kind of files.
    """
    models = [(config, files) for config, files in itertools.product(CONFIGS, WEIGHTS) if weight_files.fits(config, files)]
    variants, met = [], Counter[tuple[str, str]]()
    for turn, (n, tokenizer) in itertools.product(range(len(TEMPLATES)), enumerate(TOKENIZERS)):
        template = list(TEMPLATES)[(n + turn) % len(TEMPLATES)]

        def pairs(model: tuple[str, str], names: tuple[str, str] = (tokenizer, template)) -> list[tuple[str, str]]:
            return [model, *itertools.product(names, model)]

        model = min(models, key=lambda model: sorted(met[pair] for pair in pairs(model)))
        met.update(pairs(model))
        variants.append(Variant(tokenizer, template, *model))
    return tuple(variants)


def write(folder: Path, variant: Variant) -> Path:
    """Writes the model's folder."""
    template, files = TEMPLATES[variant.template], dict(TOKENIZERS[variant.tokenizer]())
    settings = files.get("tokenizer_config.json")
    if template.setting is not None:
        files["tokenizer_config.json"] = (settings or {}) | {"chat_template": template.setting}
    tokenizer_folders.write(folder, files)
    for name, text in template.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    weight_files.write(folder, variant.config, variant.weights)
    return folder
