"""Text becomes the ids of transformers: 40 texts, raw, in a chat and as an answer, in every folder of the table."""

import itertools

import pytest
from conformance import variants
from conformance.comparison import compare_ids
from conformance.templates import TEMPLATES
from conformance.texts import TEXTS
from conformance.tokenizer_folders import TOKENIZERS
from conformance.weight_files import CONFIGS, WEIGHTS, fits

TABLE = variants.cover()


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_ids_are_those_of_transformers(tokenizer, tmp_path):
    for n, variant in enumerate(TABLE):
        if variant.tokenizer == tokenizer:
            folder = variants.write(tmp_path / str(n), variant, weights=False)
            outcome = compare_ids(folder, TEMPLATES[variant.template])
            assert outcome.differences == [], variant
            # Only transformers' class for Mistral wants one file that holds the whole tokenizer.
            assert outcome.refused == ("vocab.json" in tokenizer and variant.config == "mistral, window"), variant
            assert outcome.texts == (0 if outcome.refused else 3 * len(TEXTS))


def test_every_pair_of_values_meets():
    assert len(TOKENIZERS) >= 30
    assert len(set(TEXTS)) == 40
    axes = (TOKENIZERS, TEMPLATES, CONFIGS, WEIGHTS)
    for (a, one), (b, other) in itertools.combinations(enumerate(axes), 2):
        possible = {(x, y) for x, y in itertools.product(one, other) if (a, b) != (2, 3) or fits(x, y)}
        assert {(variant[a], variant[b]) for variant in TABLE} == possible
