"""Ending processes by mark: the one that is meant, never one that has its pid by now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from sidecar.clone_record import ProcessMark
from sidecar.process_marks import end_process, is_running, mark_of

LONG = 60.0
STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
sys.stdout.write("ready\\n")
sys.stdout.flush()
signal.pause()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Give a process that ignores SIGTERM."""
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(30)
    process.stdout.close()


def marked(process: subprocess.Popen[bytes]) -> ProcessMark:
    mark = mark_of(process.pid)
    assert mark is not None
    return mark


async def test_a_process_that_ignores_sigterm_is_ended_when_patience_is_over(
    child: subprocess.Popen[bytes],
) -> None:
    mark = marked(child)
    assert is_running(mark)
    assert await end_process(mark, 0.2, LONG)
    assert not is_running(mark), "a process that nobody has reaped yet does not run either"
    assert child.wait(30) == -9
    assert await end_process(mark, 0.2, LONG), "it is gone: that is a success"


@pytest.mark.parametrize("field", ["started_ticks", "boot_id"])
async def test_another_process_with_the_pid_is_left_alone(
    child: subprocess.Popen[bytes], field: str
) -> None:
    mark = marked(child)
    other = {"started_ticks": mark.started_ticks - 1, "boot_id": "another start of the machine"}
    stale = replace(mark, **{field: other[field]})  # type: ignore[arg-type]  # by name
    assert not is_running(stale)
    assert await end_process(stale, 0, LONG)
    assert child.poll() is None
