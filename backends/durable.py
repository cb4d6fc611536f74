"""The two functions of Python that make a file durable (I4): `create_file` and `replace_file`.

    open temporary -> write -> length check -> fsync -> close -> link or rename -> fsync folder
                   [written]                [synced]              [named]          [settled]

A crash at any point leaves the old state or the new one, and at most a temporary beside it, which
`remove_leftover` can tell from one that is in use: its writer holds an flock on it, which ends with
the writer. The step hook hears `durable.` and the name in brackets, so that a test can stop the
world there. Appending to logs is not here, nor is SQLite.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

TEMPORARY_PREFIX: Final = ".perdure-tmp-"
_FILE_MODE: Final = 0o600
_OPEN_ATTEMPTS_MAX: Final = 16


def _ignore_step(_name: str) -> None:
    """Do nothing: no failpoint is set."""


class _Steps:
    """The hook that hears of each step; one for the process, as failpoints are."""

    hook: Callable[[str], None] = staticmethod(_ignore_step)


def set_step_hook(hook: Callable[[str], None] | None) -> None:
    """Make `hook` hear of each step by name, such as `durable.synced`; None ends that.

    What it raises is treated as if the next call to the system had failed so.
    """
    _Steps.hook = staticmethod(hook or _ignore_step)


def hit(name: str) -> None:
    """Tell the hook that a step is reached."""
    _Steps.hook(name)


def create_file(path: Path, chunks: Iterable[bytes], *, size_bytes: int | None = None) -> int:
    """Make a new durable file of the chunks and return its length; never replace one. Blocks.

    The temporary is opened before the first chunk is asked for. After an error the file is absent,
    but for an error of the last fsync: then it is whole, and may be gone after a power cut.

    Args:
        path: The file; its folder must exist and be able to hold hard links.
        chunks: The bytes. What iterating over them raises leaves no file and reaches the caller.
        size_bytes: What the length must come to; None when nobody knows.

    Raises:
        FileExistsError: Something has that name; it was left as it is.
        OSError: Any call to the system failed, or the length is wrong (EIO).
    """
    with _open_temporary(path.parent) as (descriptor, temporary):
        written_bytes = _write_durably(descriptor, chunks, size_bytes)
        # A link, since a rename would replace: the one that comes second is refused.
        os.link(temporary, path, follow_symlinks=False)
        hit("durable.named")
    sync_folder(path.parent)
    hit("durable.settled")
    return written_bytes


def replace_file(path: Path, chunks: Iterable[bytes], *, size_bytes: int | None = None) -> int:
    """Make a durable file of the chunks in the place of an old one, if any; otherwise as above.

    After an error the old file is in place, but for an error of the last fsync: then the new one
    is, and after a power cut either.

    Raises:
        OSError: Any call to the system failed, or the length is wrong (EIO).
    """
    with _open_temporary(path.parent) as (descriptor, temporary):
        written_bytes = _write_durably(descriptor, chunks, size_bytes)
        temporary.rename(path)
        hit("durable.named")
    sync_folder(path.parent)
    hit("durable.settled")
    return written_bytes


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable.

    Raises:
        OSError: They may be lost in a power cut.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftover(path: Path) -> bool:
    """Remove a temporary whose writer has gone; leave one that is in use. Say whether it is gone.

    Raises:
        OSError: It could not be opened or removed.
    """
    if not path.name.startswith(TEMPORARY_PREFIX):
        message = f"not a temporary of ours: {path}"
        raise ValueError(message)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


@contextlib.contextmanager
def _open_temporary(folder: Path) -> Iterator[tuple[int, Path]]:
    """Hold a new locked file; its temporary name is gone afterwards, whatever happened."""
    descriptor, path = _create_locked(folder)
    try:
        yield descriptor, path
    finally:
        # The outcome is decided by now. A name that stays is a leftover, which a sweep removes.
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _create_locked(folder: Path) -> tuple[int, Path]:
    for _ in range(_OPEN_ATTEMPTS_MAX):
        path = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, _FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # A sweep may have come between the two calls above and taken the file for a leftover.
            if os.fstat(descriptor).st_nlink > 0:
                return descriptor, path
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "temporaries are removed as fast as they are made", str(folder))


def _write_durably(descriptor: int, chunks: Iterable[bytes], size_bytes: int | None) -> int:
    written_bytes = 0
    # A second descriptor, so that a failing close is seen while the first one still has the lock.
    writer = os.dup(descriptor)
    try:
        for chunk in chunks:
            rest = memoryview(chunk)
            while rest:
                count = os.write(writer, rest)
                written_bytes += count
                rest = rest[count:]
        hit("durable.written")
        wanted_bytes = written_bytes if size_bytes is None else size_bytes
        _check_length(written_bytes, os.fstat(writer).st_size, wanted_bytes)
        os.fsync(writer)
        hit("durable.synced")
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            os.close(writer)
        raise
    os.close(writer)
    return written_bytes


def _check_length(written_bytes: int, found_bytes: int, wanted_bytes: int) -> None:
    if not written_bytes == found_bytes == wanted_bytes:
        text = f"{written_bytes} bytes were written, the file has {found_bytes}"
        raise OSError(errno.EIO, f"{text}, and {wanted_bytes} were wanted")
