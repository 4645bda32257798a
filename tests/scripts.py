"""What tests of the scripts share: where they are, how a run ended, what it left behind."""

import dataclasses
import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Finished:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line a person gets: status 2, no traceback, nothing else that looks like trouble."""
        assert self.code == 2, (self.code, self.err)
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]


def compilations(err: str, name: str) -> int:
    """How often a function was compiled, in the log of a process run with JAX_LOG_COMPILES=1."""
    return len(re.findall(rf"Finished XLA compilation of jit\({name}\)", err))


def shapes(err: str, name: str) -> set[str]:
    """The arguments that a function was compiled for, in the same log."""
    return set(re.findall(rf"Compiling jit\({name}\) with global shapes and types (.*?)\. Argument mapping", err))


def change(config, changes: dict) -> None:
    """Sets a config's values by their dotted names."""
    for key, value in changes.items():
        *path, last = key.split(".")
        at = config
        for part in path:
            at = at[part]
        with at.unlocked():
            at[last] = value


def load(path: Path):
    return json.loads(path.read_text())


class Asked:
    """Stands in for `stopping.Saving`: whether a signal has come is what `answers` says, one after the other."""

    def __init__(self, answers):
        self.answers = answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def asked(self) -> bool:
        return next(self.answers)


def stop(monkeypatch, script, answers) -> None:
    """From now on `script` is asked to stop as `answers` says, and then raises SystemExit with its last line."""

    def end(line: str):
        raise SystemExit(line)

    monkeypatch.setattr(script, "Saving", lambda: Asked(answers))
    monkeypatch.setattr(script, "end", end)
