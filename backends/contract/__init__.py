"""The conformance suite: the contract of `base.py` as checks, for pytest and for operators.

    results = run_contract(backend)      # what `perdure backend check` shows

Every check works below `perdure-check-<random>/` and what it stored is removed afterwards, whatever
came of it. Adding a promise to the contract? Add its check to `writing.py` or `reading.py`, and a
backend that breaks it to `tests/contract`.
"""

from __future__ import annotations

import enum
import random
import secrets
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from backends.contract import reading, writing
from backends.contract.bench import Bench, BrokenPromiseError, Check
from backends.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.base import Backend

__all__ = ["CHECKS", "Check", "CheckOutcome", "CheckResult", "run_check", "run_contract"]

CHECKS: Final = (*writing.CHECKS, *reading.CHECKS)


class CheckOutcome(enum.Enum):
    """What came of one check."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One line of the report.

    Attributes:
        id: The check's stable name.
        outcome: What came out.
        detail: What is wrong, or what is missing; empty when it passed.
        duration_seconds: How long it took, the cleaning included.
    """

    id: str
    outcome: CheckOutcome
    detail: str = ""
    duration_seconds: float = 0.0


def run_contract(
    backend: Backend,
    *,
    seed: int | None = None,
    on_result: Callable[[CheckResult], None] | None = None,
) -> list[CheckResult]:
    """Run every check, one after another, and return all results. Blocks, often for seconds.

    Args:
        backend: What to check; may be in use.
        seed: Where the checks' chance comes from; chosen when None, and named in each failure.
        on_result: Is told of each result as it comes; what it raises ends the run.
    """
    results = []
    for check in CHECKS:
        result = run_check(backend, check, seed=seed)
        results.append(result)
        if on_result:
            on_result(result)
    return results


def run_check(backend: Backend, check: Check, *, seed: int | None = None) -> CheckResult:
    """Run one check, and remove what it stored. Blocks."""
    if check.needs is not None and check.needs not in backend.capabilities:
        detail = f"the backend does not claim {check.needs.value}"
        return CheckResult(check.id, CheckOutcome.SKIPPED, detail)
    seed = secrets.randbits(32) if seed is None else seed
    began_seconds = time.perf_counter()
    detail = ""
    with tempfile.TemporaryDirectory(prefix="perdure-check-") as folder:
        prefix = f"perdure-check-{secrets.token_hex(8)}/"
        bench = Bench(backend, prefix, Path(folder), random.Random(seed))  # noqa: S311 - not a secret
        try:
            check.run(bench)
        except BrokenPromiseError as exc:
            detail = f"{exc} (seed {seed})"
        except BackendError as exc:
            detail = f"{exc.code}: {exc} (seed {seed})"
        except Exception as exc:  # noqa: BLE001 - a stranger's backend: whatever it raises is a finding
            detail = f"raised {type(exc).__name__}, not a BackendError: {exc} (seed {seed})"
        trouble = _clean(bench)
        detail = detail or trouble
    outcome = CheckOutcome.FAILED if detail else CheckOutcome.PASSED
    return CheckResult(check.id, outcome, detail, time.perf_counter() - began_seconds)


def _clean(bench: Bench) -> str:
    """Remove what the check stored; return what went wrong with that."""
    try:
        for blob in list(bench.backend.list_blobs(bench.prefix)):
            bench.backend.delete(blob.key)
        left = bench.list()
    except BackendError as exc:
        return f"cannot clean up below {bench.prefix}: {exc.code}: {exc}"
    return f"left behind below {bench.prefix}: {left}" if left else ""
