"""The conformance suite, for every backend and every wrapper; always on.

A new backend or wrapper is one more entry in `OPENERS`. `s3` runs on two servers: versitygw, a real
store with conditional create, and moto as a store that is not known to have it. Each test has a
prefix of its own in their bucket.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.base import Backend, Capability
from backends.contract import CHECKS, Check, CheckOutcome, run_check, run_contract
from backends.registry import list_types, open_backend
from backends.wrap.retry import RetryingBackend
from tests.support.fault_backend import FaultBackend
from tests.support.memory_backend import MemoryBackend
from tests.support.s3_server import CREDENTIALS, S3Server, VersityGateway, moto_server

BUCKET = "contract"
SERVERS: dict[str, S3Server] = {}


@pytest.fixture(scope="module", autouse=True)
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run both servers, with credentials where boto3 looks for them."""
    with (
        pytest.MonkeyPatch.context() as patch,
        VersityGateway(tmp_path_factory.mktemp("versitygw")) as versitygw,
        moto_server() as moto,
    ):
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        SERVERS.update(versitygw=versitygw, moto=moto)
        for server in SERVERS.values():
            server.make_bucket(BUCKET)
        yield
        leaked = {name: server.uploads(BUCKET) for name, server in SERVERS.items()}
        assert leaked == {"versitygw": [], "moto": []}, "uploads that nobody aborted"


def open_local(folder: Path) -> Backend:
    return open_backend("local", {"path": str(folder / "blobs")})


def open_s3(folder: Path, server: str, **options: object) -> Backend:
    where = {"bucket": BUCKET, "prefix": folder.name, "endpoint_url": SERVERS[server].endpoint_url}
    return open_backend("s3", {**where, **options})


OPENERS: dict[str, Callable[[Path], Backend]] = {
    "local": open_local,
    "memory": lambda _folder: MemoryBackend(),
    "retrying-local": lambda folder: RetryingBackend(open_local(folder)),
    "faultless-local": lambda folder: FaultBackend(open_local(folder)),
    "s3": lambda folder: open_s3(folder, "versitygw", store="versitygw"),
    "s3-retrying-parts": lambda folder: RetryingBackend(
        open_s3(
            folder,
            "versitygw",
            store="versitygw",
            prefix="",
            checksum="sha256",
            part_size_bytes=5 << 20,
        )
    ),
    "s3-moto": lambda folder: open_s3(folder, "moto"),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
@pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS.keys())
def test_backend_keeps_the_promise(
    opener: Callable[[Path], Backend], check: Check, tmp_path: Path
) -> None:
    """Each check of the suite; a failure names the seed that repeats it."""
    backend = opener(tmp_path)
    is_claimed = check.needs is None or check.needs in backend.capabilities
    result = run_check(backend, check)
    backend.close()
    wanted = CheckOutcome.PASSED if is_claimed else CheckOutcome.SKIPPED
    assert result.outcome is wanted, result.detail


def test_claims_of_each_backend_are_known(tmp_path: Path) -> None:
    """A backend that claims less than it should would have its checks skipped in silence."""
    claims = Capability.CONDITIONAL_CREATE
    modest = {n for n, opener in OPENERS.items() if claims not in opener(tmp_path).capabilities}
    assert modest == {"s3-moto"}


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
