"""What the verbs share that look at files without a server: `perdure rdb`, `perdure aof`.

The screen that the root command gives them, progress on a terminal, how an error of the engine is
told and with which exit code (docs/operations/exit-codes.md), sizes and instants as text.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import typer

EXIT_NOT_FOUND = 3
EXIT_CONFLICT = 4
EXIT_CORRUPT = 6
EXIT_CANCELLED = 8
# How a file that cannot be read is told to a script; the families of codes are corrupt data.
EXIT_BY_CODE: dict[str, int] = {
    "FILE_MISSING": EXIT_NOT_FOUND,
    "AOF_NOT_FOUND": EXIT_NOT_FOUND,
    "PERMISSION_DENIED": EXIT_CONFLICT,
    "FILE_EXISTS": EXIT_CONFLICT,
    "DISK_FULL": 7,
    "CANCELLED": EXIT_CANCELLED,
    "IO_ERROR": 9,
}
EXIT_UNEXPECTED = 1


class Screen(Protocol):
    """What the root command gives to its verbs; the client's `Session` is one."""

    @property
    def is_json(self) -> bool:
        """Whether stdout is for a program."""

    def print_json(self, document: Any) -> None:
        """Print one document."""

    def print_table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print rows under columns."""

    def print_fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Print `name  value` lines; empty values are left out."""

    def say(self, text: str) -> None:
        """Print a line, for a person only."""


def complain(message: str, hint: str) -> None:
    """Tell on stderr what is wrong, and what to do."""
    sys.stderr.write(f"Error: {message}\nTry: {hint}\n")


def exit_code(code: str) -> int:
    """Return the exit code for a code of the engine."""
    if code in EXIT_BY_CODE:
        return EXIT_BY_CODE[code]
    return EXIT_CORRUPT if code.startswith(("RDB_", "AOF_", "STATE_FILE_")) else EXIT_UNEXPECTED


@contextmanager
def told_errors(tell_damage: Callable[[dict[str, Any]], None] | None = None) -> Iterator[None]:
    """End the process, with what is wrong on stderr, when the engine refuses a file.

    `tell_damage` is given the error as a document first, when the file is there and damaged.
    """
    from sidecar._engine import EngineError  # noqa: PLC0415  # not for --help

    try:
        yield
    except EngineError as error:
        if tell_damage is not None and exit_code(error.code) == EXIT_CORRUPT:
            fields = ("code", "message", "hint", "context")
            tell_damage({name: getattr(error, name) for name in fields})
        complain(error.message, error.hint)
        raise typer.Exit(exit_code(error.code)) from None
    except KeyboardInterrupt:
        complain("interrupted", "run it again: nothing was changed")
        raise typer.Exit(EXIT_CANCELLED) from None


@contextmanager
def shown_progress(path: Path) -> Iterator[Callable[[int, int], object] | None]:
    """Give what shows progress on a terminal, if stderr is one; it is gone at the end."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # only here
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True))
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(path.name.replace("[", r"\["))
        yield lambda done, total: shown.update(task, completed=done, total=total)


def show_instant(unix_ms: int) -> str:
    """Return an instant in UTC to the second; one past the calendar's end as milliseconds."""
    try:
        return f"{datetime.fromtimestamp(unix_ms / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{unix_ms} ms"


def show_size(size_bytes: int) -> str:
    """Return a size as `1.5 GiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:  # noqa: PLR2004  # the step of all these units
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
