"""What every script shares: flags, configs, error lines, how a process ends, the compilation cache."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import os
import re
import sqlite3
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import jax
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from remid_jax import settings
from remid_jax.caches import cache_folder
from remid_jax.disk import writing, writing_error
from remid_jax.errors import Notice, UserError
from remid_jax.parallel import is_first_host
from remid_jax.progress import Reports, Shown, Silent

from . import hosts, stopping

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "A file of configs/, by default the one of the script's name; its docstring says what it does."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where results and the store go; by default the config's own `workdir`.")
_COORDINATOR = flags.DEFINE_string("coordinator", None, 'Several hosts: HOST:PORT of the first, or "auto" on a TPU pod.')
_HOSTS = flags.DEFINE_integer("hosts", 1, "Several hosts: how many.", lower_bound=1)
_HOST = flags.DEFINE_integer("host", 0, "Several hosts: which one this is, from 0.", lower_bound=0)
_DEBUG = flags.DEFINE_bool("debug", False, "Show the traceback of an error.")

CONFIGS = Path(__file__).parents[1] / "configs"
NETWORK = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "huggingface_hub")


def run(main: Callable[[ConfigDict, Path], None]) -> None:
    """Runs `main(config, workdir)`; an error meant for people becomes one line on stderr and exit status 2."""
    _start(lambda argv: main(*_settings(argv)))


def run_on_arguments(main: Callable[[list[str]], None]) -> None:
    """Runs `main(arguments)` of a script without a config, with whatever is not a flag; errors are told as by `run`."""
    _start(lambda argv: main(_arguments(argv)))


def _start(main: Callable[[list[str]], None]) -> None:
    gc.freeze()  # what is imported stays, so it need not be searched for garbage again and again
    gc.set_threshold(10_000)  # and JAX clears up after each search
    stopping.heed_signals()
    for name in ("stdout", "stderr"):  # None where the shell has closed it
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # open until the process ends
    sys.excepthook = _show_error
    threading.excepthook = lambda of: _show_error(of.exc_type, of.exc_value or of.exc_type(), of.exc_traceback)
    sys.unraisablehook = lambda of: _show_error(of.exc_type, of.exc_value or of.exc_type(), of.exc_traceback)
    app.run(lambda argv: _guarded(main, argv), flags_parser=_parse)


def _show_error(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Orbax leaves a save that fails before its writers are done; each of those then finds no one to tell, and says so here."""
    if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
        sys.__excepthook__(kind, error, trace)


def _parse(argv: list[str]) -> list[str]:
    own = CONFIGS / f"{_script(argv[0])}.py"
    if own.is_file() and not any(re.match("--?config(=|$)", argument) for argument in argv):
        argv = [argv[0], f"--config={own}", *argv[1:]]
    argv = [_shipped(argument) for argument in argv]
    # Configs begin from one another by this name, wherever they are installed.
    sys.modules.setdefault("configs", importlib.import_module(f"{__package__.rpartition('.')[0]}.configs".lstrip(".")))
    try:
        return flags.FLAGS(argv)
    except Exception as error:  # a config is a program: whatever is wrong in it surfaces here
        if "--debug" in argv:
            raise
        if faults := settings.override_faults(_as_in_the_file(argv), argv[1:]):
            _fail("; ".join(faults))
        _fail(_of_config(error))


def _script(program: str) -> str:
    """The script's name in `python -m experiments.NAME`, and of the installed command remid-NAME."""
    return Path(program).stem.removeprefix("remid-").replace("-", "_")


def _shipped(argument: str) -> str:
    """A --config that is no file here, but one of ours by its name, is ours."""
    named = re.fullmatch(r"(--?config=)([^:]+)(.*)", argument, re.DOTALL)
    if named is None or Path(named[2]).exists():
        return argument
    parts = Path(named[2]).parts
    ours = [path for n in range(len(parts)) if (path := CONFIGS.joinpath(*parts[n:])).is_file()]
    return f"{named[1]}{ours[0]}{named[3]}" if ours else argument


def _as_in_the_file(argv: list[str]) -> ConfigDict:
    """The config without the settings of the command line; an empty one if it cannot be loaded."""
    plain = [argv[0], *(argument for argument in argv[1:] if re.match("--?config=", argument))]
    alone, before = flags.FlagValues(), sys.argv
    holder = config_flags.DEFINE_config_file("config", None, "", flag_values=alone)
    sys.argv = plain  # ml_collections looks there for settings, whatever it is given
    try:
        alone(plain)
        return _loaded(holder.value)
    except Exception:  # which _of_config tells
        return ConfigDict()
    finally:
        sys.argv = before


