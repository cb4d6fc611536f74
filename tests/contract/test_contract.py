"""The conformance suite, for every backend and every wrapper; always on.

A new backend or wrapper is one more entry in `OPENERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backends.base import Backend
from backends.contract import CHECKS, Check, CheckOutcome, run_check, run_contract
from backends.registry import list_types, open_backend
from backends.wrap.retry import RetryingBackend
from tests.support.fault_backend import FaultBackend
from tests.support.memory_backend import MemoryBackend


def open_local(folder: Path) -> Backend:
    return open_backend("local", {"path": str(folder / "blobs")})


OPENERS: dict[str, Callable[[Path], Backend]] = {
    "local": open_local,
    "memory": lambda _folder: MemoryBackend(),
    "retrying-local": lambda folder: RetryingBackend(open_local(folder)),
    "faultless-local": lambda folder: FaultBackend(open_local(folder)),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS.keys())
def test_backend_keeps_the_promise(
    opener: Callable[[Path], Backend], check: Check, tmp_path: Path
) -> None:
    """Each check of the suite; a failure names the seed that repeats it."""
    result = run_check(opener(tmp_path), check)
    assert result.outcome is CheckOutcome.PASSED, result.detail


def test_every_built_in_type_is_held_to_the_contract() -> None:
    assert set(list_types()) <= set(OPENERS)


def test_suite_leaves_nothing_behind_and_touches_nothing(tmp_path: Path) -> None:
    """An operator runs it on a backend in use: what was there stays, and nothing is added."""
    backend = open_local(tmp_path)
    backend.put_bytes("in/use", b"before")
    told: list[str] = []
    results = run_contract(backend, seed=7, on_result=lambda result: told.append(result.id))
    assert [result.id for result in results] == told == [check.id for check in CHECKS]
    assert {result.outcome for result in results} == {CheckOutcome.PASSED}
    assert sorted(path.name for path in (tmp_path / "blobs").rglob("*")) == ["in", "use"]
    assert backend.get_bytes("in/use", size_bytes_max=100) == b"before"
