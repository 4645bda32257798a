"""The rooms import one another as CONTRIBUTING.md says: arrows run down only, and rooms of arrays see no model and no file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "remid_jax"
ROOMS = sorted(folder.name for folder in PACKAGE.iterdir() if (folder / "__init__.py").is_file())
OF_ARRAYS = ("information", "shifts", "theory")
LONGEST = 400  # lines of a file


def imported(file: Path) -> Iterator[str]:
    """The modules of this package that a file imports, wherever in it, but for those that only type checkers see."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unseen = {
        id(node)
        for guard in ast.walk(tree)
        if isinstance(guard, ast.If) and "TYPE_CHECKING" in ast.unparse(guard.test)
        for node in ast.walk(guard)
    }
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("remid_jax"))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "remid_jax":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parts(folder: str) -> set[str]:
    """What the files of a room import: the second word of `remid_jax.WORD...`, without the room itself."""
    names = {name.split(".")[1] for file in (PACKAGE / folder).rglob("*.py") for name in imported(file) if "." in name}
    return names - {folder}


def allowed() -> dict[str, set[str]]:
    """{room: rooms it may import} of the table in CONTRIBUTING.md, in its order."""
    rows = re.findall(r"^\| `remid_jax/(\w+)/` \|.*\| ([^|]*) \|$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
    return {room: set(re.findall(r"`(\w+)`", cell)) for room, cell in rows}


def test_the_table_names_every_room_and_runs_down():
    table = allowed()
    assert sorted(table) == ROOMS
    order = list(table)
    for room, below in table.items():
        assert below <= set(order[order.index(room) + 1 :]), room
    TopologicalSorter(table).prepare()  # raises CycleError on a circle


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_the_table_allows(room):
    assert {name for name in parts(room) if name in ROOMS} <= allowed()[room]


@pytest.mark.parametrize("room", OF_ARRAYS)
def test_rooms_of_arrays_see_no_model_and_no_file(room):
    assert parts(room) <= {"errors", "parallel", *OF_ARRAYS}


def test_no_two_modules_import_each_other_in_a_circle():
    files = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in PACKAGE.rglob("*.py")}
    known = {name.removesuffix(".__init__"): name for name in files}
    graph = {
        name: {known[found] for module in imported(file) for found in (module, module.rpartition(".")[0]) if found in known}
        - {name, "remid_jax.__init__"}
        for name, file in files.items()
    }
    TopologicalSorter(graph).prepare()


def test_no_file_is_longer_than_400_lines():
    files = [file for folder in ("remid_jax", "experiments", "configs") for file in (ROOT / folder).rglob("*.py")]
    assert [
        (file.name, lines) for file in files if (lines := len(file.read_text(encoding="utf-8").splitlines())) > LONGEST
    ] == []
