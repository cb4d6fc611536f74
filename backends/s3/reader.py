"""Reading: a range of an object as it comes from the store, with the length that it must have.

A connection that ends early is the network's fault and can be repeated (`wrap/retry.py` goes on at
the position reached); an answer that is not the range asked for is never handed out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from backends import errors
from backends.base import BlobReader
from backends.s3 import faults

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import GetObjectOutputTypeDef

    from backends.s3.faults import Place

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def range_header(offset_bytes: int, length_bytes: int | None) -> str | None:
    """Return the header for a range of at least one byte; None for the whole."""
    if length_bytes is None:
        return f"bytes={offset_bytes}-" if offset_bytes else None
    return f"bytes={offset_bytes}-{offset_bytes + length_bytes - 1}"


class S3Reader(BlobReader):
    """A body on its way."""

    def __init__(self, place: Place, answer: GetObjectOutputTypeDef, offset_bytes: int) -> None:
        """Take over the answer to a get.

        Raises:
            BackendFailedError: The store answered another range than it was asked for.
        """
        self.size_bytes = answer["ContentLength"]
        self._place = place
        self._body: StreamingBody | None = answer["Body"]
        told = _RANGE.fullmatch(answer.get("ContentRange", ""))
        begins = int(told.group(1)) if told else 0
        if begins != offset_bytes:
            self.close()
            message = f"the store answered the bytes from {begins} on, not from {offset_bytes} on"
            raise errors.BackendFailedError(message, **place.context)

    def read(self, size_bytes: int, /) -> bytes:
        """Take what has come; the store may let it wait."""
        if self._body is None:
            return b""
        try:
            return bytes(self._body.read(size_bytes))
        except (*faults.VENDOR_ERRORS, OSError) as exc:
            raise faults.translate(exc, "read", self._place.location, self._place.key) from exc

    def close(self) -> None:
        """Close the connection when the body was not read to its end."""
        body, self._body = self._body, None
        if body is not None:
            body.close()


class EmptyReader(BlobReader):
    """A range without bytes, which S3 has no way to ask for."""

    size_bytes = 0

    def read(self, _size_bytes: int, /) -> bytes:
        """Answer the end."""
        return b""

    def close(self) -> None:
        """Do nothing."""
