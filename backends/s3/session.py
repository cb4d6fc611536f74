"""From options to a boto3 client: endpoint, credentials chain, bounds. No request is made here.

The SDK's own retries are off: `wrap/retry.py` is the one that repeats, knows how long, and is told
by the store's `Retry-After`. Its automatic checksums are off, too: `upload.py` sends its own in a
header, where every store reads them, while the SDK appends them to the body in a framing that some
stores do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from backends.s3 import faults

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from backends.s3.options import S3Options

_CONNECTIONS_KEPT = 64  # more calls than that at once open a connection each, and close it


def connect(options: S3Options, location: str) -> S3Client:
    """Make a client; safe for threads. The first request looks for the credentials.

    Raises:
        BackendError: The profile is unknown, or a setting of boto3's own files is wrong.
    """
    store = options.profile_of_store
    path_style = store.is_path_style if options.path_style is None else options.path_style
    config = Config(
        connect_timeout=options.connect_timeout_seconds,
        read_timeout=options.read_timeout_seconds,
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=_CONNECTIONS_KEPT,
        tcp_keepalive=True,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if path_style else "auto"},
        user_agent_extra="perdure",
    )
    try:
        session = boto3.Session(profile_name=options.profile)
        region = options.region or session.region_name or store.region
        return session.client(
            "s3", region_name=region, endpoint_url=options.endpoint_url, config=config
        )
    except (BotoCoreError, ValueError) as exc:
        raise faults.translate(exc, "open", location) from exc
