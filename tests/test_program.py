"""Results name our commit, and none of a repository that merely lies around the package."""

import subprocess

from remid_jax import program


def git(folder, *arguments):
    name = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(["git", *name, *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_commit_is_named_only_where_the_package_is_part_of_it(tmp_path, monkeypatch):
    (tmp_path / "installed").mkdir()
    (file := tmp_path / "installed" / "program.py").write_text("")
    monkeypatch.setattr(program, "__file__", str(file))
    git(tmp_path, "init")
    git(tmp_path, "commit", "--allow-empty", "-m", "theirs")
    assert program.git_revision() is None
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "ours")
    assert program.git_revision() == git(tmp_path, "rev-parse", "HEAD")
    monkeypatch.setenv("PATH", "")
    assert program.git_revision() is None
