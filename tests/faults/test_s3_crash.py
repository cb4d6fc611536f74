"""Crashes around an upload in parts, on a real store: the store's, and the sidecar's own.

A proxy holds the upload in its middle, so that the kill is there and nowhere else.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backends import errors
from backends.base import Backend
from backends.registry import open_backend
from backends.wrap.retry import RetryingBackend, RetryPolicy
from tests.support.holding_proxy import HoldingProxy
from tests.support.processes import Sidecar, wait_for
from tests.support.s3_server import CREDENTIALS, VersityGateway

BUCKET = "snapshots"
PART = 5 << 20
DATA = os.urandom(4 * PART + 1)
MIDDLE = 2 * PART + 1000
TWO_DAYS_SECONDS = 172_800


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VersityGateway]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with VersityGateway(tmp_path / "store") as gateway:
        gateway.make_bucket(BUCKET)
        yield gateway


@pytest.fixture
def proxy(store: VersityGateway) -> Iterator[HoldingProxy]:
    with HoldingProxy(store.port) as proxy:
        yield proxy


def open_s3(url: str, **options: object) -> Backend:
    where = {"bucket": BUCKET, "endpoint_url": url, "store": "versitygw", "part_size_bytes": PART}
    return open_backend("s3", {**where, **options})


def config_of(url: str, **options: object) -> str:
    """Give a configuration with one backend and no schedule that is due soon."""
    more = "".join(f"{name} = {value}\n" for name, value in options.items())
    return (
        f'[backends.s3]\ntype = "s3"\nbucket = "{BUCKET}"\nprefix = "here"\n'
        f'store = "versitygw"\nendpoint_url = "{url}"\npart_size_bytes = {PART}\n{more}'
        '[schedules.yearly]\ncron = "0 0 1 1 *"\nkeep_last = 1\n'
    )


def fill(sidecar: Sidecar) -> None:
    """Write values that do not compress: a payload of many parts."""
    with sidecar.client() as client:
        for number in range(24):
            client.set(f"large:{number}", os.urandom(1 << 20))


def test_store_killed_in_the_middle_of_an_upload_shows_nothing(
    store: VersityGateway, proxy: HoldingProxy
) -> None:
    """The caller learns that a retry can help; the sweep removes what the crash left."""
    backend = open_s3(proxy.url)
    proxy.hold_after(MIDDLE)
    caught: list[BaseException] = []

    def put() -> None:
        try:
            backend.put_bytes("mine/blob", DATA)
        except errors.BackendError as exc:
            caught.append(exc)

    putting = threading.Thread(target=put)
    putting.start()
    assert proxy.held.wait(60)
    store.kill()
    proxy.let_go()
    putting.join(60)
    assert [type(exc) for exc in caught] == [errors.BackendUnavailableError]

    store.start()
    assert store.keys(BUCKET) == []
    assert store.uploads(BUCKET) == ["mine/blob"], "nothing was left to sweep"
    assert backend.sweep_unfinished("yours/", timedelta(0)) == 0
    assert backend.sweep_unfinished("mine/", timedelta(hours=1)) == 0
    assert backend.sweep_unfinished("mine/", timedelta(0)) == 1
    assert store.uploads(BUCKET) == []
    backend.put_bytes("mine/blob", DATA)
    assert backend.get_bytes("mine/blob", size_bytes_max=1 << 30) == DATA


def test_upload_is_repeated_when_the_store_is_back(
    store: VersityGateway, proxy: HoldingProxy
) -> None:
    """The wrapper repeats it from its beginning; one blob, whole, and no attempt is left over."""
    policy = RetryPolicy(attempts_max=1000, wait_first_seconds=0.01, wait_max_seconds=0.05)
    backend = RetryingBackend(open_s3(proxy.url), policy)
    proxy.hold_after(MIDDLE)
    putting = threading.Thread(target=backend.put_bytes, args=("blob", DATA))
    putting.start()
    assert proxy.held.wait(60)
    store.kill()
    proxy.let_go()
    wait_for(lambda: proxy.refused_count, "an attempt that finds nobody")
    store.start()
    putting.join(60)
    assert backend.get_bytes("blob", size_bytes_max=1 << 30) == DATA
    assert backend.sweep_unfinished("", timedelta(0)) == 1
    assert (store.keys(BUCKET), store.uploads(BUCKET)) == (["blob"], [])


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong", errors.BackendCredentialsError),
        ("AWS_ACCESS_KEY_ID", "nobody", errors.BackendCredentialsError),
    ],
)
def test_wrong_credentials_are_named_by_every_call(
    name: str,
    value: str,
    kind: type[errors.BackendError],
    store: VersityGateway,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(name, value)
    backend = open_s3(store.endpoint_url)
    for call in (
        lambda: backend.put_bytes("a", b"data"),
        lambda: backend.put_bytes("a", bytes(PART + 1)),
        lambda: backend.stat("a"),
        lambda: list(backend.list_blobs()),
        lambda: backend.sweep_unfinished("", timedelta(0)),
    ):
        with pytest.raises(kind):
            call()


def test_missing_bucket_is_named_by_every_call(store: VersityGateway) -> None:
    """Also by those whose answer has no words: a missing bucket is no missing blob."""
    backend = open_s3(store.endpoint_url, bucket="elsewhere")
    for call in (
        lambda: backend.put_bytes("a", b"data"),
        lambda: backend.put_bytes("a", bytes(PART + 1)),
        lambda: backend.stat("a"),
        lambda: backend.get_bytes("a", size_bytes_max=1),
        lambda: list(backend.list_blobs()),
    ):
        with pytest.raises(errors.BackendLocationError):
            call()


def test_killed_sidecar_leaks_no_upload_once_swept(
    store: VersityGateway, proxy: HoldingProxy, tmp_path: Path
) -> None:
    """SIGKILL in the middle of a payload; the next start sweeps it, and ships the cut once."""
    config = config_of(proxy.url)
    with Sidecar(tmp_path / "sidecar", config=config, env=CREDENTIALS) as sidecar:
        fill(sidecar)
        digest = sidecar.digest()
        sidecar.json("backend", "list")
        proxy.hold_after(MIDDLE)
        sidecar.cli("snapshot", "create", "--no-wait")
        assert proxy.held.wait(60)
        sidecar.kill()
    proxy.let_go()
    (leaked,) = store.uploads(BUCKET)
    assert leaked.startswith("here/")
    assert not [key for key in store.keys(BUCKET) if "/dump-" in key]

    _backdate_uploads(store)
    with Sidecar(tmp_path / "sidecar", config=config, env=CREDENTIALS) as again:

        def shipped() -> list[object] | None:
            return again.json("snapshot", "list")["snapshots"] or None

        assert len(wait_for(shipped, "the cut to be shipped")) == 1
        wait_for(lambda: not store.uploads(BUCKET), "the sweep of the dead upload")
        kept = [key for key in store.keys(BUCKET) if "/dump-" in key or "manifest" in key]
        assert len(kept) == 2
        assert again.digest() == digest
        assert again.stop() == 0


def test_frozen_store_does_not_keep_the_process(
    store: VersityGateway, proxy: HoldingProxy, tmp_path: Path
) -> None:
    """Parts that hang for far longer than a stop may take; the data is served on meanwhile."""
    config = config_of(proxy.url, read_timeout_seconds=900)
    with Sidecar(tmp_path / "sidecar", config=config, env=CREDENTIALS) as sidecar:
        fill(sidecar)
        proxy.hold_after(MIDDLE)
        sidecar.cli("snapshot", "create", "--no-wait")
        assert proxy.held.wait(60)
        store.freeze()
        with sidecar.client() as client:
            assert client.ping()
            assert client.set("still", "served")
        assert sidecar.stop() == 0
        store.thaw()


def _backdate_uploads(store: VersityGateway) -> None:
    """Let every unfinished upload have begun two days ago, as the store sees it."""
    long_ago = time.time() - TWO_DAYS_SECONDS
    folder = store.folder / BUCKET / ".sgwtmp" / "multipart"
    begun = list(folder.glob("*/*"))
    assert begun, "versitygw keeps them elsewhere"
    for upload in begun:
        os.utime(upload, (long_ago, long_ago))
