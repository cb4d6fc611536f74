"""Which file the engine will load, found before the engine runs: `dir` and `dbfilename`.

The engine alone reads directives for itself, from the same sources in the same order. The control
plane must know the data set's file earlier, to refuse a start that would lose something (I9); this
is the smallest reading that tells it. Limit: `include` in redis.conf is not followed here.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from sidecar.config import Loaded
from sidecar.errors import ConfigError
from sidecar.serve import ServeOptions


def find_rdb(loaded: Loaded, options: ServeOptions) -> str:
    """Return the path of the data set's file: absolute, or relative to the data dir."""
    found = {"dbfilename": "dump.rdb"}
    found.update(pair for pair in _directives(loaded, options) if pair[0] in {"dir", "dbfilename"})
    if "dir" not in found:
        return found["dbfilename"]
    return str(Path(found["dir"]).resolve() / found["dbfilename"])


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
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as exc:
        raise ConfigError(
            f"cannot read {path}: {exc.strerror}", hint="Check the path given to --redis-conf."
        ) from exc
    for line in text.splitlines():
        name, *value = line.split(maxsplit=1) or [""]
        if name and not name.startswith("#"):
            yield name.lower(), _first_word("".join(value))


def _first_word(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:  # the engine will say what is wrong with it
        words = text.split()
    return words[0] if words else ""
