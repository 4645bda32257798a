"""Tasks that take no time and count their runs, and a small sweep of them."""

import json
from pathlib import Path

from remid_jax.sweeps import inputs
from remid_jax.sweeps.plan import Task, planned
from remid_jax.sweeps.points import Point, output

VERSIONS = {"kernel": 1}


class Tasks(dict):
    """The tasks "number", which writes its value to a file, and "add", which adds to a file's; "measure" is "add" in a
    repeatable way. `runs` are the folders run."""

    def __init__(self):
        self.runs = []
        self.killed_in = ""
        files = {"file": (inputs.text,), "other": (inputs.text,)}
        super().__init__(
            number=Task(self._number),
            add=Task(self._add, files),
            measure=Task(self._add, files, repeatable=True),
        )

    def _number(self, config, folder, surroundings):
        return self._written(folder, config["value"])

    def _add(self, config, folder, surroundings):
        return self._written(folder, json.loads(Path(config["file"]).read_text()) + config["more"])

    def _written(self, folder, value):
        if folder.name == self.killed_in:
            raise KeyboardInterrupt
        self.runs.append(folder.name)
        (folder / "value.json").write_text(json.dumps(value))
        return {"value": value, "of": {"a": {"half": value / 2}}}


def number(name, value=1, **settings):
    return Point(name, "number", {"value": value, "devices": {"count": 1}, **settings})


def add(name, need, more, **settings):
    return Point(name, "add", {"file": output(need, "value.json"), "more": more, **settings}, (need,))


def sweep(value=1, more=10, **settings):
    """Two sums over one number, and a number that nothing needs."""
    return [number("one", value, **settings), add("sums/ten", "one", more), add("sums/twenty", "one", 20), number("alone", 7)]


def plan_of(points, tasks, versions=VERSIONS):
    return planned(points, tasks, versions)
