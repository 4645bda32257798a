"""The score table: everything the estimators need, as one `.npz` of named arrays, checked in full on reading.

Layout, for each category (`IDTest`, `german`, ..., `Film & Television`, ...) with n contexts, its records in one order:

    {category}/record                            [n] str       unique in the category
    {category}/lineage                           [n] str       cluster: records that share a base dialogue, character or user
    {category}/cluster/{kind}                    [n] str       cluster of that kind, such as `user`, `character` (optional)
    {category}/fold                              [n] int       only contexts and replies of one fold are compared (optional)
    {category}/horizon                           [] int        tokens of an answer at most, see below (optional)
    {category}/loglik/{scorer}/{replies}         [n, n] float  L[i,j] = log q(y_j | x_i), nats per response
    {category}/unreasoned/golden                 [n] float     log q(y*_i | x_i) without reasoning, where `plain` is left out
    {category}/marginal/{scorer}/{replies}       [n] float     log q_0(y_j): the same model without context, nats
    {category}/tokens/{replies}                  [n] int       >= 1; the end-of-turn token counts
    {category}/chars/{replies}                   [n] int       code points
    {category}/tokens_by_source/{replies}             [n, 4] int       of `SOURCES`, in this order; their sum is `tokens`
    {category}/loglik_by_source/{scorer}/{replies}    [n, n, 4] float  what these tokens add to `loglik`
    {category}/marginal_by_source/{scorer}/{replies}  [n, 4] float     and to `marginal`
    {category}/self/loglik                       [n, n, S] float   log P_theta(y_j^s | x_i), the policy's kernel and samples
    {category}/self/tokens                       [n, S] int
    {category}/self/truncated                    [n, S] bool   the sample did not end within its length limit, or the horizon
    {category}/of_id/golden/{scorer}             [n, m] float      log q(y*_j of the reference | x_i), m contexts
    {category}/of_id/self                        [n, m, S] float   log P_theta(y_j^s of the reference | x_i)
    {category}/in_id/golden/{scorer}             [m, n] float      log q(y*_j | x_i of the reference)
    {category}/in_id/self                        [m, n, S] float   log P_theta(y_j^s | x_i of the reference)
    {category}/embedding/{factor}                [n, D] float      of the texts of `user`, `character`, `dialogue`
    {category}/identity/{factor}                 [n] str           equal for equal texts, of `user` and `character`
    {category}/shift, {category}/reference       [] str            what shifted here, and the category it is compared with
    {category}/dial, {category}/position         [] str, [] float  of a category that a dial made: its curve, and where on it
    {category}/no_golden                         [] str            why golden replies are left out (optional)

scorer: the estimator model with reasoning in its context, `reasoned`, or without, `plain`; at least one of the two, the same
in every category. replies: `golden`, `policy` (for each scorer, with marginals), and those of the control policies,
`golden_other`, `golden_half`, `constant`, `parrot`, `reciter` (optional, their marginals too). `policy` is required; `golden`
is left out as a whole where a category has no golden replies, and then so is what golden replies make. Optional, each as a
whole: what replies copy from their own contexts, `..._by_source` (docs/protocol.md, rule 23); `self/`, or it without its
`loglik`, which is not worth scoring once too many samples are truncated; the blocks of a shifted category with its reference,
`of_id/` and `in_id/`, which bounds need (docs/protocol.md, rule 13); `embedding/`; `identity/`; `shift` and
`reference`, "" for none. Nothing else may be in the file, and no pickled objects.

`dial` is for categories that are made of the records of others; without `position` the curve has but one setting.

`cluster/` is for records that belong to clusters of several kinds, the same kinds in every category. Then intervals are over
these (`information.intervals`), and records of one lineage agree in all of them.

`fold` tells cross-fitted estimators apart (docs/protocol.md, rule 19): records of one fold are scored by the same ones, in all
categories. Absent it is 0 everywhere. Between folds a log-likelihood may be NaN, and none is read.

`horizon` (docs/protocol.md, rule 21), one number for all categories: every answer is the event that a reply begins with its
first `horizon` tokens, or the whole reply with its end if it ended sooner. Then a truncated sample is such a beginning, an
event like any other. Without `horizon` answers are whole replies, and a truncated sample has lost its end: it is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from remid_jax.errors import UserError
from remid_jax.information.clusters import cluster_faults
from remid_jax.information.score_table import (
    FACTORS,
    NO_GOLDEN,
    REPLIES,
    SCORERS,
    SOURCES,
    WITH_MARGINALS,
    BySource,
    Category,
    CrossBlocks,
    Design,
    DialPoint,
    Replies,
    ScoreTable,
    SelfScores,
    by_name,
)

EXPECTED = {"U": "str", "fiu": "float", "iu": "int", "b": "bool"}  # numpy type kinds in words
SUMS_WITHIN = 1e-6  # nats: parts by source are sums of the same float64 numbers as their whole


def parse(arrays: Mapping[str, np.ndarray], source: str = "score table", faults: list[str] | None = None) -> ScoreTable:
    """The score table in a flat mapping name -> array (layout above).

    Raises:
      UserError: one line naming every array that is missing, unknown, of the wrong shape or type, or not finite.
    """
    faults = list(faults or [])
    names: dict[str, set[str]] = {}
    for name in arrays:
        category, _, quantity = name.partition("/")
        names.setdefault(category, set()).add(quantity)
    quantities = set().union(*names.values())
    scorers = tuple(s for s in SCORERS if any(f"loglik/{s}/{replies}" in quantities for replies in REPLIES))
    if not names:
        faults.append("holds no arrays")
    elif not scorers:
        faults.append("no loglik/reasoned/... or loglik/plain/... in any category")
    categories, dials = {}, {}
    declared = _declared(arrays, list(names), faults)
    design = declared or by_name(list(names))
    for category in names:
        reader = _Reader(arrays, category, design[category].reference, faults)
        categories[category] = reader.category(scorers)
        if (point := reader.dial()) is not None:
            dials[category] = point
        faults.extend(f"{category}/{left} is not a name of the layout" for left in sorted(names[category] - reader.asked))
    horizons = {name: category.horizon for name, category in categories.items()}
    if len(set(horizons.values())) > 1:
        said = ", ".join(f"{name} {horizon or 'none'}" for name, horizon in horizons.items())
        faults.append(f"horizon differs between categories: {said}")
    stems = {f"{name}/tokens_by_source/{of}": said for name, found in categories.items() for of, said in found.replies.items()}
    lacking = [stem for stem, said in stems.items() if said.by_source is None]
    if len(lacking) < len(stems):
        faults += [f"{stem} is missing, and other replies have theirs" for stem in lacking]
    if not faults:
        lineages = {name: category.lineage for name, category in categories.items()}
        faults += cluster_faults(lineages, {name: category.clusters for name, category in categories.items()})
    if faults:
        count = f"{len(faults)} fault{'s' * (len(faults) > 1)}"
        raise UserError(f"{source}: {count}: {'; '.join(faults)}: write it as remid_jax/information/score_arrays.py says")
    return ScoreTable(scorers, categories, declared, dials)


def _declared(arrays: Mapping[str, np.ndarray], categories: Sequence[str], faults: list[str]) -> dict[str, Design] | None:
    """How the table says that its categories are compared; None where it does not say."""
    if not any(f"{name}/{part}" in arrays for name in categories for part in Design._fields):
        return None
    design = {}
    for name in categories:
        texts = {}
        for part in Design._fields:
            array = np.asarray(arrays.get(f"{name}/{part}", ""))
            if array.dtype.kind != "U" or array.ndim:
                faults.append(f"{name}/{part} is no single text")
            said = str(array) if array.dtype.kind == "U" and not array.ndim else ""
            texts[part] = said if said.strip() else ""
        if bool(texts["shift"]) != bool(texts["reference"]):
            faults.append(f"{name}/shift and {name}/reference go together: {texts['shift']!r}, {texts['reference']!r}")
        if texts["reference"] and (texts["reference"] not in categories or texts["reference"] == name):
            faults.append(f"{name}/reference is {texts['reference']!r}, no other category of the table")
        design[name] = Design(texts["shift"] or None, texts["reference"] or None)
    for name in categories:
        chain = [name]
        while (after := design[chain[-1]].reference) is not None and after in design and after not in chain:
            chain.append(after)
        if after == name and len(chain) > 1:
            faults.append(f"{name}/reference leads back to itself")
    return design


class _Reader:
    """Takes the arrays of one category and notes every fault; an array at fault is stood in for by an empty one."""

    def __init__(self, arrays: Mapping[str, np.ndarray], category: str, reference: str | None, faults: list[str]):
        self.arrays, self.prefix, self.reference, self.faults = arrays, category, reference, faults
        self.asked: set[str] = set(Design._fields)

    def fault(self, quantity: str, what: str) -> np.ndarray:
        self.faults.append(f"{self.prefix}/{quantity} {what}")
        return np.empty(0)

    def has(self, quantity: str) -> bool:
        return f"{self.prefix}/{quantity}" in self.arrays

    def take(self, quantity: str, kinds: str, shape: tuple[int | None, ...], read: np.ndarray | None = None) -> np.ndarray:
        """The array of that name, in float64 or int64 where numeric, if its type kind and shape (None: any) fit; floats must be
        finite, or those of them that will be `read`, where that is a mask over their first axes."""
        self.asked.add(quantity)
        if not self.has(quantity):
            return self.fault(quantity, "is missing")
        array = np.asarray(self.arrays[f"{self.prefix}/{quantity}"])
        if array.dtype.kind not in kinds:
            return self.fault(quantity, f"has type {array.dtype}, expected {EXPECTED[kinds]}")
        if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
            expected = ", ".join("any" if want is None else str(want) for want in shape)
            return self.fault(quantity, f"has shape {list(array.shape)}, expected [{expected}]")
        if kinds == "fiu":
            array = array.astype(np.float64, copy=False)
            unread = np.zeros(array.shape, bool)
            if read is not None and read.shape == array.shape[: read.ndim]:
                unread[~read] = True
            if bad := int(np.sum(~np.isfinite(array) & ~unread)):
                return self.fault(quantity, f"has {bad} value{'s' * (bad > 1)} that {'are' if bad > 1 else 'is'} not finite")
        return array.astype(np.int64) if kinds == "iu" else array

    def counts(self, quantity: str, shape: tuple[int | None, ...], least: int) -> np.ndarray:
        array = self.take(quantity, "iu", shape)
        if array.size and array.min() < least:
            return self.fault(quantity, f"has a value below {least}")
        return array

    def category(self, scorers: tuple[str, ...]) -> Category:
        before = len(self.faults)
        record = self.take("record", "U", (None,))
        n = len(record) if len(self.faults) == before else None
        if n is not None and n < 2:
            self.fault("record", f"has {n} record{'s' * (n != 1)}: mutual information needs at least 2")
        lineage = self.take("lineage", "U", (n,))
        if len(set(record.tolist())) < len(record):
            self.fault("record", "names a record twice")
        of_clusters = f"{self.prefix}/cluster/"
        kinds = sorted(name.removeprefix(of_clusters) for name in self.arrays if name.startswith(of_clusters))
        clusters = {kind: self.take(f"cluster/{kind}", "U", (n,)) for kind in kinds}
        fold, horizon = self.fold(n), self.horizon()
        within = None if fold is None else fold[:, None] == fold
        stems = ("tokens", "chars", *(f"{array}/{scorer}" for array in ("loglik", "marginal") for scorer in scorers))
        given = [name for name in REPLIES if name == "policy" or any(self.has(f"{stem}/{name}") for stem in stems)]
        replies = {name: self.replies(name, scorers, n, within) for name in given}
        self_scores = (
            self.self_scores(n, within) if any(self.has(f"self/{q}") for q in ("loglik", "tokens", "truncated")) else None
        )
        cross = self.cross(scorers, n, fold) if any(self.has(f"{block}/self") for block in ("of_id", "in_id")) else None
        embeddings = {}
        if any(self.has(f"embedding/{factor}") for factor in FACTORS):
            embeddings = {factor: self.take(f"embedding/{factor}", "fiu", (n, None)) for factor in FACTORS}
        identities = {
            factor: self.take(f"identity/{factor}", "U", (n,)) for factor in FACTORS[:2] if self.has(f"identity/{factor}")
        }
        tokens = {f"tokens/{name}": scores.tokens for name, scores in replies.items()}
        tokens |= {} if self_scores is None else {"self/tokens": self_scores.tokens}
        for quantity, counts in tokens.items():
            if horizon is not None and counts.size and counts.max() > horizon:
                self.fault(quantity, f"has a value above the horizon of {horizon}")
        unreasoned = self.take("unreasoned/golden", "fiu", (n,)) if self.has("unreasoned/golden") else None
        return Category(
            record, lineage, replies, self_scores, cross, embeddings, identities, fold, horizon, unreasoned, clusters,
            self.text("no_golden", NO_GOLDEN),
        )  # fmt: skip

    def text(self, quantity: str, otherwise: str = "") -> str:
        return str(self.take(quantity, "U", ())) if self.has(quantity) else otherwise

    def dial(self) -> DialPoint | None:
        curve = self.text("dial")
        position = self.take("position", "fiu", ()) if self.has("position") else None
        if position is not None and not curve:
            self.fault("position", "is of no dial: dial is missing")
        return DialPoint(curve, None if position is None or position.ndim else float(position)) if curve else None

    def horizon(self) -> int | None:
        if not self.has("horizon"):
            return None
        horizon = self.counts("horizon", (), 1)
        return int(horizon) if horizon.ndim == 0 else None

    def fold(self, n: int | None) -> np.ndarray | None:
        if not self.has("fold"):
            return None
        fold = self.take("fold", "iu", (n,))
        for number, count in zip(*np.unique(fold, return_counts=True), strict=True):
            if count < 2:
                self.fault("fold", f"has 1 record of fold {number}: mutual information needs at least 2")
        return fold

    def cross(self, scorers: tuple[str, ...], n: int | None, fold: np.ndarray | None) -> CrossBlocks:
        """`fold` [n]: of the category's own records."""
        if self.reference is None:
            self.fault("reference", "is missing: there are blocks with one, of_id and in_id")
        there = self.reference or self.prefix
        shape = self.arrays.get(f"{there}/record", np.empty(0)).shape
        of_id = shape[0] if len(shape) == 1 else None
        mine, others = np.zeros(n or 0) if fold is None else fold, self.arrays.get(f"{there}/fold", np.zeros(of_id or 0))
        within = mine[:, None] == np.ravel(others)

        def block(
            name: str, contexts: int | None, replies: int | None, category: str, read: np.ndarray
        ) -> dict[str, np.ndarray]:
            golden = {scorer: self.take(f"{name}/golden/{scorer}", "fiu", (contexts, replies), read) for scorer in scorers}
            tokens = np.shape(self.arrays.get(f"{category}/self/tokens", np.empty(0)))
            samples = tokens[1] if len(tokens) == 2 else None
            return golden | {"self": self.take(f"{name}/self", "fiu", (contexts, replies, samples), read)}

        return CrossBlocks(block("of_id", n, of_id, there, within), block("in_id", of_id, n, self.prefix, within.T))

    def replies(self, name: str, scorers: tuple[str, ...], n: int | None, within: np.ndarray | None) -> Replies:
        loglik = {scorer: self.take(f"loglik/{scorer}/{name}", "fiu", (n, n), within) for scorer in scorers}
        marginal = {
            scorer: self.take(f"marginal/{scorer}/{name}", "fiu", (n,))
            for scorer in scorers
            if name in WITH_MARGINALS or self.has(f"marginal/{scorer}/{name}")
        }
        tokens, chars = self.counts(f"tokens/{name}", (n,), 1), self.counts(f"chars/{name}", (n,), 0)
        whole = Replies(tokens, chars, loglik, marginal)
        stems = (f"tokens_by_source/{name}", *(f"loglik_by_source/{scorer}/{name}" for scorer in scorers))
        return dataclasses.replace(whole, by_source=self.by_source(name, whole, n)) if any(map(self.has, stems)) else whole

    def by_source(self, name: str, whole: Replies, n: int | None) -> BySource:
        tokens, last = f"tokens_by_source/{name}", len(SOURCES)
        parts = BySource(self.counts(tokens, (n, last), 0), {}, {})
        self.sums_to(tokens, parts.tokens, whole.tokens)
        for scorer, loglik in whole.loglik.items():
            stem, read = f"loglik_by_source/{scorer}/{name}", np.isfinite(loglik)
            each = np.repeat(read[..., None], last, -1) if read.ndim == 2 else None
            parts.loglik[scorer] = self.take(stem, "fiu", (n, n, last), each)
            self.sums_to(stem, parts.loglik[scorer], loglik)
        for scorer, marginal in whole.marginal.items():
            stem = f"marginal_by_source/{scorer}/{name}"
            parts.marginal[scorer] = self.take(stem, "fiu", (n, last))
            self.sums_to(stem, parts.marginal[scorer], marginal)
        return parts

    def sums_to(self, quantity: str, parts: np.ndarray, whole: np.ndarray) -> None:
        if parts.shape[:-1] == whole.shape and np.nanmax(np.abs(parts.sum(-1) - whole), initial=0.0) > SUMS_WITHIN:
            self.fault(quantity, f"does not sum to {quantity.replace('_by_source', '')}")

    def self_scores(self, n: int | None, within: np.ndarray | None) -> SelfScores:
        tokens = self.counts("self/tokens", (n, None), 1)
        samples = tokens.shape[1] if tokens.ndim == 2 else None
        if samples == 0:
            self.fault("self/tokens", "holds no samples")
        loglik = self.take("self/loglik", "fiu", (n, n, samples), within) if self.has("self/loglik") else None
        return SelfScores(loglik, tokens, self.take("self/truncated", "b", (n, samples)))


