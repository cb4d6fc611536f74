"""Tables for people: an id is never cut off, and no cell can drive the terminal."""

from __future__ import annotations

import io

import pytest

from perdure.cli.table import write_fields, write_table

ID = "20261122t171655z-every-12h-e0753085"


class Terminal(io.StringIO):
    """Says that it is a terminal, and a narrow one."""

    def isatty(self) -> bool:
        return True


def test_long_cells_are_whole_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever copies an id from the list must get all of it."""
    monkeypatch.setenv("COLUMNS", "20")
    out = Terminal()
    write_table(out, ("ID", "STATE"), [(ID, "available"), ("b", "")])
    lines = out.getvalue().splitlines()
    assert lines[1] == f"{ID}  available"
    assert lines[2] == "b"  # and no spaces behind the last cell


def test_head_is_bold_on_a_terminal_only_and_not_under_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is piped is text."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for out, is_bold in ((Terminal(), True), (io.StringIO(), False)):
        write_table(out, ("ID",), [])
        assert ("\x1b[" in out.getvalue()) is is_bold
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    write_table(out, ("ID",), [])
    assert out.getvalue() == "ID\n"


def test_columns_hold_with_wide_characters_and_control_characters_are_shown() -> None:
    """A location may be any path; markup in it is text."""
    out = io.StringIO()
    write_fields(out, [("a", "[red]x\x1b[2J\n"), ("empty", ""), ("名", "y")])
    assert out.getvalue() == "a   [red]x\\x1b[2J\\n\n名  y\n"
