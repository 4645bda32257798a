"""Whatever a file holds, it is taken or refused in one line that names it, and what is refused writes nothing."""

import importlib
import sys

from scripts import ROOT

from experiments.cli import one_line


def test_mutated_files_are_taken_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])  # the benchmarks are not installed
    found = importlib.import_module("benchmarks.fuzz_inputs").fuzz(150, 1, tmp_path)
    assert found["wrong"] == []
    assert found["taken"].keys() == found["refused"].keys() == {
        "requests", "records", "chats", "mapped", "manifest", "card", "replies",
    }  # fmt: skip


def test_no_file_steers_a_terminal():
    assert one_line("a\nb:  \x1b[2Jc \ufeff\u2028 é狐") == "a b: \\x1b[2Jc \\ufeff é狐"
