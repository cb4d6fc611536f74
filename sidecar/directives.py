"""Which files the engine will load, found before the engine runs: `dir`, `dbfilename`, the log's.

The engine alone reads directives for itself, from the same sources in the same order. The control
plane must know the data set's files earlier, to refuse a start that would lose something (I9); this
is the smallest reading that tells it.
"""

from __future__ import annotations

import glob
import shlex
from collections.abc import Iterator
from pathlib import Path

from sidecar.config import Loaded
from sidecar.data_set import DataSetFiles
from sidecar.errors import ConfigError
from sidecar.serve import ServeOptions

INCLUDE_DEPTH_MAX = 16  # as the engine has it


def find_data_set(loaded: Loaded, options: ServeOptions) -> DataSetFiles:
    """Return where the engine will look for its data set."""
    found = dict(_directives(loaded, options))
    folder = Path(found["dir"]).resolve() if "dir" in found else Path()
    log_name = found.get("appendfilename", "appendonly.aof")
    return DataSetFiles(
        rdb=folder / found.get("dbfilename", "dump.rdb"),
        log=folder / found.get("appenddirname", "appendonlydir") / f"{log_name}.manifest",
        old_log=folder / log_name,
        is_logging=found.get("appendonly", "no").lower() == "yes",
    )


def _directives(loaded: Loaded, options: ServeOptions) -> Iterator[tuple[str, str]]:
    """Yield name and first word of every directive, those of low precedence first."""
    for name, value in loaded.settings.redis.items():
        yield name.lower(), _first_word(value)
    if loaded.settings.server.redis_conf is not None:
        yield from _read_conf(loaded.settings.server.redis_conf)
    for name, value in loaded.redis_environment.items():
        yield name.lower(), _first_word(value)
    args = options.redis_args
    for position, word in enumerate(args[:-1]):
        if word.startswith("--"):
            yield word.removeprefix("--").lower(), args[position + 1]
    for name, value in options.directives().items():
        yield name, _first_word(value)


def _read_conf(path: Path) -> Iterator[tuple[str, str]]:
    """Yield what a redis.conf and those that it includes say; a relative `dir` follows the last."""
    directory = Path()
    for name, value in _read_lines(path, INCLUDE_DEPTH_MAX):
        if name == "dir":
            directory /= value
            yield name, str(directory)
        else:
            yield name, value


def _read_lines(path: Path, depth_left: int) -> Iterator[tuple[str, str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise ConfigError(
            f"cannot read {path}: {exc.strerror}", hint="Check the path given to --redis-conf."
        ) from exc
    for line in text.splitlines():
        name, *value = line.split(maxsplit=1) or [""]
        word = _first_word("".join(value))
        if name.lower() == "include" and depth_left > 0:
            for included in _included(word):
                yield from _read_lines(included, depth_left - 1)
        elif name and not name.startswith("#"):
            yield name.lower(), word


def _included(word: str) -> list[Path]:
    """Return the files that an `include` line names: one, or those that a pattern finds."""
    if not glob.has_magic(word):
        return [Path(word)]
    return [Path(found) for found in sorted(glob.glob(word))]  # noqa: PTH207  # may be absolute


def _first_word(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:  # the engine will say what is wrong with it
        words = text.split()
    return words[0] if words else ""
