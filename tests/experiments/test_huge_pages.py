import os
import platform
import subprocess
import sys

import pytest

from experiments.huge_pages import MODES, TUNABLE, VARIABLE, asking

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
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
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
