"""Sampled replies, by the way of the scores: complete plan -> store -> bucket -> device."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import numpy as np
from flax import nnx

from remid_jax.models.config import DecoderConfig
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Prompts, Sampler, decode, prefill
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts, Report, check_texts, refuse_not_finite
from remid_jax.scoring.kernel import KERNEL_VERSION
from remid_jax.scoring.packing import bucket_of
from remid_jax.scoring.store import Store, key_of

SEGMENT = 16  # tokens between two reports


@dataclasses.dataclass(frozen=True)
class Draw:
    """One reply wanted: greedy at temperature 0, else drawn with `key`."""

    temperature: float = 0.0
    repetition_penalty: float = 1.0
    key: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Prompt:
    """Token ids, and the replies wanted to them."""

    ids: Sequence[int]
    draws: Sequence[Draw] = (Draw(),)


@dataclasses.dataclass(frozen=True)
class Sample:
    """A reply: its ids, with the end token where it ended so, and their log-probabilities (nats) under the untempered model."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["end", "length"]


def record_key(seed: int, purpose: str, record: str, draw: int = 0) -> tuple[int, int]:
    """A random key that depends on nothing but these names."""
    digest = hashlib.sha256(json.dumps([seed, purpose, record, draw]).encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


class Generator:
    """Samples with one model, `rows` rows (prompts x draws) a device step or as near as the devices allow."""

    def __init__(self, model: LanguageModel, devices: Devices, store: Store, rows: int):
        self.model, self.devices, self.store, self.rows = model, devices, store, rows
        self.counts = Counts()

    @functools.cached_property
    def _params(self) -> nnx.State:
        return self.devices.copies(self.model.params)

    def generate(
        self, prompts: Sequence[Prompt], sampler: Sampler, report: Report = lambda done, total: None
    ) -> list[list[Sample]]:
        """The draws of every prompt; all prompts must want the same number of them.

        Raises:
          UserError: if a prompt with its reply is longer than the model takes, or has an id outside the model's vocabulary; for
            a log-probability that is not finite.
        """
        if not prompts:
            return []
        longest = max(len(prompt.ids) for prompt in prompts) + sampler.max_new
        check_texts(self.model, (prompt.ids for prompt in prompts), longest)
        draws = len(prompts[0].draws)
        order = sorted(range(len(prompts)), key=lambda n: (len(prompts[n].ids), n))
        size = max(1, self.rows // (draws * self.devices.rows)) * self.devices.rows
        batches = [order[first : first + size] for first in range(0, len(order), size)]
        keys = {n: key for batch in batches for n, key in self._keys(prompts, batch, size, draws, sampler)}
        stored = self.store.get(keys.values())
        kept = {n: _unpack(stored[key]) for n, key in keys.items() if key in stored}
        samples = {n: replies for n, replies in kept.items() if _are_finite(replies)}
        missing = [batch for batch in batches if any(n not in samples for n in batch)]
        self.counts.rows += len(prompts)
        self.counts.store_misses += sum(n not in samples for n in order)
        self.counts.store_hits += len(samples)
        total, done = sum(map(len, missing)) * draws * sampler.max_new, 0
        for batch in missing:

            def advance(tokens: int, done: int = done, rows: int = len(batch) * draws) -> None:
                report(done + tokens * rows, total)

            drawn = self._run([prompts[n] for n in batch], size, sampler, advance)
            if wrong := [n for n, replies in zip(batch, drawn, strict=True) if not _are_finite(replies)]:
                refuse_not_finite(self.model, "replies", [n + 1 for n in wrong], len(prompts))
            self.store.put({keys[n]: _pack(draw) for n, draw in zip(batch, drawn, strict=True)})
            samples.update(zip(batch, drawn, strict=True))
            done += len(batch) * draws * sampler.max_new
            report(done, total)
        return [samples[n] for n in range(len(prompts))]

    def _keys(self, prompts: Sequence[Prompt], batch: Sequence[int], size: int, draws: int, sampler: Sampler):
        width = bucket_of(max(len(prompts[n].ids) for n in batch))
        # "tokenizer" and "stop_strings" are constant: replies could once end with strings, and stores have keys without any.
        context = {
            "kind": "samples",
            "kernel": KERNEL_VERSION,
            "model": self.model.fingerprint,
            "tokenizer": None,
            "dtype": self.model.dtype,
            "backend": jax.default_backend(),
            "sampler": dataclasses.asdict(sampler) | {"stop_strings": []},
            "shape": [size, width, draws],
        }
        for n in batch:
            wanted = json.dumps([dataclasses.astuple(draw) for draw in prompts[n].draws])
            yield n, key_of(context, np.asarray(prompts[n].ids, np.int32).tobytes(), wanted.encode())

    def _run(
        self, prompts: Sequence[Prompt], size: int, sampler: Sampler, advance: Callable[[int], None]
    ) -> list[list[Sample]]:
        draws = len(prompts[0].draws)
        width = bucket_of(max(len(p.ids) for p in prompts))
        ids, lengths = np.zeros((size, width), np.int32), np.zeros(size, np.int32)
        keys = np.zeros((size, draws, 2), np.uint32)
        temperatures, penalties = np.zeros((size, draws), np.float32), np.ones((size, draws), np.float32)
        batch = Prompts(ids, lengths, keys, temperatures, penalties)  # type: ignore[arg-type]  # host arrays until they are placed
        for n, prompt in enumerate(prompts):
            ids[n, : len(prompt.ids)] = prompt.ids
            lengths[n] = len(prompt.ids)
            keys[n] = [draw.key for draw in prompt.draws]
            temperatures[n] = [draw.temperature for draw in prompt.draws]
            penalties[n] = [draw.repetition_penalty for draw in prompt.draws]
        start, go_on = _compiled(self.devices, self.model.config, sampler)
        params = self._params
        state = start(params, self.devices.place_batch(batch))
        self.counts.device_steps += 1
        for step in range(0, sampler.max_new, SEGMENT):
            state = go_on(params, state)
            self.counts.device_steps += 1
            ended = self.devices.fetch(state.ended)
            advance(min(step + SEGMENT, sampler.max_new))
            if ended.all():
                break
        tokens, logprobs, counts = self.devices.fetch((state.tokens, state.logprobs, state.counts))
        self.counts.tokens += int(counts.sum()) + int(lengths.sum())
        self.counts.padding += size * width - int(lengths.sum())
        rows = [self._sample(sampler, tokens[n], logprobs[n], int(counts[n])) for n in range(len(prompts) * draws)]
        return [rows[n * draws : (n + 1) * draws] for n in range(len(prompts))]

    @staticmethod
    def _sample(sampler: Sampler, tokens: np.ndarray, logprobs: np.ndarray, count: int) -> Sample:
        ids = tuple(map(int, tokens[:count]))
        return Sample(ids, tuple(map(float, logprobs[:count])), "end" if ids and ids[-1] in sampler.stop_ids else "length")


@functools.lru_cache(maxsize=16)
def _compiled(devices: Devices, config: DecoderConfig, sampler: Sampler) -> tuple[Callable, Callable]:
    return (
        devices.spread(functools.partial(prefill, config, sampler.max_new)),
        devices.spread(functools.partial(decode, config, sampler, SEGMENT)),
    )


def _are_finite(samples: Sequence[Sample]) -> bool:
    return all(math.isfinite(logprob) for sample in samples for logprob in sample.logprobs)


def _pack(samples: Sequence[Sample]) -> bytes:
    return json.dumps([[s.ids, s.logprobs, s.finish] for s in samples]).encode()


def _unpack(value: bytes) -> list[Sample]:
    return [Sample(tuple(ids), tuple(logprobs), finish) for ids, logprobs, finish in json.loads(value)]
