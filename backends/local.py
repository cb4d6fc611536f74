"""The `local` backend: a folder on a file system of this machine, a key being a path below it.

The bytes are written by `durable.create_file` (I4), so a blob appears whole and durable or not at
all, also for other processes that share the folder. A source is always copied: its digest has to be
taken of the bytes that pass, so a reflink would save no reading, and a hard link would tie the blob
to a file that somebody else may write to.

Left by a crash: empty folders, and temporaries (`durable.TEMPORARY_PREFIX`), removed by `sweep`
when the backend is opened. Errors of the system are translated here and nowhere else.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from backends import errors
from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.durable import (
    TEMPORARY_PREFIX,
    create_file,
    hit,
    remove_leftover,
    sync_folder,
)
from backends.keys import check_key, check_prefix, is_segment
from backends.registry import BackendPlugin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from backends.source import Digest, Source

_PRUNE_RACES_MAX: Final = 16

_REFUSED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# EIO is not among them: a disk that failed once is not asked again as if nothing had happened.
_GONE: Final = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EHOSTDOWN,
        errno.EINTR,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENODEV,
        errno.ENOTCONN,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


class LocalOptions(BaseModel):
    """What can be configured.

    Attributes:
        path: The folder; a relative one is taken from where the process was started.
        create: Whether to make the folder when it is missing. Say false for a mount point, so that
            a missing mount is an error instead of a folder on the wrong disk.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(description="the folder that holds the blobs")
    create: bool = Field(default=True, description="make the folder when it is missing")


