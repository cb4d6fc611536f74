"""The conformance suite can fail: backends that break one promise each, and who notices.

Without these a check that tests nothing would pass for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.contract import CHECKS, CheckOutcome, run_check, run_contract
from backends.errors import BackendFailedError, BlobNotFoundError
from backends.source import Digest, Source
from tests.support.fault_backend import Fault, FaultBackend, cut_short, flip_bit
from tests.support.memory_backend import BytesReader, MemoryBackend

Progress = Callable[[int], None] | None


class Overwriting(MemoryBackend):
    def put(self, key: str, source: Source, *, on_progress: Progress = None) -> Digest:
        self.blobs.pop(key, None)
        return super().put(key, source, on_progress=on_progress)


class ShowingEarly(MemoryBackend):
    """Shows a blob while it grows, and leaves what a failed put had written."""

    def put(self, key: str, source: Source, *, on_progress: Progress = None) -> Digest:
        if key in self.blobs:
            return super().put(key, source)
        transfer = source.start(on_progress)
        for chunk in transfer:
            self.blobs[key] = self.blobs.get(key, b"") + chunk
        self.blobs.setdefault(key, b"")
        return transfer.digest


class Unchecking(MemoryBackend):
    """Never compares what it stores with what was announced."""

    def put(self, key: str, source: Source, *, on_progress: Progress = None) -> Digest:
        return super().put(key, Source(source.open), on_progress=on_progress)


class ListingAsFolders(MemoryBackend):
    """Lists in the order of a folder walk."""

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        found = super().list_blobs(prefix, after=after)
        return iter(sorted(found, key=lambda blob: blob.key.split("/")))


class TakingPrefixForFolder(MemoryBackend):
    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        folder = prefix.rpartition("/")[0] + "/" if "/" in prefix else ""
        return super().list_blobs(folder, after=after)


class IgnoringAfter(MemoryBackend):
    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        del after
        return super().list_blobs(prefix)


class ForgettingPages(MemoryBackend):
    """Lists the first page only."""

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        return iter(list(super().list_blobs(prefix, after=after))[:100])


class RefusingToDeleteAgain(MemoryBackend):
    def delete(self, key: str) -> None:
        if key not in self.blobs:
            raise BlobNotFoundError(f"there is no {key}")
        super().delete(key)


class IgnoringLength(MemoryBackend):
    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        del length_bytes
        return super().open_reader(key, offset_bytes=offset_bytes)


class AcceptingAnyKey(MemoryBackend):
    def stat(self, key: str) -> BlobInfo:
        return super().stat(key.strip("/.\n ") or "root")


class LeakingForeignErrors(MemoryBackend):
    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        return BytesReader(self.blobs[key][offset_bytes:][:length_bytes])


class AnsweringTooMuch(MemoryBackend):
    """Has readers that answer all they have, however little was asked for."""

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        reader = super().open_reader(key, offset_bytes=offset_bytes, length_bytes=length_bytes)
        read_inner = reader.read

        def read(size_bytes: int, /) -> bytes:
            return read_inner(size_bytes * 100)

        reader.read = read  # type: ignore[method-assign]
        return reader


BROKEN: list[tuple[str, Callable[[], Backend], set[str]]] = [
    ("overwriting", Overwriting, {"nothing_is_overwritten", "one_racer_wins"}),
    (
        "showing-early",
        ShowingEarly,
        {
            "unfinished_is_invisible",
            "large_blobs_survive",
            "broken_source_stores_nothing",
            "cancelled_put_stores_nothing",
            "wrong_digest_stores_nothing",
        },
    ),
    ("unchecking", Unchecking, {"wrong_digest_stores_nothing"}),
    ("listing-as-folders", ListingAsFolders, {"listing_is_in_order"}),
    ("taking-prefix-for-folder", TakingPrefixForFolder, {"prefix_is_text"}),
    ("ignoring-after", IgnoringAfter, {"listing_resumes"}),
    ("forgetting-pages", ForgettingPages, {"long_listing_is_complete"}),
    ("refusing-to-delete-again", RefusingToDeleteAgain, {"deleted_is_gone"}),
    ("ignoring-length", IgnoringLength, {"ranges_are_exact"}),
    ("accepting-any-key", AcceptingAnyKey, {"bad_keys_are_refused"}),
    ("leaking-foreign-errors", LeakingForeignErrors, {"missing_is_not_found"}),
    ("answering-too-much", AnsweringTooMuch, {"reads_come_in_pieces"}),
    (
        "damaging",
        lambda: FaultBackend(MemoryBackend(), Fault("put", 0, match="size-4", damage=flip_bit)),
        {"sizes_survive"},
    ),
    (
        "reading-short",
        lambda: FaultBackend(MemoryBackend(), Fault("open", 0, damage=cut_short)),
        {"sizes_survive", "files_survive", "readers_are_independent"},
    ),
]


@pytest.mark.parametrize(
    ("opener", "found"), [row[1:] for row in BROKEN], ids=[r[0] for r in BROKEN]
)
def test_broken_backend_fails_the_checks_of_its_promise(
    opener: Callable[[], Backend], found: set[str]
) -> None:
    """A fresh broken backend for each check, so that damage does not spread."""
    failed = {
        check.id
        for check in CHECKS
        if run_check(opener(), check, seed=1).outcome is CheckOutcome.FAILED
    }
    assert found <= failed


def test_unclaimed_capability_is_skipped_with_the_reason() -> None:
    class Modest(MemoryBackend):
        @property
        def capabilities(self) -> frozenset[Capability]:
            return frozenset()

    skipped = [r for r in run_contract(Modest()) if r.outcome is CheckOutcome.SKIPPED]
    assert [result.id for result in skipped] == ["one_racer_wins", "one_large_racer_wins"]
    assert "conditional_create" in skipped[0].detail


def test_backend_that_cannot_delete_is_reported_as_unclean() -> None:
    faulty = FaultBackend(MemoryBackend(), Fault("delete", 0, error=BackendFailedError("scripted")))
    result = run_check(faulty, CHECKS[0])
    assert result.outcome is CheckOutcome.FAILED
    assert "cannot clean up" in result.detail


def test_failure_names_the_seed_that_repeats_it() -> None:
    faulty = FaultBackend(MemoryBackend(), Fault("put", 0, damage=flip_bit, match="size-4095"))
    result = run_check(faulty, CHECKS[0], seed=4711)
    assert "(seed 4711)" in result.detail
