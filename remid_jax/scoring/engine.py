"""Exact log-likelihoods, and embeddings: requests -> plan -> store -> steps -> device -> coverage check.

A step is dispatched before the one before it is fetched, and a thread writes the store, so that a device does not wait for its
host.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn, TypeVar

import jax
import numpy as np
from flax import nnx

from remid_jax.errors import UserError
from remid_jax.models.config import DecoderConfig
from remid_jax.models.loading import LanguageModel
from remid_jax.parallel import Devices
from remid_jax.scoring.filling import Limits
from remid_jax.scoring.kernel import KERNEL_VERSION, Batch, Texts, embed_batch, score_batch
from remid_jax.scoring.packing import Plan, Row, plan_rows
from remid_jax.scoring.requests import Continuation, Request
from remid_jax.scoring.store import Store, key_maker

Report = Callable[[int, int], None]  # (tokens done, tokens in all)
Pooling = Literal["mean", "last"]
Begun = tuple[Any, Sequence[int]]  # a device's result that may not be there yet, and of each of its rows how much is wanted
T = TypeVar("T")
LOGPROBS = "logprobs"  # the kind of row that `score` makes


@dataclasses.dataclass
class Counts:
    """What an engine has done so far; `tokens` are real ones, `padding` what the device computed besides, `idle` what of that
    was for replies that had ended."""

    rows: int = 0
    store_hits: int = 0
    store_misses: int = 0
    device_steps: int = 0
    tokens: int = 0
    padding: int = 0
    idle: int = 0
    buckets: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)  # kind of row -> bucket -> rows computed

    def __add__(self, other: Counts) -> Counts:
        def added(a: Mapping[int, int], b: Mapping[int, int]) -> dict[int, int]:
            return {bucket: a.get(bucket, 0) + b.get(bucket, 0) for bucket in {**a, **b}}

        names = [field.name for field in dataclasses.fields(self) if field.name != "buckets"]
        kinds = {**self.buckets, **other.buckets}
        return Counts(
            **{name: getattr(self, name) + getattr(other, name) for name in names},
            buckets={kind: added(self.buckets.get(kind, {}), other.buckets.get(kind, {})) for kind in kinds},
        )


class ScoringEngine:
    """Scores requests with one model. `tokens_per_step` bounds a device step; rows hold at most `max_row` tokens."""

    def __init__(self, model: LanguageModel, devices: Devices, store: Store, tokens_per_step: int, max_row: int):
        self.model, self.devices, self.store = model, devices, store
        self.tokens_per_step, self.max_row = tokens_per_step, max_row
        self.counts = Counts()
        self._context = {
            "kernel": KERNEL_VERSION,
            "model": model.fingerprint,
            "dtype": model.dtype,
            "backend": jax.default_backend(),
        }

    @functools.cached_property
    def _params(self) -> nnx.State:
        return self.devices.copies(self.model.params)

    @functools.cached_property
    def limits(self) -> Limits:
        """What a row and a device step may hold."""
        return Limits(self.max_row, attention_knee(self.model.config), self.tokens_per_step, self.devices.rows)

    def plan(self, requests: Sequence[Request]) -> Plan:
        return plan_rows(requests, self.limits)

    def keys(self, kind: str) -> Callable[..., bytes]:
        """Returns the function from bytes that say what is computed to its key in the store."""
        return key_maker(self._context | {"kind": kind})

    def score(self, requests: Sequence[Request], report: Report = lambda done, total: None) -> list[list[np.ndarray]]:
        """Log-probabilities, nats, float32, of the scored tokens of every continuation: [request][continuation][token].

        Raises:
          UserError: for a request that cannot be scored (see `plan_rows`), with an id outside the model's vocabulary, or
            longer than the model takes.
          UserError: for a score that is not finite, naming the requests of its row.
          AssertionError: if a scored token lacks its log-probability: a fault of this program, never a number.
        """
        plan = self.plan(requests)
        scores = self._rows(plan, LOGPROBS, [row.digest for row in plan.rows], self.begin_scores, report)
        rows = [np.frombuffer(score, np.float32) for score in scores]
        for n, row in enumerate(plan.rows):
            assert len(row.scored) == len(rows[n]), f"row {n} is not fully scored"
        return [[rows[place.row][place.indices] for place in places] for places in plan.places]

    def embed(
        self,
        texts: Sequence[Sequence[int]],
        pooling: Pooling = "mean",
        group: Sequence[str] = (),
        report: Report = lambda done, total: None,
    ) -> np.ndarray:
        """Final hidden states of texts (token ids) as one vector each, [texts, D] float32.

        "mean": over the text's tokens, behind one end-of-turn token (id 0 without a tokenizer), which attracts the attention
        that has nowhere to go and is not pooled. "last": the last token's, nothing put before the text, as decoders that were
        trained as sentence encoders are read. Texts of one `group` may share a packed row.

        Raises:
          UserError: for a text without tokens, too long, or with an id outside the model's vocabulary, and for a vector that is
            not finite.
        """
        start = self.model.tokenizer.end_of_turn_id if self.model.tokenizer else 0
        groups = group or [""] * len(texts)
        # A request has something behind its prefix: behind a text of one token that is an id which is not pooled.
        heads = [[start, *ids] if pooling == "mean" else [*ids, start] if len(ids) == 1 else ids for ids in texts]
        requests = [Request(ids[:1], [Continuation(ids[1:])], of) for ids, of in zip(heads, groups, strict=True)]
        plan = self.plan(requests)
        slots: list[list[np.ndarray]] = [[] for _ in plan.rows]
        where = []
        for ids, [place] in zip(texts, plan.places, strict=True):
            where.append((place.row, len(slots[place.row])))
            row = plan.rows[place.row]
            own = row.scored[place.indices]
            if pooling == "last":
                own = row.links()[1][own] if len(ids) == 1 else own[-1:]
            slots[place.row].append(own)
        most = 1 << (max(map(len, slots), default=1) - 1).bit_length()
        digests = [row.digest + b"".join(own.tobytes() + b";" for own in of) for row, of in zip(plan.rows, slots, strict=True)]

        def begin(plan: Plan, numbers: Sequence[int]) -> Begun:
            return self._begin_vectors(plan, numbers, [slots[n] for n in numbers], most)

        pooled = self._rows(plan, f"embedding {pooling}", digests, begin, report)
        rows = [np.frombuffer(vectors, np.float32).reshape(-1, self.model.config.width) for vectors in pooled]
        return (
            np.stack([rows[row][index] for row, index in where])
            if where
            else np.zeros((0, self.model.config.width), np.float32)
        )

    def _rows(
        self, plan: Plan, kind: str, digests: Sequence[bytes], begin: Callable[[Plan, Sequence[int]], Begun], report: Report
    ) -> list[bytes]:
        """What the device makes of each row, from the store where it is there; `begin` takes numbers of rows of one step."""
        rows = plan.rows
        self.check(plan)
        key = self.keys(kind)
        # The last bits of a row may depend on the size of its step, so that is a part of what is computed. How devices share
        # the step's rows is not: layouts share entries, which are equal up to rounding.
        keys = [key(digest, b"%d" % size) for digest, size in zip(digests, plan.steps, strict=True)]
        stored = self.store.get(keys)
        found = {n: stored[key] for n, key in enumerate(keys) if key in stored and _is_finite(stored[key])}
        self.counts.rows += len(keys)
        self.counts.store_hits += len(found)
        missing = [n for n in range(len(keys)) if n not in found]
        self.counts.store_misses += len(missing)
        total = sum(len(rows[n].tokens) for n in missing)
        done = 0
        report(done, total)
        begun = ((numbers, begin(plan, numbers)) for numbers in steps_of(plan, missing))
        with self.store.writer() as put:
            for numbers, arrays in self.fetched(begun):
                made = {n: array.tobytes() for n, array in zip(numbers, arrays, strict=True)}
                self.count(plan, kind, numbers)
                if wrong := [n for n, value in made.items() if not _is_finite(value)]:
                    asked = [r for r, places in enumerate(plan.places, 1) if any(place.row in wrong for place in places)]
                    refuse_not_finite(self.model, kind, asked, len(plan.places))
                put({keys[n]: value for n, value in made.items()})
                found |= made
                done += sum(len(rows[n].tokens) for n in numbers)
                report(done, total)
        return [found[n] for n in range(len(rows))]

    def check(self, plan: Plan) -> None:
        """Raises UserError for a row that the model does not take (see `check_texts`)."""
        longest = max((int(row.positions.max()) + 1 for row in plan.rows), default=0)
        check_texts(self.model, (row.tokens for row in plan.rows), longest)

    def count(self, plan: Plan, kind: str, numbers: Sequence[int]) -> None:
        """Adds a step of these rows to `counts`."""
        bucket = plan.rows[numbers[0]].bucket
        real = sum(len(plan.rows[n].tokens) for n in numbers)
        self.counts.device_steps += 1
        self.counts.tokens += real
        self.counts.padding += plan.steps[numbers[0]] * bucket - real
        buckets = self.counts.buckets.setdefault(kind, {})
        buckets[bucket] = buckets.get(bucket, 0) + len(numbers)

    def fetched(self, begun: Iterable[tuple[T, Begun]]) -> Iterator[tuple[T, list[np.ndarray]]]:
        """Yields what has begun with its result, in order; the next begins before the result of the last is waited for."""
        waiting: list[tuple[T, Begun]] = []
        for step in begun:
            waiting.append(step)
            if len(waiting) > 1:
                yield self._fetch(*waiting.pop(0))
        for step in waiting:
            yield self._fetch(*step)

    def _fetch(self, name: T, begun: Begun) -> tuple[T, list[np.ndarray]]:
        result, counts = begun
        arrays = self.devices.fetch(result) if counts else ()
        return name, [array[:count] for array, count in zip(arrays, counts, strict=False)]

    def begin_scores(self, plan: Plan, numbers: Sequence[int]) -> Begun:
        """Dispatches a step of these rows, which makes the log-probabilities of their scored tokens."""
        rows, size = [plan.rows[n] for n in numbers], plan.steps[numbers[0]]
        batch = make_batch(rows, size, rows[0].bucket)
        step = _scoring(self.devices, self.model.config)
        return step(self._params, self.devices.place_batch(batch)), [len(row.scored) for row in rows]

    def _begin_vectors(self, plan: Plan, numbers: Sequence[int], slots: Sequence[Sequence[np.ndarray]], most: int) -> Begun:
        rows, size = [plan.rows[n] for n in numbers], plan.steps[numbers[0]]
        bucket = rows[0].bucket
        tokens, positions, ends, *_ = make_batch(rows, size, bucket)
        shares = np.zeros((size, most, bucket), np.float32)
        for n, of_row in enumerate(slots):
            for m, own in enumerate(of_row):
                shares[n, m, own] = 1 / len(own)
        batch = Texts(tokens, positions, ends, shares)  # type: ignore[arg-type]  # host arrays until they are placed
        step = _embedding(self.devices, self.model.config)
        return step(self._params, self.devices.place_batch(batch)), [len(of_row) for of_row in slots]


def steps_of(plan: Plan, wanted: Sequence[int]) -> list[list[int]]:
    """Returns the numbers of the wanted rows, step by step: rows of one length and one size of step, in order."""
    by_shape: dict[tuple[int, int], list[int]] = {}
    for n in wanted:
        by_shape.setdefault((plan.rows[n].bucket, plan.steps[n]), []).append(n)
    return [
        numbers[first : first + size]
        for (_, size), numbers in sorted(by_shape.items())
        for first in range(0, len(numbers), size)
    ]


def check_texts(model: LanguageModel, ids: Iterable[Sequence[int] | np.ndarray], longest: int) -> None:
    """Raises UserError for an id that the model has no embedding for, or a text longer than it was made for: a device would
    take another embedding, or turn its positions too far, and say nothing."""
    largest = max((int(np.max(text)) for text in ids), default=0)
    if largest >= model.config.vocab_size:
        raise UserError(
            f"{model.source}: token id {largest} is not below its vocabulary size {model.config.vocab_size}: its tokenizer "
            "does not fit its weights"
        )
    if longest > model.config.max_positions:
        raise UserError(
            f"{model.source}: a text of {longest} tokens is longer than the {model.config.max_positions} it takes: shorten or "
            "exclude it"
        )


def _is_finite(value: bytes) -> bool:
    return bool(np.isfinite(np.frombuffer(value, np.float32)).all())


def refuse_not_finite(model: LanguageModel, kind: str, requests: Sequence[int], count: int) -> NoReturn:
    """Raises UserError, naming the first of the `requests`, counted from 1, among `count`, that came out so."""
    other = "" if model.dtype == "float32" else "open it in float32, or "
    raise UserError(
        f"{model.source}: {kind} of {len(requests)} of {count} requests are not finite in {model.dtype}, first those of number "
        f"{min(requests)}: the model's numbers overflow, as those of a bfloat16 model that was exported in float16 may, or its "
        f"training has diverged: {other}name another export of it, or an earlier checkpoint"
    )


@functools.lru_cache(maxsize=64)
def _scoring(devices: Devices, config: DecoderConfig) -> Callable:
    def score_rows(params: nnx.State, batch: Batch) -> jax.Array:  # named, so that logs of compilations name it
        return score_batch(config, params, batch)

    return devices.spread(score_rows)


@functools.lru_cache(maxsize=64)
def _embedding(devices: Devices, config: DecoderConfig) -> Callable:
    def embed_rows(params: nnx.State, batch: Texts) -> jax.Array:
        return embed_batch(config, params, batch)

    return devices.spread(embed_rows)


def make_batch(rows: Sequence[Row], size: int, bucket: int) -> Batch:
    """Host arrays [size, bucket] for the kernel; filler tokens are seen by nobody."""
    # Host arrays until they are placed: a Batch is the same thing on either side.
    batch = Batch(*np.zeros((5, size, bucket), np.int32), np.zeros(size, np.int32))  # type: ignore[call-arg]
    tokens, positions, ends, parents, targets, counts = map(np.asarray, batch)
    for n, row in enumerate(rows):
        length, scored = len(row.tokens), len(row.scored)
        tokens[n, :length] = row.tokens
        positions[n, :length] = row.positions
        ends[n, :length], row_parents = row.links()
        parents[n, :scored] = row_parents[row.scored]
        targets[n, :scored] = row.tokens[row.scored]
        counts[n] = scored
    return batch


def attention_knee(config: DecoderConfig) -> float:
    """The row length at which attention takes as long as a layer's matrix products.

    From operation counts (half of the square is skipped), attention being about a third as fast an operation: measured on CPU.
    """
    width = config.width * config.head_size
    products = width * (2 * config.heads + 2 * config.kv_heads) + 3 * config.width * config.mlp_width
    attention_per_key = config.heads * config.head_size
    return products / attention_per_key / 3