class LocalBackend(Backend):
    """Blobs as files. Safe for threads, and for processes that share the folder."""

    def __init__(self, options: LocalOptions) -> None:
        """Open the folder, and sweep it.

        Raises:
            BackendError: The folder is missing, cannot be made, or refuses.
        """
        root = Path(os.path.abspath(options.path))  # noqa: PTH100 - must not touch the disk yet
        try:
            if options.create:
                _make_folders(Path(root.anchor), root)
            # Links above the root are the operator's business; below it they are not followed.
            self._root = root.resolve(strict=True)
            if not self._root.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(root))
        except OSError as exc:
            self._root = root
            self._translate(exc, "open")
        self.sweep()

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self._root)

    @property
    def capabilities(self) -> frozenset[Capability]:
        """A hard link is refused where a name is taken, also between machines that share a disk."""
        return frozenset({Capability.CONDITIONAL_CREATE})

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        """Write the blob beside its place, then link it there."""
        path = self._path_of(key)
        transfer = source.start(on_progress)
        with self._translating("put", key):
            if path.is_dir():
                message = f"{key} lies above other blobs"
                raise errors.InvalidKeyError(message, key=key)
            for _ in range(_PRUNE_RACES_MAX):
                try:
                    self._make_folders_of(path)
                    create_file(path, transfer)
                except FileNotFoundError:
                    # A deletion next door has pruned the folders since they were made. That shows
                    # before the source is asked for anything; later, it is something else.
                    if transfer.has_begun:
                        raise
                else:
                    return transfer.digest
        message = f"folders of {key} are removed as fast as they are made"
        raise errors.BackendUnavailableError(message, key=key)

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        """Open the file; reads come from the page cache where it has the bytes."""
        path = self._path_of(key)
        with self._translating("open", key):
            # Not to wait for a writer, should somebody have put a pipe there.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
            descriptor = os.open(self._inside(path), flags)
            try:
                reader = _LocalReader(self, key, descriptor, offset_bytes, length_bytes)
            except BaseException:
                os.close(descriptor)
                raise
        return reader

    def stat(self, key: str) -> BlobInfo:
        """Look at the file's entry."""
        path = self._path_of(key)
        with self._translating("stat", key):
            found = self._inside(path).lstat()
            if not stat.S_ISREG(found.st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file", str(path))
            return _info_of(key, found)

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        """Walk the folders that can hold such keys."""
        return self._walk(self._root, "", check_prefix(prefix), after)

    def delete(self, key: str) -> None:
        """Unlink the file, and remove the folders that it leaves empty."""
        path = self._path_of(key)
        with self._translating("delete", key):
            self._check_root()
            if path.is_dir() and not path.is_symlink():
                return  # A folder above blobs is no blob.
            try:
                self._inside(path).unlink()
                hit("local.unlinked")
                self._sync_nearest(path.parent)
            except FileNotFoundError:
                return
            except NotADirectoryError:
                return  # A part of the path is a blob: there is none below it.
        self._prune(path.parent)

    def link_to(self, key: str, path: Path) -> bool:
        """Link the file; another file system, or too many links, is no."""
        source = self._path_of(key)
        with self._translating("link", key):
            if not stat.S_ISREG(self._inside(source).lstat().st_mode):
                raise FileNotFoundError(errno.ENOENT, "not a regular file", str(source))
            try:
                os.link(source, path, follow_symlinks=False)
            except OSError as exc:
                if exc.errno in {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP}:
                    return False
                raise
        return True

    def sweep(self) -> int:
        """Remove what crashed writers left: temporaries without an owner, empty folders.

        Returns how many temporaries were removed. Those in use are left, as are unknown files.
        """
        removed_count = 0
        with self._translating("sweep"):
            self._check_root()
            for folder, _, names in os.walk(self._root, topdown=False, onerror=_raise_error):
                for name in names:
                    if name.startswith(TEMPORARY_PREFIX):
                        with contextlib.suppress(PermissionError):  # Another user's to sweep.
                            removed_count += remove_leftover(Path(folder, name))
                if Path(folder) != self._root:
                    with contextlib.suppress(OSError):  # Not empty, or gone: both are fine.
                        Path(folder).rmdir()
        return removed_count

    # Paths.

    def _path_of(self, key: str) -> Path:
        return self._root / check_key(key)

    def _inside(self, path: Path) -> Path:
        """Return the path when its folder is really below the root: no link leads out of it."""
        if not path.parent.resolve(strict=True).is_relative_to(self._root):
            raise PermissionError(errno.EACCES, "a link leads out of the folder", str(path))
        return path

    def _make_folders_of(self, path: Path) -> None:
        self._check_root()
        _make_folders(self._root, path.parent)

    def _check_root(self) -> None:
        """Tell a missing root, such as a lost mount, from a missing blob."""
        if not self._root.is_dir():
            message = f"the folder {self._root} is not there"
            raise errors.BackendUnavailableError(message, location=self.location)

    def _sync_nearest(self, folder: Path) -> None:
        """Make a deletion durable, also when another thread has pruned the folder since."""
        while True:
            try:
                return sync_folder(folder)
            except FileNotFoundError:
                if folder == self._root:
                    raise
                folder = folder.parent

    def _prune(self, folder: Path) -> None:
        """Remove empty folders from here up to the root; no one depends on it."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent

    def _walk(self, folder: Path, stem: str, prefix: str, after: str) -> Iterator[BlobInfo]:
        with self._translating("list"):
            if not stem:
                self._check_root()
            entries = _scan(folder)
        for name, is_folder in entries:
            key = stem + name
            if not is_folder:
                info = self._find(key) if key.startswith(prefix) and key > after else None
                if info is not None:
                    yield info
                continue
            is_wanted = key.startswith(prefix) or prefix.startswith(key)
            if is_wanted and (key > after or after.startswith(key)):
                yield from self._walk(folder / name, key, prefix, after)

    def _find(self, key: str) -> BlobInfo | None:
        """Look at a listed blob; one that was deleted meanwhile is not there."""
        try:
            return self.stat(key)
        except errors.BlobNotFoundError:
            return None

    # Errors.

    @contextlib.contextmanager
    def _translating(self, operation: str, key: str = "") -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            self._translate(exc, operation, key)

    def _translate(self, exc: OSError, operation: str, key: str = "") -> NoReturn:
        context = {"operation": operation, "location": self.location}
        if key:
            context["key"] = key
        message = f"cannot {operation} {key or self.location}: {exc.strerror or exc}"
        if exc.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR} and key:
            if not self._root.is_dir():
                message = f"the folder {self._root} is not there"
                raise errors.BackendUnavailableError(message, **context) from exc
            if operation == "put" and exc.errno != errno.ENOENT:
                message = f"{key} lies below another blob"
                raise errors.InvalidKeyError(message, **context) from exc
            if operation != "put":
                raise errors.BlobNotFoundError(message, **context) from exc
        for kind, numbers in (
            (errors.BlobExistsError, {errno.EEXIST}),
            (errors.BackendPermissionError, _REFUSED),
            (errors.BackendFullError, _FULL),
            (errors.BackendUnavailableError, _GONE | {errno.ENOENT}),
        ):
            if exc.errno in numbers:
                raise kind(message, **context) from exc
        raise errors.BackendFailedError(message, **context) from exc


class _LocalReader(BlobReader):
    """A range of an open file. The file's length at the time of opening is what it must yield."""

    def __init__(
        self,
        backend: LocalBackend,
        key: str,
        descriptor: int,
        offset_bytes: int,
        length_bytes: int | None,
    ) -> None:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(errno.ENOENT, "not a regular file")
        if not 0 <= offset_bytes <= found.st_size:
            message = f"{key} has {found.st_size} bytes, none at {offset_bytes}"
            raise errors.InvalidRangeError(message, key=key)
        self.size_bytes = found.st_size - offset_bytes
        if length_bytes is not None:
            self.size_bytes = min(self.size_bytes, length_bytes)
        self._backend = backend
        self._key = key
        self._descriptor = descriptor
        self._next_bytes = offset_bytes
        self._rest_bytes = self.size_bytes
        self._is_open = True

    def read(self, size_bytes: int, /) -> bytes:
        """Read at the reader's own position."""
        wanted_bytes = min(size_bytes, self._rest_bytes)
        with self._backend._translating("read", self._key):  # noqa: SLF001 - one room
            part = os.pread(self._descriptor, wanted_bytes, self._next_bytes)
        if wanted_bytes and not part:
            message = f"{self._key} ends {self._rest_bytes} bytes before it should"
            raise errors.BlobCorruptError(message, key=self._key)
        self._next_bytes += len(part)
        self._rest_bytes -= len(part)
        return part

    def close(self) -> None:
        """Close the file."""
        if self._is_open:
            self._is_open = False
            os.close(self._descriptor)


def _make_folders(top: Path, folder: Path) -> None:
    """Make the folders below `top` down to `folder`, each one's name durable.

    Also a folder that is there already is made durable: another thread may just have made it.
    """
    path = top
    for part in folder.relative_to(top).parts:
        parent, path = path, path / part
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            # One that has gone again raises FileNotFoundError here, and the caller begins anew.
            is_link = stat.S_ISLNK(path.lstat().st_mode)
            is_above_root = top == Path(top.anchor)
            if is_link and not is_above_root:
                raise PermissionError(errno.EACCES, "a link in the way", str(path)) from None
            if not stat.S_ISDIR(path.stat().st_mode):
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(path)) from None
            if is_above_root:
                continue  # Not ours to make durable, and perhaps not to open.
        sync_folder(parent)


def _scan(folder: Path) -> list[tuple[str, bool]]:
    """List a folder's valid names in the order of their keys, folders with a `/` at the end."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_segment(entry.name):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    found.append((entry.name + "/" if is_folder else entry.name, is_folder))
    except FileNotFoundError:
        return []  # Pruned since its parent was listed.
    return sorted(found)


def _info_of(key: str, found: os.stat_result) -> BlobInfo:
    return BlobInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _raise_error(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error


def _open_local(options: BaseModel) -> Backend:
    if not isinstance(options, LocalOptions):
        message = f"options of another backend: {type(options).__name__}"
        raise TypeError(message)
    return LocalBackend(options)


PLUGIN: Final = BackendPlugin(type_name="local", options=LocalOptions, open=_open_local)
