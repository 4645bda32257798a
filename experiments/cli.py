"""What every script shares: flags, configs, error lines, the compilation cache."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from remid_jax.caches import cache_folder
from remid_jax.errors import Notice, UserError

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A file of configs/, by default the one of the script's name; its docstring says what it does."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results and the store go; by default the config's own `workdir`.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, 'Several hosts: HOST:PORT of the first, or "auto" on a TPU pod.')
_HOSTS = flags.DEFINE_integer("hosts", 1, "Several hosts: how many.", lower_bound=1)
_HOST = flags.DEFINE_integer("host", 0, "Several hosts: which one this is, from 0.", lower_bound=0)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")


def run(main: Callable[[ConfigDict, Path], None]) -> None:
    """Runs `main(config, workdir)`; an error meant for people becomes one line on stderr and exit status 2."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)
    except KeyboardInterrupt:
        sys.exit("interrupted: run the same command again to go on from here")


def _terminate(number: int, frame: object) -> NoReturn:
    print("stopped: run the same command again to go on from here", file=sys.stderr)
    sys.exit(0)


def _parse(argv: list[str]) -> list[str]:
    own = Path(__file__).parents[1] / "configs" / Path(argv[0]).name
    if own.is_file() and not any(re.match("--?config(=|$)", argument) for argument in argv):
        argv = [argv[0], f"--config={own}", *argv[1:]]
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # a config is a program: whatever is wrong in it surfaces here
        if "--debug" in argv:
            raise
        _fail(f"{error or repr(error)}")


def _guarded(main: Callable[[ConfigDict, Path], None], argv: list[str]) -> None:
    logging.set_verbosity(logging.WARNING)
    warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
    try:
        if len(argv) > 1:
            raise UserError(f"unknown argument {argv[1]!r}: settings are given as --config.NAME=VALUE")
        if _CONFIG.value is None:
            raise UserError("no --config given: name a file of configs/, for example --config=configs/quickstart.py")
        config = _loaded(_CONFIG.value)
        _join_hosts()
        main(config, _workdir(config))
    except UserError as error:
        if _DEBUG.value:
            raise
        _fail(str(error))


def _loaded(config: ConfigDict) -> ConfigDict:
    try:
        config.keys()
    except OSError as error:  # ml_collections reports a file that it could not load at the first look into it
        cause = str(error.__cause__ or error).splitlines()[-1].strip()
        raise UserError(f"--config: cannot be loaded: {cause}") from error
    return config


def _join_hosts() -> None:
    if _COORDINATOR.value is None and _HOSTS.value > 1:
        raise UserError("--hosts needs --coordinator=HOST:PORT, the same on every host")
    if _COORDINATOR.value == "auto":
        jax.distributed.initialize()
    elif _COORDINATOR.value is not None:
        jax.distributed.initialize(_COORDINATOR.value, _HOSTS.value, _HOST.value)


def _workdir(config: ConfigDict) -> Path:
    workdir = Path(_WORKDIR.value or config.get("workdir") or ".").expanduser()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be created ({error.strerror}): name a folder you may write to") from error
    if not os.access(workdir, os.W_OK):
        raise UserError(f"--workdir={workdir}: not writable: name a folder you may write to")
    return workdir


def use_compilation_cache() -> None:
    """Compiled programs are kept in `cache_folder("xla")` (or $JAX_COMPILATION_CACHE_DIR), so a second run starts at once."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR") and (folder := cache_folder("xla")) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM has come, which inside does not end the process: there is something to save first."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def changed(config: ConfigDict, values: Mapping[str, Any]) -> ConfigDict:
    """A copy with other values, by dotted names."""
    copy = ConfigDict(config.to_dict())
    with copy.unlocked():
        copy.update_from_flattened_dict(dict(values))
    return copy


def _show_warning(otherwise: Callable[..., None], message: Warning | str, category: type[Warning], *place: Any) -> None:
    if issubclass(category, Notice):
        print(f"note: {message}", file=sys.stderr)
    else:
        otherwise(message, category, *place)


def _fail(message: str) -> NoReturn:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
