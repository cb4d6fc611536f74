"""The examples in the clients' docstrings run, in the order of the files, against a real server."""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure import client, clone_verbs, data_client, data_verbs, tasks
from perdure.client import Client
from perdure.data_client import DataClient
from perdure.data_values import Durability
from perdure.data_verbs import ExpireWhen, When
from tests.support.processes import Sidecar


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Sidecar]:
    """Serve an empty data set with a log."""
    with Sidecar(tmp_path) as running:
        yield running


def _run_examples(module: ModuleType, names: dict[str, Any]) -> int:
    """Run a module's examples as one story, in the order of its lines; count them."""
    found = doctest.DocTestFinder(exclude_empty=True).find(module, extraglobs=names)
    tests = sorted((test for test in found if test.examples), key=lambda test: test.lineno or 0)
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF | doctest.ELLIPSIS)
    story: dict[str, Any] = dict(names)
    said: list[str] = []
    for test in tests:
        test.globs = story
        runner.run(test, out=said.append, clear_globs=False)
    assert not runner.failures, "".join(said)
    return runner.tries


def test_examples_of_the_data_client_run(sidecar: Sidecar) -> None:
    target = f"127.0.0.1:{sidecar.ports['data']}"
    with DataClient(target) as connected:
        names = {
            "client": connected,
            "data_target": target,
            "DataClient": DataClient,
            "Durability": Durability,
            "ExpireWhen": ExpireWhen,
            "When": When,
        }
        assert _run_examples(data_verbs, names) >= 20
        connected.execute("FLUSHALL")
        assert _run_examples(data_client, names) >= 3


def test_examples_of_the_control_client_run(sidecar: Sidecar) -> None:
    names = {"control_target": sidecar.target, "Client": Client}
    assert _run_examples(client, names) >= 1
    with sidecar.client() as redis_client:
        redis_client.set("k", "v")
    with Client(sidecar.target) as connected:
        assert _run_examples(tasks, {"client": connected}) >= 4
        assert _run_examples(clone_verbs, {"client": connected, "timedelta": timedelta}) >= 5
