"""Checks of `put` and `delete`: never overwritten, all or nothing, what racing writers see."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from backends.base import Capability
from backends.contract.bench import Check
from backends.errors import (
    BlobExistsError,
    InvalidKeyError,
    SourceMismatchError,
    SourceUnreadableError,
)
from backends.keys import KEY_CHARACTERS_MAX, SEGMENT_CHARACTERS_MAX
from backends.source import CHUNK_BYTES, Digest, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from backends.contract.bench import Bench

_RACERS: Final = 6
_LARGE_BYTES: Final = (17 << 20) + 1  # three parts of the default length of `s3`
_INVALID_KEYS: Final = (
    "",
    "/",
    "/absolute",
    "ends/",
    "double//slash",
    ".",
    "..",
    "../outside",
    "in/../side",
    "in/./side",
    ".hidden",
    "in/.hidden",
    "back\\slash",
    "with space",
    "new\nline",
    "nul\0byte",
    "percent%2e",
    "umlaut-\u00fc",
    "s" * (SEGMENT_CHARACTERS_MAX + 1),
    "/".join(["s" * SEGMENT_CHARACTERS_MAX] * 3),
)


class _Stream(io.BytesIO):
    """Bytes that call back before each part is read."""

    def __init__(self, data: bytes, on_read: Callable[[int], None]) -> None:
        super().__init__(data)
        self._on_read = on_read

    def read(self, size: int | None = -1, /) -> bytes:
        self._on_read(self.tell())
        return super().read(size)


class _StopError(Exception):
    """What a callback raises to end a transfer."""


def _sizes_survive(bench: Bench) -> None:
    """Bytes of any length come back, and `put` answers their digest."""
    for size_bytes in (0, 1, 4095, 4096, CHUNK_BYTES, 2 * CHUNK_BYTES + 1):
        data = bench.random.randbytes(size_bytes)
        digest = bench.put(f"size-{size_bytes}", data)
        bench.expect(f"digest of {size_bytes} bytes", digest, Digest.of_bytes(data))
        is_same = bench.get(f"size-{size_bytes}") == data
        bench.expect(f"{size_bytes} bytes came back the same", is_same, wanted=True)


def _large_blobs_survive(bench: Bench) -> None:
    """A blob that a storage may take in several parts comes back whole, or leaves nothing."""
    data = bench.random.randbytes(_LARGE_BYTES)
    digest = bench.put("large", data)
    bench.expect("digest of a large blob", digest, Digest.of_bytes(data))
    bench.expect("a large blob came back the same", bench.get("large") == data, wanted=True)
    with bench.expect_error("a second put of a large blob", BlobExistsError):
        bench.put("large", data)

    def fail_late(position: int) -> None:
        bench.expect("a large blob that is still being put", bench.list("late"), [])
        if position >= _LARGE_BYTES - CHUNK_BYTES:
            raise OSError(5, "scripted")

    with bench.expect_error("a large put from a broken source", SourceUnreadableError):
        bench.backend.put(bench.key("late"), Source.of_stream(_Stream(data, fail_late)))
    bench.expect_absent("after a large put from a broken source", "late")
    bench.put("late", data)


def _one_large_racer_wins(bench: Bench) -> None:
    """Of writers that race for one key with large blobs one wins, too."""
    contents = [bench.random.randbytes(_LARGE_BYTES) for _ in range(3)]
    _race(bench, "large-race", contents)


def _streams_are_stored(bench: Bench) -> None:
    """A stream of unknown length is stored whole."""
    data = bench.random.randbytes(CHUNK_BYTES + 17)
    digest = bench.backend.put(bench.key("stream"), Source.of_stream(io.BytesIO(data)))
    bench.expect("digest of a stream", digest, Digest.of_bytes(data))
    bench.expect("a stream came back the same", bench.get("stream") == data, wanted=True)


def _files_survive(bench: Bench) -> None:
    """A local file goes out and comes back, with its digest compared both ways."""
    data = bench.random.randbytes(CHUNK_BYTES + 3)
    there, back = bench.folder / "there", bench.folder / "back"
    there.write_bytes(data)
    done: list[int] = []
    expected = Digest.of_bytes(data)
    bench.backend.put_file(bench.key("file"), there, expected, on_progress=done.append)
    bench.expect("progress of a put", done, [CHUNK_BYTES, CHUNK_BYTES + 3])
    bench.backend.get_file(bench.key("file"), back, expected)
    bench.expect("a file came back the same", back.read_bytes() == data, wanted=True)


def _nothing_is_overwritten(bench: Bench) -> None:
    """A taken key is refused, and the blob stays as it was."""
    bench.put("taken", b"first")
    for data in (b"second, and longer", b"first", b""):
        with bench.expect_error("a second put", BlobExistsError):
            bench.put("taken", data)
    bench.expect("the blob after a second put", bench.get("taken"), b"first")


def _wrong_digest_stores_nothing(bench: Bench) -> None:
    """A source that is not as announced leaves nothing; the key can be used afterwards."""
    path = bench.folder / "source"
    path.write_bytes(b"what is there")
    right = Digest.of_bytes(b"what is there")
    for wrong in (
        Digest(right.size_bytes, Digest.of_bytes(b"other").sha256),
        Digest(right.size_bytes - 1, right.sha256),
        Digest(right.size_bytes + 1, right.sha256),
    ):
        with bench.expect_error("a put with a wrong digest", SourceMismatchError):
            bench.backend.put_file(bench.key("announced"), path, wrong)
        bench.expect_absent("after a put with a wrong digest", "announced")
    bench.backend.put_file(bench.key("announced"), path, right)


def _broken_source_stores_nothing(bench: Bench) -> None:
    """A source that fails half-way leaves nothing; the key can be used afterwards."""

    def fail_later(position: int) -> None:
        if position:
            raise OSError(5, "scripted")

    stream = _Stream(bytes(2 * CHUNK_BYTES), fail_later)
    with bench.expect_error("a put from a broken source", SourceUnreadableError):
        bench.backend.put(bench.key("broken"), Source.of_stream(stream))
    bench.expect_absent("after a put from a broken source", "broken")
    with bench.expect_error("a put of a missing file", SourceUnreadableError):
        bench.backend.put_file(bench.key("broken"), bench.folder / "missing")
    bench.put("broken")


def _cancelled_put_stores_nothing(bench: Bench) -> None:
    """What the callback raises reaches the caller, and nothing is stored."""

    def stop(_done: int) -> None:
        raise _StopError

    with bench.expect_error("a cancelled put", _StopError):
        source = Source.of_bytes(bytes(2 * CHUNK_BYTES))
        bench.backend.put(bench.key("cancelled"), source, on_progress=stop)
    bench.expect_absent("after a cancelled put", "cancelled")
    bench.put("cancelled")


def _unfinished_is_invisible(bench: Bench) -> None:
    """Nothing shows of a blob while its bytes are still on their way."""
    looks = []

    def look(position: int) -> None:
        if position:
            bench.expect_absent("while it is being put", "unfinished")
            looks.append(position)

    stream = _Stream(bytes(3 * CHUNK_BYTES), look)
    bench.backend.put(bench.key("unfinished"), Source.of_stream(stream))
    bench.expect("looks at an unfinished blob", len(looks), 3)
    bench.expect("the finished blob", len(bench.get("unfinished")), 3 * CHUNK_BYTES)


def _one_racer_wins(bench: Bench) -> None:
    """Of several writers that race for one key one wins, and the blob is that one's."""
    contents = [f"racer {number}".encode() * 1000 for number in range(_RACERS)]
    _race(bench, "race", contents)


