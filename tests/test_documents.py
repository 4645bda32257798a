"""The Python of the documents runs, with a tiny random model for `path/or/hub-id`; their commands name what exists."""

from __future__ import annotations

import ast
import importlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_chat_model

import remid_jax
from remid_jax.models.saving import save_model
from remid_jax.settings import flat

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def blocks(page: str) -> list[tuple[int, str]]:
    """(line of the page, code) of each block of Python."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(text.count("\n", 0, found.start(1)), found[1]) for found in BLOCK.finditer(text)]


def run(page: str, model: Path) -> dict[str, Any]:
    """Runs a page's blocks one after the other, as a notebook does; an error names the page and its line."""
    names: dict[str, Any] = {}
    for line, code in blocks(page):
        tree = ast.increment_lineno(ast.parse(code.replace("path/or/hub-id", str(model))), line)
        exec(compile(tree, ROOT / page, "exec"), names)
    return names


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """What docs/python.md leaves behind: its folder, and the names it defines."""
    folder, before = tmp_path_factory.mktemp("notebook"), Path.cwd()
    model = tiny_chat_model()
    save_model(folder / "model", model.config, model.params, model.tokenizer)
    os.chdir(folder)
    try:
        return folder, run("docs/python.md", folder / "model")
    finally:
        os.chdir(before)


def test_golden_replies_lose_nothing_and_the_model_was_asked(notebook):
    _, names = notebook
    assert {category.r_emi.value for category in names["golden"].categories.values()} == {0.0}
    assert list(names["result"].categories) == ["IDTest", "german"]
    assert names["result"].categories["german"].records == 4
    assert names["result"].categories["german"].r_emi.value != 0


def test_what_is_saved_is_read_back(notebook):
    folder, names = notebook
    assert names["again"].results == names["result"].results
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page == (folder / "runs" / "mine" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"(src|href)=\"https?:", page)


def test_the_comparison_is_the_difference_of_the_two_results(notebook):
    _, names = notebook
    rows = {(row.name, row.quantity): row.value for row in names["comparison"].headline}
    for name, category in names["result"].categories.items():
        assert rows[name, "emi"] == pytest.approx(0 - category.r_emi.value, abs=1e-6)  # other rows of a batch


def test_estimates_of_the_scores_are_those_of_the_evaluation(notebook):
    _, names = notebook
    assert names["estimates"]["headline"] == names["result"].estimates["headline"]


def test_readme_names_what_exists():
    [(_, code)] = blocks("README.md")
    called = {node.attr for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Attribute)}
    assert called
    for name in called:
        assert hasattr(remid_jax, name) or hasattr(remid_jax.Evaluation, name), name


PAGES = ["README.md", "BUILD.md", "CONTRIBUTING.md", *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """The dotted names of all settings of all configs, and of their groups."""
    known = set()
    for file in (ROOT / "configs").rglob("*.py"):
        module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        if hasattr(config := importlib.import_module(module), "get_config"):
            for name in flat(config.get_config().to_dict()):
                words = name.split(".")
                known |= {".".join(words[:n]) for n in range(1, len(words) + 1)}
    return known


@pytest.mark.parametrize("page", PAGES)
def test_commands_name_scripts_configs_and_settings_that_exist(page, settings):
    text = (ROOT / page).read_text(encoding="utf-8")
    scripts = set(re.findall(r"\b((?:experiments|benchmarks)\.[a-z_]+)\b", text))
    assert [name for name in scripts if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []
    configs = set(re.findall(r"\bconfigs/[\w/]+\.py\b", text))
    assert [name for name in configs if not (ROOT / name).is_file()] == []
    named = {name.rstrip(".") for name in re.findall(r"\bconfig\.([a-z_]+(?:\.[a-z_]+)*)", text)}
    assert named - settings == set()