def _of_config(error: BaseException) -> str:
    """Why a config cannot be loaded; ml_collections hides it behind its own error."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = str(error).splitlines()[-1].strip() if str(error) else repr(error)
    if isinstance(error, flags.Error):
        return said
    return f"--config: cannot be loaded ({type(error).__name__}: {said}): name a file of configs/, or mend yours"


def _settings(argv: list[str]) -> tuple[ConfigDict, Path]:
    """The config and the workdir that the flags name."""
    if len(argv) > 1:
        raise UserError(f"unknown argument {argv[1]!r}: settings are given as --config.NAME=VALUE")
    if _CONFIG.value is None:
        raise UserError("no --config given: name a file of configs/, for example --config=configs/quickstart.py")
    config = _loaded(_CONFIG.value)
    settings.check_settings(config)
    hosts.join(_COORDINATOR.value, _HOSTS.value, _HOST.value, config)
    return config, _workdir(config)


def _arguments(argv: list[str]) -> list[str]:
    """What stands on the command line beside flags; those of scripts with a config would be without effect."""
    for flag in (_CONFIG, _WORKDIR, _COORDINATOR, _HOSTS, _HOST):
        if flag.present:
            raise UserError(f"--{flag.name}: {_script(argv[0])} takes no such flag: leave it out")
    return argv[1:]


def _guarded(main: Callable[[list[str]], None], argv: list[str]) -> None:
    # What a library logs as an error it raises, too: people get one line of it. Compilations are logged to whoever asks JAX.
    quiet = logging.WARNING if os.environ.get("JAX_LOG_COMPILES") else logging.FATAL
    logging.set_verbosity(logging.INFO if _DEBUG.value else quiet)
    warnings.showwarning = functools.partial(_show_warning, warnings.showwarning)
    try:
        main(argv)
        with writing("standard output"):
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read has enough
        _let_go(sys.stdout)
        sys.exit(141)
    except Exception as error:
        if isinstance(error.__cause__, BrokenPipeError):
            _let_go(sys.stdout)
            sys.exit(141)
        said = str(error) if isinstance(error, UserError) else _last_net(error)
        if said is None or _DEBUG.value:
            raise
        _fail(said)


def _last_net(error: Exception) -> str | None:
    """One line for what the machine or the network did to a library; None for what is a fault of ours."""
    first = (str(error).splitlines() or [""])[0].strip()
    raised_in = [frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)][-1]
    if isinstance(error, (AttributeError, KeyError)) and "ml_collections" in raised_in:
        return f"--config: has no setting {first.strip(chr(34))}: name a config of this script, see configs/"
    if type(error).__module__.partition(".")[0] in NETWORK or isinstance(error, (ConnectionError, TimeoutError)):
        return f"the connection failed ({type(error).__name__}: {first}): run the same command again"
    if isinstance(error, (OSError, sqlite3.Error)) or writing_error(error):
        told = writing_error(error)
        if isinstance(error, OSError) and error.filename and told and "the disk is full" not in str(told):
            return f"{error.filename}: {error.strerror}: check the path and its permissions"
        return str(told) if told else f"{type(error).__name__}: {first}: run the same command again, with --debug for more"
    return None


def _loaded(config: ConfigDict) -> ConfigDict:
    try:
        config.keys()
    except OSError as error:  # ml_collections reports a file that it could not load at the first look into it
        raise UserError(_of_config(error)) from error
    if not isinstance(config, ConfigDict):
        raise UserError("--config: cannot be loaded (get_config returns no ConfigDict): name a file of configs/, or mend yours")
    return config


def _workdir(config: ConfigDict) -> Path:
    workdir = expanded(_WORKDIR.value or config.get("workdir") or ".")
    try:
        workdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--workdir={workdir}: cannot be created ({error.strerror}): name a folder you may write to") from error
    if not os.access(workdir, os.W_OK):
        raise UserError(f"--workdir={workdir}: not writable: name a folder you may write to")
    return workdir


def expanded(path: str) -> Path:
    """The path, with `~` in its place where there is a home."""
    with contextlib.suppress(RuntimeError):
        return Path(path).expanduser()
    return Path(path)


def progress() -> Reports:
    """Returns where a script shows how far it is; of several hosts only the first does."""
    return Shown() if is_first_host() else Silent()


def use_compilation_cache() -> None:
    """Compiled programs are kept in `cache_folder("xla")`, so a second run starts at once; JAX's own variables go before."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR") and (folder := cache_folder("xla")) is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
    if not os.environ.get("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


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
    with contextlib.suppress(OSError):
        print(f"error: {one_line(message)}", file=sys.stderr, flush=True)
    _let_go(sys.stdout)
    sys.exit(2)


def one_line(message: str) -> str:
    """The message without line breaks; what a file holds may not steer a terminal, so its control characters are spelt out."""
    spelt = (
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in " ".join(message.split())
    )
    return "".join(spelt)


def _let_go(stream: Any) -> None:
    """What cannot be written any more is not tried again when the interpreter ends."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
