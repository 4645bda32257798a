"""Sampled replies, by the way of the scores: complete plan -> store -> bucket -> device."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Sequence

import jax
import numpy as np
from flax import nnx

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoding import Layers, unstacked
from remid_jax.models.loading import LanguageModel
from remid_jax.models.sampling import Sampler
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts, Report, check_texts, refuse_not_finite
from remid_jax.scoring.filling import bucket_of
from remid_jax.scoring.kernel import KERNEL_VERSION
from remid_jax.scoring.seating import Draw, Prompt, Sample, Seating
from remid_jax.scoring.store import Store, key_of

__all__ = ["Draw", "Generator", "Prompt", "Sample", "record_key"]


def record_key(seed: int, purpose: str, record: str, draw: int = 0) -> tuple[int, int]:
    """A random key that depends on nothing but these names."""
    digest = hashlib.sha256(json.dumps([seed, purpose, record, draw]).encode()).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little")


class Generator:
    """Samples with one model, about `rows` replies at a time."""

    def __init__(self, model: LanguageModel, devices: Devices, store: Store, rows: int):
        self.model, self.devices, self.store, self.rows = model, devices, store, rows
        self.counts = Counts()

    @functools.cached_property
    def _params(self) -> nnx.State:
        return self.devices.copies(self.model.params)

    @functools.cached_property
    def _layers(self) -> Layers:
        return _unstacking(self.devices, self.model.config)(self._params)

    def generate(
        self, prompts: Sequence[Prompt], sampler: Sampler, report: Report = lambda done, total: None
    ) -> list[list[Sample]]:
        """The draws of every prompt.

        A draw depends on its prompt, its key and the model, not on the other prompts but for rounding (1e-6 nats a token in
        float32).

        Raises:
          UserError: if a prompt with its reply is longer than the model takes, or has an id outside the model's vocabulary; for
            a log-probability that is not finite.
        """
        if not prompts:
            return []
        longest = max(len(prompt.ids) for prompt in prompts) + sampler.max_new
        check_texts(self.model, (prompt.ids for prompt in prompts), longest)
        keys = [self._key(prompt, sampler) for prompt in prompts]
        stored = self.store.get(keys)
        kept = {n: _unpack(stored[key]) for n, key in enumerate(keys) if key in stored}
        samples = {n: replies for n, replies in kept.items() if _are_finite(replies)}
        missing = {n: prompt for n, prompt in enumerate(prompts) if n not in samples}
        self.counts.rows += len(prompts)
        self.counts.store_misses += len(missing)
        self.counts.store_hits += len(samples)
        total, done = sum(len(prompt.draws) for prompt in missing.values()) * sampler.max_new, 0

        def advance(tokens: int) -> None:
            report(done + tokens, total)  # in all at most: replies that end early take from it

        suspects: dict[int, Prompt] = {}
        slots = bucket_of(longest)
        with self.store.writer() as put:
            for n, replies in self._serve(missing, sampler, slots, advance):
                if _are_finite(replies):
                    put({keys[n]: _pack(replies)})
                    samples[n] = replies
                else:
                    suspects[n] = missing[n]
                spoken = sum(len(reply.ids) for reply in replies)
                done, total = done + spoken, total + spoken - len(replies) * sampler.max_new
            # An overflow in one prompt reaches those encoded beside it, as 0 times infinity is no number: each is asked alone.
            for n in list(suspects):
                [(_, replies)] = self._serve({n: suspects[n]}, sampler, slots, lambda tokens: None)
                if _are_finite(replies):
                    put({keys[n]: _pack(replies)})
                    samples[n] = replies
                    del suspects[n]
        if suspects:
            refuse_not_finite(self.model, "replies", [n + 1 for n in suspects], len(prompts))
        report(done, done)
        return [samples[n] for n in range(len(prompts))]

    def _serve(
        self, prompts: dict[int, Prompt], sampler: Sampler, slots: int, advance: Callable[[int], None]
    ) -> Iterator[tuple[int, list[Sample]]]:
        if prompts:
            seating = Seating(self.devices, self.model.config, sampler, self._params, self._layers, slots, self.counts)
            yield from seating.serve(prompts, self.rows, advance)

    def _key(self, prompt: Prompt, sampler: Sampler) -> bytes:
        # "tokenizer" and "stop_strings" are constant: replies could once end with strings, and stores have keys without any.
        context = {
            "kind": "samples",
            "kernel": KERNEL_VERSION,
            "model": self.model.fingerprint,
            "tokenizer": None,
            "dtype": self.model.dtype,
            "backend": jax.default_backend(),
            "sampler": dataclasses.asdict(sampler) | {"stop_strings": []},
        }
        wanted = json.dumps([dataclasses.astuple(draw) for draw in prompt.draws])
        return key_of(context, np.asarray(prompt.ids, np.int32).tobytes(), wanted.encode())


@functools.lru_cache(maxsize=16)
def _unstacking(devices: Devices, config: DecoderConfig) -> Callable[[nnx.State], Layers]:
    return devices.spread(functools.partial(unstacked, config))


def _are_finite(samples: Sequence[Sample]) -> bool:
    return all(math.isfinite(logprob) for sample in samples for logprob in sample.logprobs)


def _pack(samples: Sequence[Sample]) -> bytes:
    return json.dumps([[s.ids, s.logprobs, s.finish] for s in samples]).encode()


def _unpack(value: bytes) -> list[Sample]:
    return [Sample(tuple(ids), tuple(logprobs), finish) for ids, logprobs, finish in json.loads(value)]
