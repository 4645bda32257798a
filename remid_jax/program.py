"""Which program this is, for results that tell what made them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import remid_jax


def described() -> dict[str, str | None]:
    """Returns {"version", "git_revision"}, as they are now: a run may outlast a commit."""
    return {"version": remid_jax.__version__, "git_revision": git_revision()}


def git_revision() -> str | None:
    """Returns the commit of the working tree this runs from, if it is one."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        asked = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    except OSError:  # there is no git
        return None
    return asked.stdout.strip() or None
