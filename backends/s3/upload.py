"""Putting: one call for a small blob, parts for a large one; nothing shows before the last call.

    read part 1 ── is it all? ── yes ── PutObject
                      │ no
                      └─ CreateMultipartUpload ── UploadPart x n, several at once ── Complete
                                                  anything goes wrong: Abort

Memory: `parts_in_flight` parts under way, one being read, and one more while it is put together;
the reading waits for a place. The source is checked to its end before the last call, so bytes that
are not as announced are never seen. A crash leaves parts without an object: `sweep.py`.

Each part has a thread of its own that nobody joins at exit: one dead store must not keep the
process from ending. The upload is aborted when its last part has come back, since a part that
arrives later would bring it to life again in some stores.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import threading
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from backends import errors
from backends.s3.faults import VENDOR_ERRORS
from backends.s3.stores import Checksum

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

    from backends.s3.options import S3Options
    from backends.source import SourceTransfer

PARTS_MAX: Final = 10_000
_FIELD: Final = {Checksum.CRC32: "ChecksumCRC32", Checksum.SHA256: "ChecksumSHA256"}


def checksum_fields(checksum: Checksum, body: bytes) -> dict[str, Any]:
    """Return what a call carries for the store to compare the body with."""
    if checksum is Checksum.CRC32:
        raw = zlib.crc32(body).to_bytes(4, "big")
    elif checksum is Checksum.SHA256:
        raw = hashlib.sha256(body).digest()
    elif checksum is Checksum.MD5:
        raw = hashlib.md5(body, usedforsecurity=False).digest()
    else:
        return {}
    return {_FIELD.get(checksum, "ContentMD5"): base64.b64encode(raw).decode()}


def encryption_fields(options: S3Options) -> dict[str, Any]:
    """Return what the calls that create an object carry."""
    if options.encryption == "sse-s3":
        return {"ServerSideEncryption": "AES256"}
    if options.encryption == "sse-kms":
        key = {"SSEKMSKeyId": options.kms_key_id} if options.kms_key_id else {}
        return {"ServerSideEncryption": "aws:kms", **key}
    return {}


def part_size_for(options: S3Options, size_bytes: int | None) -> int:
    """Return the length of a part: as configured, more for what would have too many parts."""
    if size_bytes is None:
        return options.part_size_bytes
    return max(options.part_size_bytes, -(-size_bytes // PARTS_MAX))


def read_parts(transfer: SourceTransfer, size_bytes: int) -> Generator[bytes]:
    """Yield the source in parts of that length; the last may be shorter, an empty source is one.

    Each part is yielded when it is known whether more follows.
    """
    pending: list[bytes] = []
    pending_bytes = 0
    for chunk in transfer:
        while pending_bytes + len(chunk) > size_bytes:
            cut = size_bytes - pending_bytes
            pending.append(chunk[:cut])
            yield b"".join(pending)
            chunk = chunk[cut:]  # noqa: PLW2901 - what is left of it
            pending, pending_bytes = [], 0
        pending.append(chunk)
        pending_bytes += len(chunk)
    yield b"".join(pending)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a blob goes, and how.

    Attributes:
        client: Makes the calls.
        bucket: The bucket.
        object_key: The key in the bucket, prefix included.
        options: Parts, checksum, encryption.
        checksum: Which one the bodies carry.
        condition: What the call that makes the object visible carries.
    """

    client: S3Client
    bucket: str
    object_key: str
    options: S3Options
    checksum: Checksum
    condition: dict[str, Any]

    @property
    def name(self) -> dict[str, Any]:
        """What every call carries."""
        return {"Bucket": self.bucket, "Key": self.object_key}


def put_whole(target: Target, body: bytes) -> None:
    """Create the object with one call."""
    target.client.put_object(
        **target.name,
        Body=body,
        **checksum_fields(target.checksum, body),
        **encryption_fields(target.options),
        **target.condition,
    )


class MultipartUpload:
    """One upload in parts. Use in a `with`; leaving it before `complete` aborts it."""

    def __init__(self, target: Target) -> None:
        """Begin it: the store answers its id."""
        field = _FIELD.get(target.checksum)
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": target.checksum.name} if field else {}
        answer = target.client.create_multipart_upload(
            **target.name, **algorithm, **encryption_fields(target.options)
        )
        if not answer.get("UploadId"):
            message = f"{target.object_key}: the store began an upload without naming it"
            raise errors.BackendFailedError(message, key=target.object_key)
        self._target = target
        self._upload_id = answer["UploadId"]
        self._parts: dict[int, CompletedPartTypeDef] = {}
        self._places = threading.Semaphore(target.options.parts_in_flight)
        self._failure: BaseException | None = None
        self._is_complete = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Abort it unless it is complete; what cannot be aborted now is swept later."""
        if self._is_complete:
            return
        self._wait()
        with contextlib.suppress(*VENDOR_ERRORS):
            self._target.client.abort_multipart_upload(
                **self._target.name, UploadId=self._upload_id
            )

    def send(self, number: int, body: bytes) -> None:
        """Send a part in the background, when there is a place; raise what an earlier one met."""
        if number > PARTS_MAX:
            message = f"the source has more than {PARTS_MAX} parts"
            hint = "Raise part_size_bytes in the [backends.<name>] table."
            raise errors.BackendFullError(message).with_hint(hint)
        self._places.acquire()
        if self._failure:
            self._places.release()
            raise self._failure
        thread = threading.Thread(
            target=self._send, args=(number, body), name=f"s3-part-{number}", daemon=True
        )
        try:
            thread.start()
        except BaseException:
            self._places.release()
            raise

    def complete(self, guarded: Callable[[Callable[[], object]], object]) -> None:
        """Wait for all parts and make the object of them; `guarded` runs the last call."""
        self._wait()
        if self._failure:
            raise self._failure
        guarded(self._complete)
        self._is_complete = True

    def _complete(self) -> None:
        answer = self._target.client.complete_multipart_upload(
            **self._target.name,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": [self._parts[number] for number in sorted(self._parts)]},
            **self._target.condition,
        )
        # A store begins this answer before it knows: one that breaks off looks like a short 200.
        if not answer.get("ETag"):
            message = f"{self._target.object_key}: the answer to the last call broke off"
            raise errors.BackendUnavailableError(message, key=self._target.object_key)

    def _send(self, number: int, body: bytes) -> None:
        try:
            fields = checksum_fields(self._target.checksum, body)
            answer = self._target.client.upload_part(
                **self._target.name,
                UploadId=self._upload_id,
                PartNumber=number,
                Body=body,
                **fields,
            )
            part: CompletedPartTypeDef = {"PartNumber": number, "ETag": answer.get("ETag", "")}
            if field := _FIELD.get(self._target.checksum):
                part[field] = fields[field]  # type: ignore[literal-required]  # of the table above
            self._parts[number] = part
        except BaseException as exc:  # noqa: BLE001 - carried to the thread that puts
            self._failure = self._failure or exc
        finally:
            self._places.release()

    def _wait(self) -> None:
        """Return when no part is under way."""
        count = self._target.options.parts_in_flight
        for _ in range(count):
            self._places.acquire()
        for _ in range(count):
            self._places.release()
