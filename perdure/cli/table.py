"""Plain tables for people: columns as wide as their widest cell, nothing ever cut off or folded.

An id must survive being copied, so a line that is too long for the terminal is the terminal's to
wrap. Control characters are shown, never sent: some cells come from files and from other servers.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.cells import cell_len

_GAP = "  "
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def write_table(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a head and the rows under it."""
    lines = _lay_out([columns, *rows])
    if is_styled(out):
        lines[0] = f"{_BOLD}{lines[0]}{_PLAIN}"
    _write(out, lines)


def write_fields(out: TextIO, fields: Iterable[tuple[str, str]]) -> None:
    """Write `name  value` lines; empty values are left out."""
    _write(out, _lay_out([(name, value) for name, value in fields if value]))


def is_styled(stream: TextIO) -> bool:
    """Return whether the stream wants more than text: a terminal, and NO_COLOR is not set."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not is_plain


def _write(out: TextIO, lines: Sequence[str]) -> None:
    out.write("".join(f"{line}\n" for line in lines))
    out.flush()


def _lay_out(rows: Sequence[Sequence[str]]) -> list[str]:
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*shown, strict=True)]
    return [_GAP.join(map(_pad, row, widths)).rstrip() for row in shown]


def _pad(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def printable(text: str) -> str:
    """Return the text with its control characters shown."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
