"""Logs: one JSON document a line off a terminal, with the event in front and libraries included."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from sidecar.logs import set_up_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Give pytest its own handlers back."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_off_a_terminal_each_line_is_a_json_document() -> None:
    out = io.StringIO()
    set_up_logs(stream=out)
    structlog.get_logger("x").warning("disk_slow", seconds=2)
    logging.getLogger("asyncio").error("library says %s", "this")
    structlog.get_logger("x").debug("not shown")
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert list(first)[:3] == ["timestamp", "level", "event"]
    assert (first["event"], first["level"], first["seconds"]) == ("disk_slow", "warning", 2)
    assert second["event"] == "library says this"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("out", [io.StringIO(), _Terminal()])
def test_tracebacks_show_no_values_of_variables(out: io.StringIO) -> None:
    """They may be keys, values or passwords of whoever is served."""
    set_up_logs(stream=out)
    value = "of-a-customer"
    try:
        int(value.partition("-")[1])
    except ValueError:
        structlog.get_logger("x").exception("unexpected_failure")
    assert "ValueError" in out.getvalue()
    assert value not in out.getvalue()


def test_exceptions_are_part_of_the_document() -> None:
    out = io.StringIO()
    set_up_logs(stream=out)
    structlog.get_logger("x").error("unexpected_failure", exc_info=KeyError("lost"))
    (line,) = out.getvalue().splitlines()
    assert json.loads(line)["exception"][0]["exc_type"] == "KeyError"
