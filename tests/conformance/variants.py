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
    variants, met = [], Counter[tuple[str, ...]]()
    for turn, (n, tokenizer) in itertools.product(range(len(TEMPLATES)), enumerate(TOKENIZERS)):
        template = list(TEMPLATES)[(n + turn) % len(TEMPLATES)]
        # Each with its axis: a tokenizer and a config may have one name.
        names = (("tokenizer", tokenizer), ("template", template))
        pairs = {model: [(*name, value) for name, value in itertools.product(names, model)] for model in models}
        model = min(models, key=lambda model: (met[model] > 0, sorted(met[pair] for pair in pairs[model])))
        met.update([model, *pairs[model]])
        variants.append(Variant(tokenizer, template, *model))
    return tuple(variants)


def write(folder: Path, variant: Variant, weights: bool = True) -> Path:
    """Writes the model's folder, or, without weights, its config, tokenizer and template alone."""
    template, files = TEMPLATES[variant.template], dict(TOKENIZERS[variant.tokenizer]())
    if template.setting is not None:
        files["tokenizer_config.json"] = files.get("tokenizer_config.json", {}) | {"chat_template": template.setting}
    tokenizer_folders.write(folder, files | template.files)
    weight_files.write_config(folder, variant.config)
    if weights:
        weight_files.write_weights(folder, variant.config, variant.weights)
    return folder
