"""Uploads that nobody will finish: parts of a put that a crash cut off, invisible and paid for.

A put that fails in peace removes its own. What is left is found here by age, below a prefix of our
own, never elsewhere in the bucket. The age is told by the store's clock (`Initiated`) against the
`Date` of the answer that lists, so that a wrong local clock ends no upload that still runs.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from backends.s3.faults import code_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListMultipartUploadsOutputTypeDef, MultipartUploadTypeDef

PAGES_MAX = 1000


def sweep_uploads(
    client: S3Client, bucket: str, prefix: str, older_than: timedelta, *, asks_by_prefix: bool
) -> int:
    """Abort the uploads below the prefix that began longer ago; return how many.

    Raises:
        ClientError, BotoCoreError: As the calls to the store do; some may be aborted then.
    """
    aborted = 0
    asked = prefix if asks_by_prefix else ""
    for upload, now in _list_uploads(client, bucket, asked):
        if not upload["Key"].startswith(prefix) or now - upload["Initiated"] < older_than:
            continue
        try:
            client.abort_multipart_upload(
                Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )
        except ClientError as exc:
            if code_of(exc) != "NoSuchUpload":  # finished or aborted since it was listed
                raise
        else:
            aborted += 1
    return aborted


def _list_uploads(
    client: S3Client, bucket: str, prefix: str
) -> Iterator[tuple[MultipartUploadTypeDef, datetime]]:
    marks: dict[str, Any] = {}
    for _ in range(PAGES_MAX):
        page = client.list_multipart_uploads(Bucket=bucket, Prefix=prefix, **marks)
        now = _time_of(page)
        for upload in page.get("Uploads", []):
            yield upload, now
        if not page.get("IsTruncated"):
            return
        following = {
            "KeyMarker": page.get("NextKeyMarker", ""),
            "UploadIdMarker": page.get("NextUploadIdMarker", ""),
        }
        if following == marks:
            return  # A store that does not move on; the next sweep sees what was left.
        marks = following


def _time_of(page: ListMultipartUploadsOutputTypeDef) -> datetime:
    """Return the store's time; ours where it does not tell."""
    told = page["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        return parsedate_to_datetime(told).astimezone(UTC)
    except ValueError:
        return datetime.now(UTC)
