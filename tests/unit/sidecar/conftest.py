"""Fixtures of the control plane's unit tests: a bench on a temporary folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.control_bench import ControlBench


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ControlBench]:
    """Give a running control plane without due schedules."""
    bench = ControlBench(tmp_path)
    await bench.boot()
    bench.engine.data = {"a": "1", "b": "2"}
    yield bench
    await bench.stop()
