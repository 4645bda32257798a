import os
import platform
import subprocess
import sys

import pytest

from experiments import huge_pages
from experiments.huge_pages import ASKED, MODES, TUNABLE, VARIABLE, asking

MADVISE = "always [madvise] never\n"


@pytest.mark.parametrize(
    ("modes", "tunables", "asked"),
    [
        (MADVISE, None, "glibc.malloc.hugetlb=1"),
        (MADVISE, "", "glibc.malloc.hugetlb=1"),
        (MADVISE, "glibc.malloc.check=3", "glibc.malloc.check=3:glibc.malloc.hugetlb=1"),
        (MADVISE, "glibc.malloc.hugetlb=0", None),
        (MADVISE, "glibc.malloc.hugetlb=1", None),
        ("[always] madvise never\n", None, None),
        ("always madvise [never]\n", None, None),
    ],
)
def test_asks_where_the_system_waits_to_be_asked_and_nobody_has_decided(modes: str, tunables: str | None, asked: str | None):
    assert asking(modes, {} if tunables is None else {VARIABLE: tunables}) == asked


def test_a_script_starts_anew_in_its_own_place_and_its_memory_comes_in_huge_pages():
    code = (
        "import os, re, sys; sys.argv[0] = '-m'; import experiments; block = bytearray(64 << 20);"
        "mapped = open('/proc/self/smaps_rollup').read();"
        "print(os.getpid(), sys.argv[1:], re.search(r'AnonHugePages: *(\\d+)', mapped)[1])"
    )
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, ASKED)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--flag=a b", "c"], env=environment, stdout=subprocess.PIPE, text=True
    )
    said, _ = process.communicate(timeout=60)
    own, *arguments, huge = said.split(" ")
    assert process.returncode == 0
    assert int(own) == process.pid
    assert " ".join(arguments) == "['--flag=a b', 'c']"
    to_be_had = platform.libc_ver()[0] == "glibc" and MODES.is_file() and "[never]" not in MODES.read_text()
    assert (int(huge) >= 60 << 10) == to_be_had  # KiB


def test_a_decision_in_the_environment_stands():
    code = f"import os, sys; sys.argv[0] = '-m'; import experiments; print(os.environ['{VARIABLE}'])"
    environment = os.environ | {VARIABLE: f"{TUNABLE}=0"}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout == f"{TUNABLE}=0\n"


def test_a_start_that_loses_its_tunables_goes_on_without_them(tmp_path):
    """As of a Python with capabilities of its own, for which glibc takes them away, or within a script that does."""
    wrapper, starts = tmp_path / "python", tmp_path / "starts"
    wrapper.write_text(
        f"#!/bin/bash\nunset {VARIABLE}\necho >> '{starts}'\n[ $(wc -l < '{starts}') -lt 9 ] && "
        f'exec -a "$0" \'{sys.executable}\' "$@"\n'
    )
    wrapper.chmod(0o755)
    code = "import sys; sys.argv[0] = '-m'; import experiments; print('on')"
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, ASKED)}
    ran = subprocess.run([str(wrapper), "-c", code], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "on\n")
    assert len(starts.read_text()) <= 2


def test_a_system_that_does_not_let_us_look_is_not_asked(monkeypatch):
    class Closed:
        def read_text(self):
            raise PermissionError

        is_file = read_text

    monkeypatch.setattr(huge_pages, "MODES", Closed())
    huge_pages.start_with_huge_pages()


def test_a_start_that_fails_leaves_the_process_as_it_is(monkeypatch, tmp_path):
    (tmp_path / "enabled").write_text(MADVISE)
    for name in (VARIABLE, ASKED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huge_pages, "MODES", tmp_path / "enabled")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "gone"))
    huge_pages.start_with_huge_pages()
    assert VARIABLE not in os.environ
