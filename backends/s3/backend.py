"""The contract of `base.py` on an S3-compatible store.

A key is an object below `{prefix}/`; what lies there and is no key of the grammar (a folder marker,
say) is not seen. Create and never overwrite: by `If-None-Match: *` on the call that makes the
object visible, where the store has it; elsewhere the name is looked at just before that call, under
a lock of this object, and the capability is not claimed.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import zlib
from typing import TYPE_CHECKING, Any, Final, NoReturn

from botocore.exceptions import ClientError

from backends import errors
from backends.base import Backend, BlobInfo, BlobReader, Capability
from backends.keys import check_key, check_prefix, is_segment
from backends.s3 import faults
from backends.s3.faults import Place
from backends.s3.reader import EmptyReader, S3Reader, range_header
from backends.s3.session import connect
from backends.s3.sweep import sweep_uploads
from backends.s3.upload import (
    MultipartUpload,
    Target,
    part_size_for,
    put_whole,
    read_parts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

    from backends.s3.options import S3Options
    from backends.source import Digest, Source

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
_RANGE_REFUSED: Final = 416
_UNEXPLAINED: Final = frozenset({400, 401, 403, 404})
_LOCKS: Final = 16


class S3Backend(Backend):
    """Blobs as objects. Safe for threads."""

    def __init__(self, options: S3Options) -> None:
        """Make the client; the store is not asked yet.

        Raises:
            BackendError: boto3's own configuration is wrong.
        """
        self._options = options
        self._store = options.profile_of_store
        self._bucket = options.bucket
        self._root = options.key_prefix
        at = f" at {options.endpoint_url}" if options.endpoint_url else ""
        self._location = f"s3://{options.bucket}/{self._root}{at}"
        self._connecting = threading.Lock()
        self._connected: S3Client | None = connect(options, self._location)
        self._creating = [threading.Lock() for _ in range(_LOCKS)]

    @property
    def location(self) -> str:
        """Bucket, prefix and endpoint."""
        return self._location

    @property
    def capabilities(self) -> frozenset[Capability]:
        """As the profile of the store says."""
        has_it = self._store.has_conditional_create
        return frozenset({Capability.CONDITIONAL_CREATE} if has_it else ())

    def put(
        self, key: str, source: Source, *, on_progress: Callable[[int], None] | None = None
    ) -> Digest:
        """Send it whole, or in parts when it is longer than one."""
        check_key(key)
        transfer = source.start(on_progress)
        size_bytes = source.expected.size_bytes if source.expected else None
        parts = read_parts(transfer, part_size_for(self._options, size_bytes))
        with contextlib.closing(parts), self._translating("put", key):
            first = next(parts)
            second = next(parts, None)
            if second is None:
                target = self._target(key)
                self._create(key, lambda: put_whole(target, first))
            else:
                self._put_parts(key, itertools.chain((first, second), parts))
        return transfer.digest

    def open_reader(
        self, key: str, *, offset_bytes: int = 0, length_bytes: int | None = None
    ) -> BlobReader:
        """Get the object, or a range of it; the bytes come while they are read."""
        check_key(key)
        with self._asking("open", key):
            if length_bytes == 0:
                return self._read_nothing(key, offset_bytes)
            wanted = range_header(offset_bytes, length_bytes)
            extra: dict[str, Any] = {"Range": wanted} if wanted else {}
            try:
                answer = self._client.get_object(**self._name(key), **extra)
            except ClientError as exc:
                if faults.status_of(exc) != _RANGE_REFUSED:
                    raise
                return self._read_nothing(key, offset_bytes)
            return S3Reader(Place(self._location, key), answer, offset_bytes)

    def stat(self, key: str) -> BlobInfo:
        """Ask for the object's head."""
        check_key(key)
        with self._asking("stat", key):
            answer = self._head(key)
            return BlobInfo(key, answer["ContentLength"], answer["LastModified"])

    def list_blobs(self, prefix: str = "", *, after: str = "") -> Iterator[BlobInfo]:
        """Ask for page after page."""
        return self._list(check_prefix(prefix), after)

    def delete(self, key: str) -> None:
        """Delete the object; in a bucket with versions, this puts a delete marker on top."""
        check_key(key)
        with self._asking("delete", key):
            try:
                self._client.delete_object(**self._name(key))
            except ClientError as exc:
                if faults.code_of(exc) not in {"NoSuchKey", "DirectoryNotEmpty"}:
                    raise

    def sweep_unfinished(self, prefix: str, older_than: timedelta) -> int:
        """Abort uploads in parts that began below the prefix and were never completed."""
        check_prefix(prefix)
        by_prefix = self._store.lists_uploads_by_prefix
        with self._asking("sweep"):
            return sweep_uploads(
                self._client,
                self._bucket,
                self._root + prefix,
                older_than,
                asks_by_prefix=by_prefix,
            )

    def close(self) -> None:
        """Close the connections that nobody uses."""
        if self._connected is not None:
            self._connected.close()

    # --- creating ---------------------------------------------------------------------

    def _target(self, key: str) -> Target:
        condition = {"IfNoneMatch": "*"} if self._store.has_conditional_create else {}
        checksum = self._options.checksum or self._store.checksum
        name = self._root + key
        return Target(self._client, self._bucket, name, self._options, checksum, condition)

    def _put_parts(self, key: str, parts: Iterator[bytes]) -> None:
        self._check_free(key)  # before gigabytes are sent for nothing
        with MultipartUpload(self._target(key)) as upload:
            for number, part in enumerate(parts, 1):
                upload.send(number, part)
            upload.complete(lambda call: self._create(key, call))

    def _create(self, key: str, call: Callable[[], object]) -> None:
        """Make the call that makes the object visible; refuse a taken name."""
        if not self._store.has_conditional_create:
            with self._creating[zlib.crc32(key.encode()) % _LOCKS]:
                self._check_free(key)
                call()
            return
        try:
            call()
        except ClientError as exc:
            if faults.status_of(exc) == _CONFLICT and self._is_taken(key):
                raise self._taken(key) from exc  # by whom it lost the race to
            raise

    def _check_free(self, key: str) -> None:
        if self._is_taken(key):
            raise self._taken(key)

    def _is_taken(self, key: str) -> bool:
        with self._asking("stat", key):
            try:
                self._client.head_object(**self._name(key))
            except ClientError as exc:
                if faults.status_of(exc) == _NOT_FOUND:
                    return False  # Or there is no bucket: the put will say so.
                self._explain(exc, key)
        return True

    def _taken(self, key: str) -> errors.BlobExistsError:
        message = f"{key} is taken"
        return errors.BlobExistsError(message, **Place(self._location, key).context)

    # --- reading ----------------------------------------------------------------------

    def _name(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._root + key}

    def _head(self, key: str) -> Any:
        """Ask for the head; where that fails, find out why, since HEAD's answer has no words."""
        try:
            return self._client.head_object(**self._name(key))
        except ClientError as exc:
            self._explain(exc, key)

    def _explain(self, head_error: ClientError, key: str) -> NoReturn:
        """Raise the true reason: no bucket, credentials, rights, the clock; else the error."""
        if faults.status_of(head_error) in _UNEXPLAINED:
            self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._root + key, MaxKeys=1)
        raise head_error

    def _read_nothing(self, key: str, offset_bytes: int) -> BlobReader:
        """Answer a range without bytes, if it begins within the object."""
        size_bytes = self._head(key)["ContentLength"]
        if offset_bytes > size_bytes:
            message = f"{key} has {size_bytes} bytes, none at {offset_bytes}"
            raise errors.InvalidRangeError(message, **Place(self._location, key).context)
        return EmptyReader()

    def _list(self, prefix: str, after: str) -> Iterator[BlobInfo]:
        last, token = after, ""
        while True:
            page_begins_after, told = last, token
            with self._asking("list"):
                page = self._list_page(prefix, last, token)
                if "IsTruncated" not in page:  # another document would pass for an empty bucket
                    message = "what answers gives no listing"
                    error = errors.BackendFailedError(message, location=self._location)
                    raise error.with_hint(faults.NO_STORE)
                found = [
                    (entry["Key"].removeprefix(self._root), entry["Size"], entry["LastModified"])
                    for entry in page.get("Contents", [])
                ]
            for key, size_bytes, modified_at in found:
                if not all(map(is_segment, key.split("/"))) or key <= after:
                    continue
                if key <= last:
                    message = f"the store lists {key} behind {last}, out of order"
                    raise errors.BackendFailedError(message, location=self._location)
                last = key
                yield BlobInfo(key, size_bytes, modified_at)
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken", "")
            # A listing that ends too early would make payloads look as if they had no manifest.
            if token == told and last == page_begins_after:
                message = "the store says that there is more, and lists nothing more"
                raise errors.BackendFailedError(message, location=self._location)

    def _list_page(self, prefix: str, after: str, token: str) -> ListObjectsV2OutputTypeDef:
        where: dict[str, Any] = {"ContinuationToken": token} if token else {}
        if after and not token:
            where = {"StartAfter": self._root + after}
        return self._client.list_objects_v2(
            Bucket=self._bucket, Prefix=self._root + prefix, **where
        )

    # --- the client, and its errors -----------------------------------------------------

    @property
    def _client(self) -> S3Client:
        """The client; a new one after credentials were refused: the files may have new ones."""
        with self._connecting:
            if self._connected is None:
                self._connected = connect(self._options, self._location)
            return self._connected

    @contextlib.contextmanager
    def _translating(self, operation: str, key: str = "") -> Iterator[None]:
        """Translate what boto3 raises, and nothing that a caller's source may raise."""
        try:
            yield
        except faults.VENDOR_ERRORS as exc:
            error = faults.translate(exc, operation, self._location, key)
            if isinstance(error, errors.BackendCredentialsError):
                self._connected = None
            raise error from exc

    @contextlib.contextmanager
    def _asking(self, operation: str, key: str = "") -> Iterator[None]:
        """Translate also what an answer does to boto3 and us that no store should give (I7)."""
        try:
            with self._translating(operation, key):
                yield
        except (KeyError, TypeError, ValueError) as exc:
            message = f"cannot {operation} {key or self._location}: the answer makes no sense"
            where = Place(self._location, key).context
            raise errors.BackendFailedError(f"{message}: {exc}", **where) from exc
