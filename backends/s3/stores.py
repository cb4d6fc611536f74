"""Which S3-compatible store can what: the quirks, one profile a store.

What a profile claims was seen on the store itself (versitygw: by the tests; the others: as their
makers document it); `perdure backend check` tries the claims on the operator's own. Adding a store?
One row here, its line in docs/operations/backends-s3.md.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Store(enum.Enum):
    """What stands behind the endpoint."""

    AWS = "aws"
    VERSITYGW = "versitygw"
    MINIO = "minio"
    R2 = "r2"
    CEPH = "ceph"
    GENERIC = "generic"


class Checksum(enum.Enum):
    """What each body carries for the store to compare."""

    CRC32 = "crc32"
    SHA256 = "sha256"
    MD5 = "md5"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class StoreProfile:
    """What a store can.

    Attributes:
        has_conditional_create: It refuses `If-None-Match: *` where the name is taken, in a put and
            in the completion of parts. Without it the name is looked at first, which guards against
            the calls of this process only.
        is_path_style: Buckets are named in the path, not in the host's name.
        checksum: The best that it is known to verify.
        region: What requests are signed for when nothing is configured.
        lists_uploads_by_prefix: Unfinished uploads can be asked for by a prefix.
    """

    has_conditional_create: bool = True
    is_path_style: bool = True
    checksum: Checksum = Checksum.CRC32
    region: str | None = "us-east-1"
    lists_uploads_by_prefix: bool = True


PROFILES: Final = {
    Store.AWS: StoreProfile(is_path_style=False, region=None),
    Store.VERSITYGW: StoreProfile(),
    # A prefix finds an upload only when it is the whole key; without one all are listed.
    Store.MINIO: StoreProfile(lists_uploads_by_prefix=False),
    Store.R2: StoreProfile(region="auto"),
    # The completion of parts takes no condition in the releases that most people run.
    Store.CEPH: StoreProfile(has_conditional_create=False, checksum=Checksum.MD5),
    Store.GENERIC: StoreProfile(has_conditional_create=False, checksum=Checksum.MD5),
}
