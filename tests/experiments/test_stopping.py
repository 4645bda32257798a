"""Signals: whatever a process is doing, it says how to go on and ends with 143 or 130; a training step is saved first."""

import signal
import subprocess
import sys

import pytest
from scripts import ROOT

BEGIN = "import time, sys\nfrom experiments.stopping import Saving, heed_signals, end\nheed_signals()\n"
SWALLOWED = (
    BEGIN
    + """
import ctypes

@ctypes.CFUNCTYPE(None)
def callback():
    print("here", flush=True)
    for _ in range(600):
        time.sleep(0.1)

while True:  # what a handler raises inside a callback is printed and forgotten
    callback()
"""
)
SAVED = (
    BEGIN
    + """
with Saving() as saving:
    print("here", flush=True)
    while not saving.asked():
        time.sleep(0.01)
    end("stopped after step 1, saved")
"""
)
ENDED = (
    BEGIN
    + """
with Saving() as saving:
    print("here", flush=True)
    while not saving.asked():
        time.sleep(0.01)
print("more", flush=True)
"""
)
STUCK = (
    BEGIN
    + """
with Saving():
    print("here", flush=True)
    time.sleep(600)
"""
)
UNFINISHED = (
    BEGIN
    + """
from remid_jax.disk import replacing
with replacing(sys.argv[1]) as whole:
    whole.write_text("half")
    print("here", flush=True)
    time.sleep(600)
"""
)
GO_ON = "run the same command again to go on from here\n"
NOTE = "saving after the step under way; once more ends at once\n"


def ended(code, *arguments, number=signal.SIGTERM, twice=False):
    """(status, what was said) of a process that gets a signal once it says that it is there."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "here\n"
    process.send_signal(number)
    said = ""
    if twice:
        said = process.stderr.readline()
        process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert out == ""
    return process.returncode, said + err


@pytest.mark.parametrize(("number", "status", "word"), [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")])
def test_a_signal_inside_a_librarys_callback_is_not_swallowed(number, status, word):
    assert ended(SWALLOWED, number=number) == (status, f"{word}: {GO_ON}")


def test_what_is_to_be_saved_is_saved_and_a_second_signal_ends_at_once():
    assert ended(SAVED) == (143, f"stopped: {NOTE}stopped after step 1, saved\n")
    assert ended(SAVED, number=signal.SIGINT) == (130, f"interrupted: {NOTE}stopped after step 1, saved\n")
    assert ended(ENDED) == (143, f"stopped: {NOTE}stopped: {GO_ON}")
    assert ended(STUCK, twice=True) == (143, f"stopped: {NOTE}stopped: {GO_ON}")


def test_no_half_of_a_file_is_left(tmp_path):
    (tmp_path / "out").write_text("whole")
    assert ended(UNFINISHED, str(tmp_path / "out"))[0] == 143
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_text() == "whole"


def test_a_script_heeds_signals_before_it_has_imported_anything(run):
    code = (
        "import os, signal, sys; sys.argv[0] = '-m'; import experiments;"
        "assert not {'jax', 'numpy', 'absl', 'rich'} & set(sys.modules); os.kill(os.getpid(), signal.SIGTERM);"
        "import time; time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (143, f"stopped: {GO_ON}")
