"""The page of exit codes says what the program does."""

import re
from pathlib import Path

import grpc
import pytest

from perdure.exit_codes import MEANINGS, ExitCode, exit_code_for

PAGE = Path(__file__).parents[3] / "docs" / "operations" / "exit-codes.md"
ROW = re.compile(r"^\| (\d+) \| (\w+) \| (.+) \|$", re.MULTILINE)


def test_page_lists_every_exit_code_with_its_meaning() -> None:
    """Read the table of the page and compare it with the enum, both ways."""
    rows = {int(number): (name, text) for number, name, text in ROW.findall(PAGE.read_text())}
    assert rows == {code.value: (code.name, MEANINGS[code]) for code in ExitCode}


@pytest.mark.parametrize("status", [code.name for code in grpc.StatusCode])
def test_no_failed_status_ends_with_success(status: str) -> None:
    """Only OK ends with 0, for calls and for operations, unknown statuses included."""
    is_ok = status == "OK"
    assert (exit_code_for(status) is ExitCode.OK) is is_ok
    assert (exit_code_for(status, of_operation=True) is ExitCode.OK) is is_ok


def test_operation_that_failed_otherwise_has_an_exit_code_of_its_own() -> None:
    """A script can tell a failed snapshot from a client that broke."""
    assert exit_code_for("INTERNAL", of_operation=True) is ExitCode.OPERATION_FAILED
    assert exit_code_for("INTERNAL") is ExitCode.UNEXPECTED
