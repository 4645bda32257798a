"""What each setting may be, by its name, in every script; and what is wrong with one that was given on the command line."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from remid_jax.errors import UserError

LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; `open_low` and `open_high` leave the ends out."""

    low: float
    high: float = math.inf
    whole: bool = False
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)) or not math.isfinite(value):
            return False
        above = value > self.low if self.open_low else value >= self.low
        return above and (value < self.high if self.open_high else value <= self.high)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        low = f"{'above' if self.open_low else 'from'} {self.low:g}" if math.isfinite(self.low) else ""
        high = f" {'and below' if self.open_high else 'to'} {self.high:.10g}" if math.isfinite(self.high) else ""
        return f"{kind} {low}{high}".strip()


COUNT, NUMBER = Range(1, LARGEST, whole=True), Range(0, LARGEST, whole=True)
POSITIVE, SHARE, NOT_NEGATIVE, ANY = Range(0, open_low=True), Range(0, 1), Range(0), Range(-math.inf)

RANGES: dict[str, Range] = (
    dict.fromkeys(
        ("batch", "block", "draws", "horizon", "keep_every", "lineages", "max_answer", "max_new", "max_prompt",
         "max_reasoning", "max_reply", "max_thinking", "mesh_model", "others", "pairs", "prompts_per_step",
         "replications", "rows", "sampling_rows", "save_every", "show_every", "steps", "subsamples", "tokens_per_step", "tries",
         "workers", "worlds"), COUNT,
    )
    | dict.fromkeys(("bootstrap", "rank", "records", "seed", "seeds", "self_samples", "train_lineages", "retries"), NUMBER)
    | dict.fromkeys(("alpha", "beta", "clip", "learning_rate", "repetition_penalty"), POSITIVE)
    | dict.fromkeys(("clip_high", "cpus", "gpus", "memory", "penalty_weight", "temperature", "weight_decay"), NOT_NEGATIVE)
    | dict.fromkeys(("clip_low", "warmup"), SHARE)
    | {"max_row": Range(1, 28_672, whole=True)}  # no row is longer: see `scoring.filling.BUCKETS`
    | {"restarts": Range(4, LARGEST, whole=True), "dropout": Range(0, 1, open_high=True), "entropy_weight": ANY,
       "dialogues": Range(1, 3, whole=True), "level": Range(0, 1, open_low=True, open_high=True)}
)  # fmt: skip
CHOICES: dict[str, Sequence[str]] = {
    "dtype": ("float32", "bfloat16"),
    "fallback": ("empty", "whole_text"),
    "parallel": ("mesh", "pmap"),
}
TEXTS = ("categories", "controls", "models", "only", "policies", "rungs", "runs", "scenarios", "targets")  # tuples of them
KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", tuple: "a tuple such as (1, 2)"}


def check_settings(config: ConfigDict) -> None:
    """Raises UserError naming every setting that is out of its range, before anything is begun."""
    faults = []
    for name, value in flat(config).items():
        last = name.rpartition(".")[2]
        # A name may stand for a text elsewhere: a file of worlds, the level "token" of a loss.
        wanted = RANGES.get(last) if not isinstance(value, str) else None
        values = value if isinstance(value, (tuple, list)) else [value]
        if wanted and value is not None and not all(of in wanted for of in values):
            faults.append(f"config.{name}={value!r}: must be {wanted}")
        elif last in TEXTS and not all(isinstance(of, str) for of in values):
            faults.append(f"config.{name}={value!r}: must be texts, such as ('a', 'b')")
        elif last in CHOICES and value not in CHOICES[last]:
            nearest = difflib.get_close_matches(str(value), CHOICES[last], 1)
            meant = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            faults.append(f"config.{name}={value!r}: choose one of {', '.join(CHOICES[last])}{meant}")
        elif last not in RANGES and isinstance(value, float) and not math.isfinite(value):
            faults.append(f"config.{name}={value!r}: must be a number")
    if faults:
        raise UserError("; ".join(faults))


def flat(config: ConfigDict | Mapping[str, object], between: str = ".", above: str = "") -> dict[str, Any]:
    """Returns the settings of a nested config by dotted name, or with another text `between` the names."""
    settings: dict[str, object] = {}
    for name, value in config.items():
        is_group = isinstance(value, (ConfigDict, Mapping))
        settings |= flat(value, between, f"{above}{name}{between}") if is_group else {f"{above}{name}": value}
    return settings


def override_faults(config: ConfigDict, arguments: Sequence[str]) -> list[str]:
    """What is wrong with the arguments of the form --config.NAME=VALUE: no such name, with the nearest, or another type."""
    return [fault for argument in arguments for fault in _fault_of(config, argument)] if config else []


def _fault_of(config: ConfigDict, argument: str) -> Iterator[str]:
    found = re.match(r"--?config\.([^=]+)(?:=(.*))?$", argument, re.DOTALL)
    if not found:
        return
    name, value = found[1], found[2]
    known = flat(config)
    if name not in known:
        below = [other for other in known if other.startswith(f"{name}.")]
        if below:
            yield f"--config.{name}: is a group of settings: name one of them, such as --config.{below[0]}"
            return
        yield f"--config.{name}: no such setting{meant(name, known)}"
    elif value is not None and not _fits(_type_of(config, name), value):
        yield f"--config.{name}={value}: must be {kind_of(config, name)}"


def kind_of(config: ConfigDict, name: str) -> str:
    """Returns in words what a setting, by its dotted name, may be: "a whole number, as 64 is"."""
    kind, value = _type_of(config, name), flat(config)[name]
    return KINDS.get(kind, kind.__name__) + ("" if value is None else f", as {value!r} is")


def _type_of(config: ConfigDict, name: str) -> type:
    *groups, last = name.split(".")
    for group in groups:
        config = config[group]
    return config.get_type(last)


def meant(name: str, known: dict[str, object], prefix: str = "--config.") -> str:
    """Returns the nearest setting, by its whole name or its last part, with its type, as the end of a sentence."""
    lasts = {other.rpartition(".")[2]: other for other in known}
    last = name.rpartition(".")[2]
    near = difflib.get_close_matches(name, known, 1) or [lasts[of] for of in difflib.get_close_matches(last, lasts, 1)]
    if not near:
        return f": the settings are {', '.join(known)}"
    value = known[near[0]]
    kind = KINDS.get(type(value), "a text" if value is None else type(value).__name__)
    return f": did you mean {prefix}{near[0]} ({kind})?"


def _fits(kind: type, value: str) -> bool:
    try:
        if kind in (int, float):
            kind(value)
        if kind is bool:
            return value.lower() in ("true", "false", "1", "0")
    except ValueError:
        return False
    return True
