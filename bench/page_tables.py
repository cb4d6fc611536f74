"""Cells and tables of the page: how a figure is written, whatever it is of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.figures import RowFigures

MARK = "\\*"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, is_text: bool = False
) -> list[str]:
    """Write a table; the columns after the first are figures, to the right, unless told."""
    rule = ["---", *("---" if is_text else "---:" for _ in head[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def rate_cell(row: RowFigures, name: str, known: Mapping[str, float]) -> str:
    """Write a rate with the client's share, marked where the client was the limit."""
    text = row_cell(row, name, known, "{:,.0f}/s")
    share = row.client_share(name)
    if share is None:
        return text
    return f"{text}, {share:.0%}{MARK if row.is_client_bound(name) else ''}"


def row_cell(row: RowFigures, name: str, known: Mapping[str, float], form: str) -> str:
    """Write a figure of one server in a row, if it has one."""
    if name in row.unsupported:
        return "not supported"
    return form.format(known[name]) if name in known else ""


def number(value: float | None) -> str:
    """Write a ratio, if there is one."""
    return "" if value is None else f"{value:.2f}"
