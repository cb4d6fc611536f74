"""Checks of `open_reader`, `stat` and `list_blobs`: ranges, pieces, order, prefixes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from backends.contract.bench import BrokenPromiseError, Check
from backends.errors import BlobCorruptError, BlobTooLargeError, InvalidRangeError
from backends.source import CHUNK_BYTES, Digest

if TYPE_CHECKING:
    from backends.contract.bench import Bench

_BLOBS_MANY: Final = 120


class _StopError(Exception):
    """What a callback raises to end a transfer."""


def _missing_is_not_found(bench: Bench) -> None:
    """A blob that was never put is not there; nor is a folder that holds one."""
    bench.put("folder/blob")
    for name in ("missing", "missing/deep/down", "folder", "folder/blob2", "folder/blo"):
        bench.expect_absent(f"{name!r} was never put", name)


def _ranges_are_exact(bench: Bench) -> None:
    """Any range comes back exactly; one that reaches behind the end is cut there."""
    data = bench.random.randbytes(1000)
    bench.put("range", data)
    ranges: list[tuple[int, int | None]] = [
        (0, None), (0, 0), (0, 1), (0, 1000), (0, 5000), (999, None), (999, 7), (1000, None),
        (1000, 3), (500, 1), (500, 500), (500, 501),
    ]  # fmt: skip
    ranges += [(bench.random.randrange(1000), bench.random.randrange(1100)) for _ in range(8)]
    for offset, length in ranges:
        wanted = data[offset:] if length is None else data[offset : offset + length]
        key = bench.key("range")
        with bench.backend.open_reader(key, offset_bytes=offset, length_bytes=length) as reader:
            bench.expect(f"size of {offset}+{length}", reader.size_bytes, len(wanted))
            parts = []
            while part := reader.read(333):
                parts.append(part)
            bench.expect(f"bytes {offset}+{length}", b"".join(parts) == wanted, wanted=True)
    with bench.expect_error("a read from behind the end", InvalidRangeError):
        bench.backend.open_reader(bench.key("range"), offset_bytes=1001)


def _reads_come_in_pieces(bench: Bench) -> None:
    """A read never answers more than asked for, and nothing only at the end."""
    data = bench.random.randbytes(CHUNK_BYTES + 5)
    bench.put("pieces", data)
    with bench.backend.open_reader(bench.key("pieces")) as reader:
        bench.expect("size before reading", reader.size_bytes, len(data))
        found = bytearray()
        while part := reader.read(200_003):
            if len(part) > 200_003:  # noqa: PLR2004
                message = f"a read of 200003 bytes answered {len(part)}"
                raise BrokenPromiseError(message)
            found += part
        bench.expect("a read at the end", reader.read(1), b"")
    bench.expect("all pieces are the blob", bytes(found) == data, wanted=True)


def _readers_are_independent(bench: Bench) -> None:
    """Several readers of one blob have each their own position."""
    data = bench.random.randbytes(100_000)
    bench.put("shared", data)

    def read_all(step: int) -> bytes:
        with bench.backend.open_reader(bench.key("shared")) as reader:
            parts = []
            while part := reader.read(step):
                parts.append(part)
            return b"".join(parts)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(read_all, (1009, 4096, 30_011, 100_000)))
    bench.expect("all readers got the blob", found == [data] * 4, wanted=True)


def _limit_is_kept(bench: Bench) -> None:
    """More bytes than the caller is ready to hold are refused."""
    bench.put("limited", b"12345")
    key = bench.key("limited")
    bench.expect("at the limit", bench.backend.get_bytes(key, size_bytes_max=5), b"12345")
    with bench.expect_error("above the limit", BlobTooLargeError):
        bench.backend.get_bytes(key, size_bytes_max=4)


def _unexpected_bytes_are_not_fetched(bench: Bench) -> None:
    """A blob that is not as expected yields no local file; nor does a cancelled fetch."""
    bench.put("fetched", b"what is there")
    path = bench.folder / "fetched"
    for wrong in (Digest(13, Digest.of_bytes(b"other").sha256), Digest.of_bytes(b"longer" * 9)):
        with bench.expect_error("a fetch with a wrong digest", BlobCorruptError):
            bench.backend.get_file(bench.key("fetched"), path, wrong)
        bench.expect("local files after a bad fetch", list(bench.folder.iterdir()), [])

    def stop(_done: int) -> None:
        raise _StopError

    with bench.expect_error("a cancelled fetch", _StopError):
        bench.backend.get_file(bench.key("fetched"), path, on_progress=stop)
    bench.expect("local files after a cancelled fetch", list(bench.folder.iterdir()), [])


def _stat_tells_the_truth(bench: Bench) -> None:
    """`stat` and the listing agree on key, size and time."""
    bench.put("stat/blob", bytes(12_345))
    info = bench.backend.stat(bench.key("stat/blob"))
    bench.expect("key", info.key, bench.key("stat/blob"))
    bench.expect("size", info.size_bytes, 12_345)
    bench.expect("the time has a zone", info.modified_at.tzinfo is not None, wanted=True)
    listed = list(bench.backend.list_blobs(bench.key("stat/")))
    bench.expect("the listing", [blob.key for blob in listed], [info.key])
    bench.expect("size in the listing", listed[0].size_bytes, 12_345)


def _listing_is_in_order(bench: Bench) -> None:
    """Keys come in ASCII order, which is not the order of folders."""
    names = ["a/z", "a-b/c", "a.b", "a/b/c", "a0", "A", "a_", "b", "a/b-c", "a/b.d/e", "Z/1", "-"]
    bench.random.shuffle(names)
    for name in names:
        bench.put(name)
    bench.expect("the listing", bench.list(), sorted(names))


def _prefix_is_text(bench: Bench) -> None:
    """A prefix ends anywhere, not only where a folder does."""
    names = ["ab", "ab-c/d", "abc/d", "abc/e/f", "abd", "b/ab"]
    for name in names:
        bench.put(name)
    for prefix in ("", "a", "ab", "abc", "abc/", "abc/e", "abc/e/f", "abc/e/f/", "x", "b/", "ab-"):
        wanted = [name for name in names if name.startswith(prefix)]
        bench.expect(f"the listing of {prefix!r}", bench.list(prefix), wanted)


def _listing_resumes(bench: Bench) -> None:
    """`after` leaves out what is not greater, whether such a key is there or not."""
    names = ["a", "b/a", "b/c", "b/d/e", "c"]
    for name in names:
        bench.put(name)
    for after in ("0", "a", "a0", "b", "b/a", "b/b", "b/c", "b/d", "b/d/e", "b/d/f", "c", "d"):
        wanted = [name for name in names if name > after]
        bench.expect(f"the listing after {after!r}", bench.list(after=after), wanted)
    bench.expect("a prefix and a start", bench.list("b/", after="b/a"), ["b/c", "b/d/e"])


def _long_listing_is_complete(bench: Bench) -> None:
    """A listing of many blobs has each of them once."""
    names = [f"many/{number:05}" for number in range(_BLOBS_MANY)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(bench.put, names))
    bench.expect("many blobs", bench.list("many/"), names)


def _listing_survives_deletion(bench: Bench) -> None:
    """Blobs may be deleted while they are listed, as a rotation does."""
    names = [f"rotate/{number}/blob" for number in range(9)]
    for name in names:
        bench.put(name)
    found = []
    for blob in bench.backend.list_blobs(bench.key("rotate/")):
        found.append(blob.key.removeprefix(bench.prefix))
        bench.backend.delete(blob.key)
    bench.expect("what was listed", found, names)
    bench.expect("what is left", bench.list("rotate/"), [])


CHECKS: Final = (
    Check("missing_is_not_found", _missing_is_not_found),
    Check("ranges_are_exact", _ranges_are_exact),
    Check("reads_come_in_pieces", _reads_come_in_pieces),
    Check("readers_are_independent", _readers_are_independent),
    Check("limit_is_kept", _limit_is_kept),
    Check("unexpected_bytes_are_not_fetched", _unexpected_bytes_are_not_fetched),
    Check("stat_tells_the_truth", _stat_tells_the_truth),
    Check("listing_is_in_order", _listing_is_in_order),
    Check("prefix_is_text", _prefix_is_text),
    Check("listing_resumes", _listing_resumes),
    Check("long_listing_is_complete", _long_listing_is_complete),
    Check("listing_survives_deletion", _listing_survives_deletion),
)
