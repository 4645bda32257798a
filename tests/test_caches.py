"""A place for caches on any machine: homes that are not there, not ours, or not writable."""

import os
import pwd
import tempfile

import pytest

from remid_jax import caches
from remid_jax.caches import cache_folder


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary" / f"remid_jax-{os.getuid()}"


def test_the_home_has_it_unless_the_environment_names_another(tmp_path, monkeypatch, temporary):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder("xla") == tmp_path / "home" / ".cache" / "remid_jax" / "xla"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    assert cache_folder("xla") == tmp_path / "other" / "remid_jax" / "xla"
    assert cache_folder("xla").is_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder("xla") == tmp_path / "home" / ".cache" / "remid_jax" / "xla"


def nobody(uid):
    raise KeyError(uid)


def test_without_a_home_it_is_the_users_own_among_temporary_files(monkeypatch, temporary):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert cache_folder("digests") == temporary / "digests"
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_a_home_that_takes_no_files_is_as_none(tmp_path, monkeypatch, temporary):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    assert cache_folder("digests") == temporary / "digests"


def test_a_folder_that_someone_else_may_have_filled_is_not_used(tmp_path, monkeypatch, temporary):
    monkeypatch.setenv("HOME", "nowhere")
    (tmp_path / "theirs").mkdir()
    temporary.symlink_to(tmp_path / "theirs")
    assert cache_folder("xla") is None
    temporary.unlink()
    temporary.mkdir()
    other = os.getuid() + 1
    temporary.rename(temporary.with_name(f"remid_jax-{other}"))
    monkeypatch.setattr(caches.os, "getuid", lambda: other)
    assert cache_folder("xla") is None


def test_where_nothing_can_be_written_there_is_none(tmp_path, monkeypatch, temporary):
    monkeypatch.setenv("HOME", "nowhere")
    monkeypatch.setattr(caches.os, "access", lambda *_: False)
    assert cache_folder("xla") is None

    def no_temporary_folder():
        raise FileNotFoundError

    monkeypatch.setattr(tempfile, "gettempdir", no_temporary_folder)
    assert cache_folder("xla") is None
