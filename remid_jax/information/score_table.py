"""The score table as types: everything the estimators need (its arrays by name: `remid_jax.information.score_arrays`)."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

SCORERS = ("reasoned", "plain")
WITH_MARGINALS = ("golden", "policy")
NO_GOLDEN = "no golden replies"  # why a quantity that golden replies make does not exist
ID = "IDTest"
RPGBENCH_SHIFTS = dict.fromkeys(("german", "spanish", "chinese", "japanese", "korean"), "user")
RPGBENCH_SHIFTS |= dict.fromkeys(("Literature", "Film & Television", "Theater", "Gaming"), "character")
RPGBENCH_SHIFTS |= dict.fromkeys(("TurnLevelComposition", "WordLevelComposition"), "dialogue")
"""The shifts of tables that do not say theirs."""
FACTORS = ("user", "character", "dialogue")
REPLIES = (*WITH_MARGINALS, "golden_other", "golden_half", "constant", "parrot", "reciter")
SOURCES = ("echo", "long_quote", "short_quote", "own")
"""Where a token of a reply comes from: the dialogue of its own context, a run of a profile there, or neither."""
NOVEL = ("short_quote", "own")
"""What tells more about a context than saying it back (docs/protocol.md, rule 23)."""


@dataclass(frozen=True)
class Replies:
    """One set of n replies: lengths, and for each scorer the log-likelihood matrix and, where given, the marginals."""

    tokens: np.ndarray  # [n] int
    chars: np.ndarray  # [n] int
    loglik: dict[str, np.ndarray]  # scorer -> [n, n]
    marginal: dict[str, np.ndarray]  # scorer -> [n]
    by_source: BySource | None = None

    def part(self, sources: Collection[str]) -> Replies:
        """What the tokens of some sources add to the log-likelihoods of these replies; the lengths are those of whole replies.

        `club` and `prompt_marginal` are linear, so those of parts sum to those of the whole.
        """
        assert self.by_source is not None
        chosen = [SOURCES.index(source) for source in sources]
        loglik = {scorer: parts[..., chosen].sum(-1) for scorer, parts in self.by_source.loglik.items()}
        marginal = {scorer: parts[..., chosen].sum(-1) for scorer, parts in self.by_source.marginal.items()}
        return Replies(self.tokens, self.chars, loglik, marginal)

    def answering(self, order: np.ndarray) -> Replies:
        """The same replies, each given in another context: reply `order[i]` in context i; its sources stay what they were."""
        loglik = {scorer: of[:, order] for scorer, of in self.loglik.items()}
        marginal = {scorer: of[order] for scorer, of in self.marginal.items()}
        parts = self.by_source
        if parts is not None:
            parts = BySource(
                parts.tokens[order],
                {scorer: of[:, order] for scorer, of in parts.loglik.items()},
                {scorer: of[order] for scorer, of in parts.marginal.items()},
            )
        return Replies(self.tokens[order], self.chars[order], loglik, marginal, parts)


@dataclass(frozen=True)
class BySource:
    """A set of replies by where its tokens come from; the last axis is that of `SOURCES`."""

    tokens: np.ndarray  # [n, 4] int
    loglik: dict[str, np.ndarray]  # scorer -> [n, n, 4]
    marginal: dict[str, np.ndarray]  # scorer -> [n, 4]


@dataclass(frozen=True)
class SelfScores:
    """S samples of the policy per context under its own kernel."""

    loglik: np.ndarray | None  # [n, n, S]; None where too many are truncated to be worth scoring
    tokens: np.ndarray  # [n, S] int
    truncated: np.ndarray  # [n, S] bool


@dataclass(frozen=True)
class CrossBlocks:
    """Replies of the reference in the contexts of a shifted category, and the reverse; rows are contexts, columns replies."""

    of_id: dict[str, np.ndarray]  # scorer -> [n, m] golden replies; "self" -> [n, m, S]
    in_id: dict[str, np.ndarray]  # scorer -> [m, n] golden replies; "self" -> [m, n, S]


@dataclass(frozen=True)
class Category:
    record: np.ndarray  # [n] str
    lineage: np.ndarray  # [n] str
    replies: dict[str, Replies]
    self_scores: SelfScores | None = None
    cross: CrossBlocks | None = None
    embeddings: dict[str, np.ndarray] = field(default_factory=dict)  # factor -> [n, D]
    identities: dict[str, np.ndarray] = field(default_factory=dict)  # "user", "character" -> [n] str
    fold: np.ndarray | None = None  # [n] int; None: all in fold 0
    horizon: int | None = None  # tokens; None: answers are whole replies
    unreasoned: np.ndarray | None = None  # [n] golden replies in their own contexts, without reasoning
    clusters: dict[str, np.ndarray] = field(default_factory=dict)  # kind -> [n] str; none where lineages are the clusters
    no_golden: str = NO_GOLDEN  # why there are no golden replies, where there are none

    @property
    def origins(self) -> np.ndarray:
        """The clusters of each kind [kinds, n], lineages where there are no others; related records have one in common."""
        return np.stack(list(self.clusters.values()) or [self.lineage])

    @property
    def golden(self) -> Replies | None:
        """The golden replies, None where there are none."""
        return self.replies.get("golden")

    @property
    def golden_unreasoned(self) -> np.ndarray | None:
        """The log-likelihoods of golden replies in their own contexts without reasoning [n], None where they are not known."""
        if self.golden is not None and "plain" in self.golden.loglik:
            return np.diagonal(self.golden.loglik["plain"])
        return self.unreasoned

    @property
    def folds(self) -> np.ndarray:
        return np.zeros(len(self.record), np.int64) if self.fold is None else self.fold

    @property
    def sampled_events(self) -> np.ndarray:
        """Which of the policy's samples are events [n, S] bool: all of them at a horizon, else those that ended."""
        assert self.self_scores is not None
        truncated = self.self_scores.truncated
        return ~truncated if self.horizon is None else np.ones_like(truncated)

    @property
    def blocks(self) -> list[np.ndarray]:
        """The record indices of each fold, ascending: within them contexts and replies are compared."""
        return blocks_of(self.fold, len(self.record))


