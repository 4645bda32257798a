"""Which program this is, for results that tell what made them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import remid_jax


def described() -> dict[str, str | None]:
    """Returns {"version", "git_revision"}, as they are now: a run may outlast a commit."""
    return {"version": remid_jax.__version__, "git_revision": git_revision()}


def git_revision() -> str | None:
    """Returns the commit of the working tree this runs from, if it is one: not of another, in which it is installed."""
    try:
        return (_git("rev-parse", "HEAD") or None) if _git("ls-files", Path(__file__).name) else None
    except OSError:  # there is no git
        return None


def _git(*arguments: str) -> str:
    """What git says of the package's folder; nothing of what it does not know."""
    command = ["git", *arguments]
    return subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False).stdout.strip()
