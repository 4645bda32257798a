"""Continuous batching, the host's part: prompts wait, take seats among the rows of a decode loop, and leave when they end.

Rows are only ever computed for somebody, or nearly. While prompts wait, a stop gives them the seats that have fallen free; when
nobody waits, the rest moves to fewer rows. Every stop costs a round trip, so the loop stops when the tokens computed for nobody
would exceed one in IDLE of all. Devices go in step: one alone would wait for the others. As an encoding keeps all of them busy,
too, it is for all of them, and ahead of free seats.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from flax import nnx

from remid_jax.models.config import DecoderConfig
from remid_jax.models.decoding import Layers
from remid_jax.models.sampling import (
    Encoded,
    Moves,
    Patience,
    Prompts,
    Rows,
    Sampler,
    Seats,
    Wishes,
    decode,
    empty_rows,
    encode,
    enter,
    keep,
    move,
)
from remid_jax.parallel import Devices
from remid_jax.scoring.engine import Counts
from remid_jax.scoring.filling import bucket_of

SEGMENT = 16  # tokens between two reports
ROW, MOST_PROMPTS = 512, 8  # tokens and prompts that are encoded side by side: enough to keep a device busy
IDLE = 50  # one token in so many may be computed for nobody, as far as numbers of rows allow
AHEAD = 2  # of the draws that wait, a device has at most its even share over this encoded ahead of seats


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


@dataclasses.dataclass
class _Served:
    """A prompt that a device has encoded, where in which row, and the next of its draws to take a seat."""

    number: int
    encoded: Encoded
    place: int
    start: int
    draw: int = 0


class Seating:
    """Samples with one model: `serve` yields (prompt's number, its draws) as prompts are done."""

    def __init__(
        self, devices: Devices, config: DecoderConfig, sampler: Sampler, params: nnx.State, layers: Layers, slots: int,
        counts: Counts,
    ):  # fmt: skip
        self._devices, self._config, self._sampler, self._slots, self._counts = devices, config, sampler, slots, counts
        self._params, self._layers = params, layers
        # The length of a reply is each row's own (`Wishes.limits`), so that replies of unlike lengths share a program.
        programs = dataclasses.replace(sampler, max_new=0)
        self._encode = _encoding(devices, config, slots)
        self._enter, self._decode = _entering(devices, programs), _decoding(devices, config, programs)
        self._keep, self._move = _keeping(devices), _moving(devices)

    def serve(
        self, prompts: Mapping[int, Prompt], rows: int, advance: Callable[[int], None]
    ) -> Iterator[tuple[int, list[Sample]]]:
        """Draws for all prompts, among at most about `rows` rows; `advance` is told the tokens of those not yet done."""
        self._prompts, self._waiting = prompts, collections.deque(prompts)
        self._unserved = sum(len(prompt.draws) for prompt in prompts.values())
        self._each = rung(-(-min(rows, self._unserved) // self._devices.rows))
        self._served: list[collections.deque[_Served]] = [collections.deque() for _ in range(self._devices.rows)]
        self._seated: list[tuple[int, int] | None] = [None] * (self._each * self._devices.rows)
        self._spoken = np.zeros(len(self._seated), np.int64)
        self._decoded = self._idle = 0  # tokens of the decode loop: all, and those for nobody
        room = max(SEGMENT, 1 << (self._sampler.max_new - 1).bit_length())
        dtype = self._params["embedding"][...].dtype
        self._rows: Rows = _emptying(self._devices, self._config, len(self._seated), self._slots, room, dtype)()
        done: dict[int, dict[int, Sample]] = collections.defaultdict(dict)
        while self._waiting or any(self._served) or any(self._seated):
            self._fill()
            for (number, draw), sample in self._go_on():
                done[number][draw] = sample
                if len(done[number]) == len(prompts[number].draws):
                    yield number, [sample for _, sample in sorted(done.pop(number).items())]
            advance(int(self._spoken.sum()) + sum(len(s.ids) for draws in done.values() for s in draws.values()))
            self._shrink()

    def _fill(self) -> None:
        """Gives every free seat to a draw, as long as any wait."""
        while free := [d for d in range(self._devices.rows) if self._free_seats(d)]:
            if self._waiting and not all(self._served[d] for d in free):
                self._encode_more()
            if ready := [d for d in free if self._served[d]]:
                self._enter_all(self._served[ready[0]][0].encoded, ready)
            elif not self._make_room():
                return

    def _taken_seats(self, device: int) -> list[int]:
        return [n for n in self._of(device) if self._seated[n] is not None]

    def _free_seats(self, device: int) -> list[int]:
        return [n for n in self._of(device) if self._seated[n] is None]

    def _queued(self, device: int) -> int:
        """How many draws wait there for a seat, their prompts encoded."""
        return sum(len(self._prompts[served.number].draws) - served.draw for served in self._served[device])

    def _encode_more(self) -> None:
        """Encodes the next prompts for every device that has less than a row of them, first where seats are free: as many as
        find a seat there, or a share of those that wait, and fit a row."""
        chosen, ahead = {}, self._unserved // (AHEAD * self._devices.rows)
        for device in sorted(range(self._devices.rows), key=lambda d: self._queued(d) - len(self._free_seats(d))):
            lengths = [len(self._prompts[served.number].ids) for served in self._served[device]]
            if len(lengths) < MOST_PROMPTS and sum(lengths) < ROW:
                chosen[device] = self._next_prompts(max(len(self._free_seats(device)), ahead) - self._queued(device))
        most = max(sum(len(self._prompts[n].ids) for n in numbers) for numbers in chosen.values())
        shape = (self._devices.rows, prompt_width(most))
        tokens, positions, ends = (np.zeros(shape, np.int32) for _ in range(3))
        owners, lasts = np.full(shape, MOST_PROMPTS, np.int32), np.zeros((self._devices.rows, MOST_PROMPTS), np.int32)
        starts = {}
        for device, numbers in chosen.items():
            start = 0
            for place, number in enumerate(numbers):
                ids = self._prompts[number].ids
                own = (device, slice(start, start + len(ids)))
                tokens[own], positions[own], ends[own], owners[own] = ids, np.arange(len(ids)), start + len(ids), place
                starts[number], start = start, start + len(ids)
                lasts[device, place] = start - 1
        batch = Prompts(tokens, positions, ends, owners, lasts)  # type: ignore[arg-type]  # host arrays until they are placed
        encoded = self._encode(self._params, self._devices.place_batch(batch))
        for device, numbers in chosen.items():
            self._served[device].extend(_Served(n, encoded, place, starts[n]) for place, n in enumerate(numbers))
        real = int((owners < MOST_PROMPTS).sum())
        self._counts.device_steps += 1
        self._counts.tokens += real
        self._counts.padding += tokens.size - real

    def _next_prompts(self, seats: int) -> list[int]:
        """Takes from those waiting what fits a row, and no more than so many seats need."""
        numbers: list[int] = []
        length = 0
        while self._waiting and len(numbers) < MOST_PROMPTS and seats > 0:
            prompt = self._prompts[self._waiting[0]]
            length += len(prompt.ids)
            if numbers and length > ROW:
                break
            seats -= len(prompt.draws)
            self._unserved -= len(prompt.draws)
            numbers.append(self._waiting.popleft())
        return numbers

    def _enter_all(self, encoded: Encoded, devices: Sequence[int]) -> None:
        """Gives the free seats of the devices to the draws of the prompts encoded there together."""
        shape = (self._devices.rows, self._each)
        rows, prompts, starts, lengths = np.full(shape, len(self._seated), np.int32), *np.zeros((3, *shape), np.int32)
        temperatures, penalties = np.zeros(shape, np.float32), np.ones(shape, np.float32)
        keys, limits = np.zeros((*shape, 2), np.uint32), np.full(shape, self._sampler.max_new, np.int32)
        for device in devices:
            first = self._devices.first_rows(self._each)[device] - device * self._each
            queue = self._served[device]
            for n, seat in enumerate(self._free_seats(device)):
                if not queue or queue[0].encoded is not encoded:
                    break
                served, at = queue[0], (device, n)
                prompt = self._prompts[served.number]
                draw = prompt.draws[served.draw]
                rows[at], prompts[at], starts[at], lengths[at] = seat + first, served.place, served.start, len(prompt.ids)
                temperatures[at], penalties[at], keys[at] = draw.temperature, draw.repetition_penalty, draw.key
                self._seated[seat], self._spoken[seat] = (served.number, served.draw), 1
                self._counts.tokens += 1
                served.draw += 1
                if served.draw == len(prompt.draws):
                    queue.popleft()
        # Host arrays until they are placed.
        wishes = Wishes(temperatures, penalties, keys, limits)  # type: ignore[arg-type]
        seats = Seats(rows, prompts, starts, lengths, wishes)  # type: ignore[arg-type]
        self._rows = self._enter(self._rows, encoded, self._devices.place_batch(seats))

    def _go_on(self) -> Iterator[tuple[tuple[int, int], Sample]]:
        """Decodes until it is worth stopping, and empties the seats of those who have ended."""
        taken = sum(seat is not None for seat in self._seated)
        live = taken - 1
        if not self._has_waiting():
            live = min(live, self._devices.rows * rung(self._each - 1, down=True))
        shares = np.zeros((2, self._devices.rows), np.int32)  # of which the first device has all
        shares[:, 0] = live, min(self._spare(), np.iinfo(np.int32).max)
        self._rows = self._decode(self._params, self._layers, self._rows, self._devices.place_batch(Patience(*shares)))
        self._counts.device_steps += 1
        ended, counts = self._devices.fetch((self._rows.ended, self._rows.counts))
        new = np.where([seat is not None for seat in self._seated], counts - self._spoken, 0)
        idle = int((new.max() - new).sum())
        self._decoded += int(new.max()) * len(new)
        self._idle += idle
        self._counts.idle += idle
        self._counts.padding += idle
        self._counts.tokens += int(new.sum())
        self._spoken = np.where([seat is not None for seat in self._seated], counts, 0)
        leaving = [n for n, seat in enumerate(self._seated) if seat is not None and ended[n]]
        if leaving:
            tokens, logprobs = self._devices.fetch((self._rows.tokens, self._rows.logprobs))
        for n in leaving:
            seat, ids = self._seated[n], tuple(map(int, tokens[n, : counts[n]]))
            assert seat is not None
            self._seated[n], self._spoken[n] = None, 0
            finish: Literal["end", "length"] = "end" if ids[-1] in self._sampler.stop_ids else "length"
            yield seat, Sample(ids, tuple(map(float, logprobs[n, : counts[n]])), finish)

    def _of(self, device: int) -> range:
        return range(device * self._each, (device + 1) * self._each)

    def _has_waiting(self) -> bool:
        return bool(self._waiting) or any(self._served)

    def _spare(self) -> int:
        """How many tokens more may be computed for nobody."""
        return max(0, self._decoded // IDLE - self._idle)

    def _shrink(self) -> None:
        """When nobody waits and rows stand idle too long: keeps as many as those need who are still speaking."""
        devices, taken = self._devices.rows, sum(seat is not None for seat in self._seated)
        fewer = rung(-(-taken // devices))
        if self._has_waiting() or not taken or fewer >= self._each or len(self._seated) - taken <= self._spare():
            return
        self._level(fewer)
        chosen = [sorted(self._of(d), key=lambda n: self._seated[n] is None)[:fewer] for d in range(devices)]
        local = np.array([np.array(own) - d * self._each for d, own in enumerate(chosen)], np.int32)
        self._rows = self._keep(self._rows, self._devices.place_batch(local))
        self._seated = [self._seated[n] for own in chosen for n in own]
        self._spoken = self._spoken[[n for own in chosen for n in own]]
        self._each = fewer

    def _level(self, most: int) -> None:
        """Moves rows from devices where more than `most` speak to others. The rows they leave are not to be kept."""
        speaking = [self._taken_seats(d) for d in range(self._devices.rows)]
        room = [n for d, own in enumerate(speaking) for n in self._free_seats(d)[: max(0, most - len(own))]]
        self._move_rows([n for own in speaking for n in own[most:]], room)

    def _make_room(self) -> bool:
        """Moves rows to free seats of other devices from those where draws wait; whether any could be. The rows they leave are
        to be taken at once."""
        devices = range(self._devices.rows)
        leaving = [n for d in devices for n in self._taken_seats(d)[: self._queued(d)]]
        return self._move_rows(leaving, [n for d in devices for n in self._free_seats(d)])

    def _move_rows(self, sources: Sequence[int], targets: Sequence[int]) -> bool:
        """Moves the first rows to the first places, as many as there are of both; whether there were any."""
        shape = (self._each, self._devices.rows)
        leave, take = np.zeros(shape, np.int32), np.full(shape, len(self._seated), np.int32)
        pairs = list(zip(sources, targets, strict=False))
        for n, (source, target) in enumerate(pairs):
            leave.flat[n], take.flat[n] = source, target
            self._seated[target], self._seated[source] = self._seated[source], None
            self._spoken[target] = self._spoken[source]
        if pairs:
            self._rows = self._move(self._rows, Moves(leave, take))  # type: ignore[arg-type]  # host arrays
        return bool(pairs)


def rung(count: int, down: bool = False) -> int:
    """The nearest number of rows from `count` up (or down) among 2, 3, 4, 6, 8, 10, 12, 14, 16, 20, ...; down from 1: 0.

    Each number in use costs a compilation, each gap rows without anybody. Never one row: a CPU multiplies a vector by other
    rules, so that a row's last bits would depend on whether it is alone.
    """
    rungs = [0, 2, 3, *(base << k for k in range(29) for base in (4, 6)), *(base << k for k in range(1, 28) for base in (5, 7))]
    return max(n for n in rungs if n <= count) if down else min(n for n in rungs if n >= max(count, 2))


def prompt_width(length: int) -> int:
    """To how many tokens a row of prompts is filled up: a multiple of 32 up to 256, of 64 up to 512, of 128 up to 1,024, then a
    bucket of rows."""
    step = 32 if length <= 256 else 64 if length <= 512 else 128
    return -(-length // step) * step if length <= 1024 else bucket_of(length)


@functools.lru_cache(maxsize=16)
def _encoding(devices: Devices, config: DecoderConfig, slots: int) -> Callable[..., Encoded]:
    return devices.spread(functools.partial(encode, config, slots))


@functools.lru_cache(maxsize=16)
def _emptying(devices: Devices, config: DecoderConfig, rows: int, slots: int, room: int, dtype: Any) -> Callable[[], Rows]:
    return devices.making_rows(functools.partial(empty_rows, config, slots=slots, room=room, dtype=dtype), rows)


@functools.lru_cache(maxsize=16)
def _entering(devices: Devices, sampler: Sampler) -> Callable[..., Rows]:
    return devices.spread(functools.partial(enter, sampler), donate=(0,))


@functools.lru_cache(maxsize=16)
def _decoding(devices: Devices, config: DecoderConfig, sampler: Sampler) -> Callable[..., Rows]:
    return devices.spread(functools.partial(decode, config, sampler, SEGMENT, devices.total), donate=(2,))


@functools.lru_cache(maxsize=16)
def _keeping(devices: Devices) -> Callable[..., Rows]:
    return devices.spread(keep)


@functools.lru_cache(maxsize=16)
def _moving(devices: Devices) -> Callable[..., Rows]:
    return devices.exchanging(move)