def _race(bench: Bench, name: str, contents: list[bytes]) -> None:
    def race(data: bytes) -> bool:
        try:
            bench.put(name, data)
        except BlobExistsError:
            return False
        return True

    with ThreadPoolExecutor(len(contents)) as pool:
        won = list(pool.map(race, contents))
    bench.expect("winners of a race", won.count(True), 1)
    is_winners = bench.get(name) == contents[won.index(True)]
    bench.expect("the blob is the winner's", is_winners, wanted=True)


def _threads_do_not_disturb(bench: Bench) -> None:
    """Several threads put, read and delete different blobs at once."""

    def work(number: int) -> None:
        for turn in range(4):
            name = f"thread-{number}/turn-{turn}"
            bench.put(name, name.encode())
            bench.expect("a thread's blob", bench.get(name), name.encode())
            if turn % 2:
                bench.backend.delete(bench.key(name))

    with ThreadPoolExecutor(_RACERS) as pool:
        list(pool.map(work, range(_RACERS)))
    wanted = [f"thread-{number}/turn-{turn}" for number in range(_RACERS) for turn in (0, 2)]
    bench.expect("blobs after many threads", bench.list("thread-"), wanted)


def _deleted_is_gone(bench: Bench) -> None:
    """A deleted blob is gone at once, its neighbours stay, and a second delete succeeds."""
    for name in ("gone/a", "gone/b", "gone.c", "gone-d/e"):
        bench.put(name)
    for _ in range(2):
        bench.backend.delete(bench.key("gone/a"))
        bench.expect_absent("after a delete", "gone/a")
    bench.expect("neighbours", bench.list("gone"), ["gone-d/e", "gone.c", "gone/b"])
    bench.backend.delete(bench.key("gone/b"))
    bench.backend.delete(bench.key("gone"))
    bench.backend.delete(bench.key("never/was/there"))
    bench.expect("neighbours", bench.list("gone"), ["gone-d/e", "gone.c"])


