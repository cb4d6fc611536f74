"""Keys, sources that are read once, again or not at all, and readers that are not believed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import (
    BlobCorruptError,
    InvalidKeyError,
    SourceMismatchError,
    SourceUnreadableError,
)
from backends.keys import check_key, check_prefix
from backends.source import CHUNK_BYTES, Digest, Source
from tests.support.fault_backend import Fault, FaultBackend, cut_short, flip_bit
from tests.support.memory_backend import MemoryBackend

SEGMENTS = st.from_regex(r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,20}\Z")
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)


@given(KEYS)
def test_every_beginning_of_a_key_is_a_prefix(key: str) -> None:
    assert check_key(key) == key
    for length in range(len(key) + 1):
        assert check_prefix(key[:length]) == key[:length]


@given(st.text())
def test_accepted_keys_stay_below_any_folder(key: str) -> None:
    """Whatever the grammar lets through is a plain relative path."""
    try:
        check_key(key)
    except InvalidKeyError:
        return
    path = Path("/blobs") / key
    assert path.parts[:2] == ("/", "blobs")
    assert not {"..", "."} & set(path.parts)
    assert str(path) == f"/blobs/{key}"
    assert key.isascii()


def test_digest_is_known_only_after_the_transfer() -> None:
    transfer = Source.of_bytes(b"content").start()
    assert not transfer.has_begun
    with pytest.raises(RuntimeError):
        _ = transfer.digest
    assert b"".join(transfer) == b"content"
    assert transfer.has_begun
    assert transfer.digest == Digest.of_bytes(b"content")


def test_source_longer_than_announced_ends_at_the_chunk_that_shows_it() -> None:
    """A file that grows for ever must not fill the backend."""
    stream = io.BytesIO(bytes(5 * CHUNK_BYTES))
    transfer = Source.of_stream(stream, Digest(10, "0" * 64)).start()
    with pytest.raises(SourceMismatchError):
        list(transfer)
    assert stream.closed


def test_file_source_can_be_read_again_and_a_missing_one_says_so(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    source = Source.of_file(path)
    assert [b"".join(source.start()) for _ in range(2)] == [b"content"] * 2
    path.unlink()
    with pytest.raises(SourceUnreadableError) as caught:
        list(source.start())
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_reader_that_yields_less_than_it_announced_is_not_believed(tmp_path: Path) -> None:
    """Also where the caller does not know what to expect."""
    backend = FaultBackend(MemoryBackend(), Fault("open", 0, damage=cut_short))
    backend.put_bytes("blob", b"content")
    with pytest.raises(BlobCorruptError):
        backend.get_bytes("blob", size_bytes_max=100)
    with pytest.raises(BlobCorruptError):
        backend.get_file("blob", tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_damaged_blob_is_not_fetched(tmp_path: Path) -> None:
    backend = FaultBackend(MemoryBackend(), Fault("put", damage=flip_bit))
    digest = backend.put_bytes("blob", b"content")
    with pytest.raises(BlobCorruptError):
        backend.get_file("blob", tmp_path / "file", digest)
    assert list(tmp_path.iterdir()) == []
