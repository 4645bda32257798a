"""The contexts' own texts: embeddings of users, characters and dialogues, and which of them are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from remid_jax.dialogues.manifest import Category
from remid_jax.dialogues.records import Record
from remid_jax.information.score_table import FACTORS
from remid_jax.scoring.engine import Pooling, Report, ScoringEngine
from remid_jax.scoring.texts import tokenizer_of


def factor_text(record: Record, factor: str) -> str:
    """The text of a record's user, character or dialogue; never empty."""
    texts = {"user": record.user_persona, "character": record.character_text, "dialogue": record.dialogue_text}
    return texts[factor].strip() or "-"


def embed(
    engine: ScoringEngine,
    records: Mapping[str, Sequence[Record]],
    categories: Mapping[str, Category],
    pooling: Pooling,
    report: Report,
) -> dict[str, np.ndarray]:
    """`{category}/embedding/{factor}` [records, D]; equal texts of a category are embedded once.

    In a category that a dial made, so are those of the categories before it.
    """
    tokenizer = tokenizer_of(engine.model)
    texts: dict[tuple[str, str], int] = {}
    places: dict[str, list[int]] = {}
    for category, members in records.items():
        first = {text: owner for owner, text in reversed(texts)} if categories[category].dial is not None else {}
        for factor in FACTORS:
            said = [factor_text(record, factor) for record in members]
            of_factor = [(first.get(text, category), text) for text in said]
            places[f"{category}/embedding/{factor}"] = [texts.setdefault(text, len(texts)) for text in of_factor]
    # A decoder trained as an encoder is read at the special token that its own tokenizer puts last.
    ids = [tokenizer.encode(text) if pooling == "mean" else tokenizer.encode_prompt(text) for _, text in texts]
    vectors = engine.embed(ids, pooling, [category for category, _ in texts], report)
    return {name: vectors[numbers] for name, numbers in places.items()}


def identities(records: Mapping[str, Sequence[Record]]) -> dict[str, np.ndarray]:
    """`{category}/identity/{factor}` [records]: equal for equal users, or equal characters."""

    def digest(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    return {
        f"{category}/identity/{factor}": np.array([digest(factor_text(record, factor)) for record in members])
        for category, members in records.items()
        for factor in FACTORS[:2]
    }