def flatten(table: ScoreTable) -> dict[str, np.ndarray]:
    """The arrays of a table by their names: the inverse of `parse`."""
    arrays: dict[str, np.ndarray] = {}
    for name, design in (table.declared or {}).items():
        arrays |= {f"{name}/shift": np.array(design.shift or ""), f"{name}/reference": np.array(design.reference or "")}
    for name, point in table.dials.items():
        arrays[f"{name}/dial"] = np.array(point.curve)
        if point.position is not None:
            arrays[f"{name}/position"] = np.array(point.position)
    for name, category in table.categories.items():
        arrays |= {f"{name}/record": category.record, f"{name}/lineage": category.lineage}
        arrays |= {f"{name}/cluster/{kind}": clusters for kind, clusters in category.clusters.items()}
        if category.fold is not None:
            arrays[f"{name}/fold"] = category.fold
        if category.horizon is not None:
            arrays[f"{name}/horizon"] = np.array(category.horizon)
        if category.no_golden != NO_GOLDEN:
            arrays[f"{name}/no_golden"] = np.array(category.no_golden)
        for replies, scores in category.replies.items():
            arrays |= {f"{name}/tokens/{replies}": scores.tokens, f"{name}/chars/{replies}": scores.chars}
            arrays |= {f"{name}/loglik/{scorer}/{replies}": array for scorer, array in scores.loglik.items()}
            arrays |= {f"{name}/marginal/{scorer}/{replies}": array for scorer, array in scores.marginal.items()}
            if (parts := scores.by_source) is not None:
                arrays[f"{name}/tokens_by_source/{replies}"] = parts.tokens
                arrays |= {f"{name}/loglik_by_source/{scorer}/{replies}": array for scorer, array in parts.loglik.items()}
                arrays |= {f"{name}/marginal_by_source/{scorer}/{replies}": array for scorer, array in parts.marginal.items()}
        if category.unreasoned is not None:
            arrays[f"{name}/unreasoned/golden"] = category.unreasoned
        if category.self_scores is not None:
            for quantity in ("loglik", "tokens", "truncated"):
                if (array := getattr(category.self_scores, quantity)) is not None:
                    arrays[f"{name}/self/{quantity}"] = array
        if category.cross is not None:
            for block in ("of_id", "in_id"):
                for of, array in getattr(category.cross, block).items():
                    arrays[f"{name}/{block}/{of if of == 'self' else f'golden/{of}'}"] = array
        arrays |= {f"{name}/embedding/{factor}": array for factor, array in category.embeddings.items()}
        arrays |= {f"{name}/identity/{factor}": array for factor, array in category.identities.items()}
    return arrays