def _bad_keys_are_refused(bench: Bench) -> None:
    """A key outside the grammar is refused by every method; nothing climbs out of the root."""
    calls: tuple[tuple[str, Callable[[str], object]], ...] = (
        ("put", lambda key: bench.backend.put_bytes(key, b"bad")),
        ("open", bench.backend.open_reader),
        ("stat", bench.backend.stat),
        ("delete", bench.backend.delete),
    )
    for key in _INVALID_KEYS:
        for operation, call in calls:
            with bench.expect_error(f"{operation} of {key[:40]!r}", InvalidKeyError):
                call(key)
    for prefix in ("/", "..", "a/../b", "a//", ".hidden"):
        with bench.expect_error(f"list of {prefix!r}", InvalidKeyError):
            bench.backend.list_blobs(prefix)


def _long_keys_are_stored(bench: Bench) -> None:
    """The longest key and all characters of the grammar are stored."""
    rest = KEY_CHARACTERS_MAX - len(bench.prefix)
    parts = []
    while rest > 0:
        parts.append("s" * min(SEGMENT_CHARACTERS_MAX, rest))
        rest -= len(parts[-1]) + 1
    names = ["/".join(parts), "AZaz09._-", "-", "_", "0"]
    for name in names:
        bench.put(name, name.encode())
        bench.expect(f"the blob {name[:40]!r}", bench.get(name), name.encode())
    bench.expect("unusual names", bench.list(), sorted(names))


CHECKS: Final = (
    Check("sizes_survive", _sizes_survive),
    Check("large_blobs_survive", _large_blobs_survive),
    Check("streams_are_stored", _streams_are_stored),
    Check("files_survive", _files_survive),
    Check("nothing_is_overwritten", _nothing_is_overwritten),
    Check("wrong_digest_stores_nothing", _wrong_digest_stores_nothing),
    Check("broken_source_stores_nothing", _broken_source_stores_nothing),
    Check("cancelled_put_stores_nothing", _cancelled_put_stores_nothing),
    Check("unfinished_is_invisible", _unfinished_is_invisible),
    Check("one_racer_wins", _one_racer_wins, Capability.CONDITIONAL_CREATE),
    Check("one_large_racer_wins", _one_large_racer_wins, Capability.CONDITIONAL_CREATE),
    Check("threads_do_not_disturb", _threads_do_not_disturb),
    Check("deleted_is_gone", _deleted_is_gone),
    Check("bad_keys_are_refused", _bad_keys_are_refused),
    Check("long_keys_are_stored", _long_keys_are_stored),
)
