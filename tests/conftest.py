"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import RedisServer, Sidecar


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    """Run a real redis-server for one test."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """Run a sidecar with its embedded default for one test."""
    with Sidecar(tmp_path / "sidecar") as server:
        yield server
