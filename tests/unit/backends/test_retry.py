"""Retries: what is repeated, what never is, and how an attempt without an answer is settled."""

from __future__ import annotations

import io

import pytest

from backends.errors import (
    BackendFullError,
    BackendThrottledError,
    BackendUnavailableError,
    BlobExistsError,
)
from backends.source import Digest, Source
from backends.wrap.retry import RetryingBackend, RetryPolicy
from tests.support.fault_backend import Fault, FaultBackend, flip_bit
from tests.support.memory_backend import MemoryBackend

AT_ONCE = RetryPolicy(attempts_max=3, wait_first_seconds=0.0, wait_max_seconds=0.0)
DOWN = BackendUnavailableError("scripted")


def wrap(*faults: Fault) -> tuple[RetryingBackend, FaultBackend]:
    faulty = FaultBackend(MemoryBackend(), *faults)
    return RetryingBackend(faulty, AT_ONCE), faulty


def test_retryable_errors_are_repeated_until_they_pass() -> None:
    backend, faulty = wrap(
        Fault("put", 1, error=DOWN),
        Fault("put", 2, error=DOWN),
        Fault("open", 1, error=DOWN),
        Fault("stat", 1, error=DOWN),
        Fault("delete", 1, error=DOWN),
    )
    assert backend.put_bytes("blob", b"content") == Digest.of_bytes(b"content")
    assert backend.stat("blob").size_bytes == 7
    assert backend.get_bytes("blob", size_bytes_max=100) == b"content"
    backend.delete("blob")
    assert [faulty.count(name) for name in ("put", "open", "stat", "delete")] == [3, 2, 2, 2]


@pytest.mark.parametrize(("asked", "waited"), [(1.5, 1.5), (86_400.0, 2.0), (float("inf"), 2.0)])
def test_pause_is_as_long_as_the_storage_asks_within_our_own_bound(
    monkeypatch: pytest.MonkeyPatch, asked: float, waited: float
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    busy = BackendThrottledError("scripted", retry_after_seconds=asked)
    policy = RetryPolicy(attempts_max=3, wait_first_seconds=0.0, wait_max_seconds=2.0)
    backend = RetryingBackend(FaultBackend(MemoryBackend(), Fault("stat", 0, error=busy)), policy)
    with pytest.raises(BackendThrottledError):
        backend.stat("blob")
    assert pauses == [waited, waited]


def test_last_attempt_raises_the_backends_own_error() -> None:
    backend, faulty = wrap(Fault("put", 0, error=DOWN))
    with pytest.raises(BackendUnavailableError) as caught:
        backend.put_bytes("blob", b"content")
    assert caught.value is DOWN
    assert faulty.count("put") == AT_ONCE.attempts_max


def test_other_errors_are_not_repeated() -> None:
    backend, faulty = wrap(Fault("put", 0, error=BackendFullError("scripted")))
    with pytest.raises(BackendFullError):
        backend.put_bytes("blob", b"content")
    assert faulty.count("put") == 1


def test_stream_is_tried_once() -> None:
    """Its bytes are gone after the first attempt; a second would store an empty blob."""
    backend, faulty = wrap(Fault("put", 1, error=DOWN, is_after=True))
    with pytest.raises(BackendUnavailableError):
        backend.put("blob", Source.of_stream(io.BytesIO(b"content")))
    assert faulty.count("put") == 1


def test_put_that_succeeded_without_an_answer_counts_as_stored() -> None:
    backend, faulty = wrap(Fault("put", 1, error=DOWN, is_after=True))
    assert backend.put_bytes("blob", b"content") == Digest.of_bytes(b"content")
    assert faulty.count("put") == 2


@pytest.mark.parametrize("stored", [b"another", b"longer than the other"])
def test_taken_key_with_other_bytes_is_still_refused_after_a_retry(stored: bytes) -> None:
    backend, faulty = wrap(Fault("put", 1, match="blob", error=DOWN))
    faulty.inner.put_bytes("blob", stored)
    with pytest.raises(BlobExistsError):
        backend.put_bytes("blob", b"content")
    assert backend.get_bytes("blob", size_bytes_max=100) == stored


def test_taken_key_with_the_same_bytes_is_refused_at_the_first_attempt() -> None:
    """Only an attempt without an answer is given the benefit of the doubt."""
    backend, _ = wrap()
    backend.put_bytes("blob", b"content")
    with pytest.raises(BlobExistsError):
        backend.put_bytes("blob", b"content")


def test_put_that_was_damaged_and_unanswered_is_refused() -> None:
    backend, faulty = wrap(Fault("put", 1, error=DOWN))
    faulty.inner.put_bytes("blob", flip_bit(b"content"))
    with pytest.raises(BlobExistsError):
        backend.put_bytes("blob", b"content")


def test_reading_resumes_where_it_broke_off() -> None:
    data = bytes(range(256)) * 40
    backend, faulty = wrap(
        Fault("read", 2, error=DOWN), Fault("read", 3, error=DOWN), Fault("read", 7, error=DOWN)
    )
    faulty.inner.put_bytes("blob", data)
    for offset, length in ((0, None), (100, None), (100, 5000)):
        reader = backend.open_reader("blob", offset_bytes=offset, length_bytes=length)
        with reader:
            found = b"".join(iter(lambda reader=reader: reader.read(999), b""))  # type: ignore[misc]
        assert found == data[offset:][:length]
    assert faulty.count("open") == 3 + 3


def test_listing_resumes_after_the_last_key() -> None:
    backend, faulty = wrap(
        Fault("list", 1, error=DOWN), Fault("list", 2, error=DOWN, is_after=True)
    )
    for name in "abcd":
        faulty.inner.put_bytes(name, b"")
    assert [blob.key for blob in backend.list_blobs()] == list("abcd")
    assert faulty.count("list") == 3
