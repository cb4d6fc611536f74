"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.processes import RedisServer, Sidecar

# No assertion on wall-clock time; in CI the same examples at each run, elsewhere new ones.
hypothesis.settings.register_profile(
    "perdure", deadline=None, derandomize="CI" in os.environ, print_blob=True
)
hypothesis.settings.load_profile("perdure")


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
