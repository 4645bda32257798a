"""Who reasons and scores: the bare estimator model for all records, or trained pairs, each for the records it may score.

Cross-fitting (docs/protocol.md, rule 19): a log-likelihood is scored by those who may score both its context and its reply;
of several the mean counts. Records that the same ones may score form a fold, and only within folds are replies compared.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from remid_jax.dialogues.parsing import Parsed
from remid_jax.dialogues.records import Record
from remid_jax.errors import UserError
from remid_jax.models.adapters import Adapter, adapted
from remid_jax.models.loading import LanguageModel
from remid_jax.roles.pairs import Pair, Pairs, scored_by

Records = Mapping[str, Sequence[Record]]


@dataclasses.dataclass(frozen=True)
class Member:
    """A reasoner and a responder, and the ids of the records they may score."""

    name: str
    reasoner: LanguageModel
    responder: LanguageModel
    scored: frozenset[str]

    def mine(self, records: Sequence[Record]) -> list[int]:
        """The numbers of those among `records` that it may score."""
        return [number for number, record in enumerate(records) if record.id in self.scored]


def untrained(base: LanguageModel, records: Records) -> list[Member]:
    """The base model in both roles, for all records."""
    return [Member("base", base, base, frozenset(record.id for members in records.values() for record in members))]


def trained(base: LanguageModel, pairs: Pairs, records: Records) -> list[Member]:
    """The pairs on their base.

    Raises:
      UserError: if every pair has seen a record's lineage, or if a category holds a single record of a fold.
    """
    scored = scored_by(pairs, [record for members in records.values() for record in members])

    def on_base(pair: Pair, role: str, adapter: Adapter) -> LanguageModel:
        return dataclasses.replace(adapted(base, adapter), source=f"{base.source} + {pair.name}/{role}")

    members = [
        Member(
            pair.name,
            on_base(pair, "reasoner", pair.reasoner),
            on_base(pair, "responder", pair.responder),
            scored[pair.name],
        )
        for pair in pairs.pairs
    ]
    for category, fold in folds(records, members).items():
        lonely = [records[category.removesuffix("/fold")][number].id for number in _alone(fold)]
        if lonely:
            raise UserError(
                f"config.estimator.adapters: no other record of its category is scored by the same pairs as "
                f"{', '.join(lonely)}: mutual information needs two: add one, or leave it out"
            )
    return members


def _alone(fold: np.ndarray) -> list[int]:
    return [number for number, own in enumerate(fold) if (fold == own).sum() < 2]


def folds(records: Records, members: Sequence[Member]) -> dict[str, np.ndarray]:
    """`{category}/fold` [n] of the score table; none where the same members may score everything."""
    allowed = {
        category: [tuple(record.id in member.scored for member in members) for record in of_category]
        for category, of_category in records.items()
    }
    kinds = sorted({kind for of_category in allowed.values() for kind in of_category})
    if len(kinds) < 2:
        return {}
    return {f"{name}/fold": np.array([kinds.index(kind) for kind in of]) for name, of in allowed.items()}


def shown(features: Mapping[str, Mapping[str, Parsed]]) -> dict[str, Parsed]:
    """{record: reasoning} of {member: {record: reasoning}}: where several wrote one, all of them under their names."""
    written: dict[str, dict[str, Parsed]] = {}
    for member, of_member in features.items():
        for record, parsed in of_member.items():
            written.setdefault(record, {})[member] = parsed
    return {record: _joined(by_member) for record, by_member in written.items()}


def _joined(by_member: Mapping[str, Parsed]) -> Parsed:
    if len(by_member) == 1:
        return next(iter(by_member.values()))
    text = "\n\n".join(f"{member}: {parsed.text}" for member, parsed in by_member.items())
    return Parsed(text, any(parsed.fallback for parsed in by_member.values()))


def described(folder: str, pairs: Pairs, members: Sequence[Member]) -> dict[str, Any]:
    """What results.json says of the pairs, with how many records each of them scored."""
    counts = {member.name: len(member.scored) for member in members}
    listed = [{**pair.described(), "seen": len(pair.seen), "records": counts[pair.name]} for pair in pairs.pairs]
    return {"folder": folder, "fingerprint": pairs.fingerprint, "protocol": pairs.protocol, "pairs": listed}