def blocks_of(fold: np.ndarray | None, records: int) -> list[np.ndarray]:
    """The indices of each fold's records, ascending; all records where nothing parts them."""
    folds = np.zeros(records, np.int64) if fold is None else fold
    return [np.flatnonzero(folds == number) for number in np.unique(folds)]


class Design(NamedTuple):
    """What shifted in a category, and the category it is compared with; None for one that is compared with none."""

    shift: str | None
    reference: str | None


class DialPoint(NamedTuple):
    """What a dial is set to in the category that it makes: a position on a curve; None where the curve has but one setting."""

    curve: str
    position: float | None


@dataclass(frozen=True)
class ScoreTable:
    """`declared`: how categories are compared; without it they are RPGBench's, and IDTest is the reference of all others.

    `dials`: of the categories that dials made of the records of others.
    """

    scorers: tuple[str, ...]
    categories: dict[str, Category]
    declared: Mapping[str, Design] | None = None
    dials: Mapping[str, DialPoint] = field(default_factory=dict)

    @functools.cached_property
    def design(self) -> dict[str, Design]:
        """How each category is compared; none with a reference that the table does not hold."""
        declared = self.declared or by_name(list(self.categories))
        return {
            name: declared[name] if declared[name].reference in self.categories else declared[name]._replace(reference=None)
            for name in self.categories
        }

    @property
    def horizon(self) -> int | None:
        """Tokens of an answer at most; None: answers are whole replies."""
        return next(iter(self.categories.values())).horizon

    @property
    def references(self) -> dict[str, str]:
        """{category: its reference} of those that have one."""
        return {name: of.reference for name, of in self.design.items() if of.reference is not None}

    @property
    def shifts(self) -> dict[str, list[str]]:
        """The categories of each shift, in order of first occurrence."""
        shifts: dict[str, list[str]] = {}
        for name, design in self.design.items():
            if design.shift is not None:
                shifts.setdefault(design.shift, []).append(name)
        return shifts


def by_name(categories: Sequence[str]) -> dict[str, Design]:
    """Returns how the categories of RPGBench are compared, and with IDTest what else there is."""
    reference = ID if ID in categories else None
    return {name: Design(RPGBENCH_SHIFTS.get(name), None if name == ID else reference) for name in categories}
