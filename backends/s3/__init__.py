"""The `s3` backend: blobs as objects of an S3-compatible store, through boto3.

    options.py  what can be configured            stores.py   which store can what
    session.py  from options to a boto3 client    faults.py   a vendor's error to ours
    backend.py  the contract                      upload.py   putting: one call or many parts
    reader.py   reading                           sweep.py    uploads that nobody will finish

boto3 is imported when the type is asked for, and knows nothing of retries here: repeating is
`wrap/retry.py`'s alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from backends.registry import BackendPlugin
from backends.s3.backend import S3Backend
from backends.s3.options import S3Options

if TYPE_CHECKING:
    from pydantic import BaseModel

    from backends.base import Backend

__all__ = ["PLUGIN", "S3Backend", "S3Options"]


def _open_s3(options: BaseModel) -> Backend:
    if not isinstance(options, S3Options):
        message = f"options of another backend: {type(options).__name__}"
        raise TypeError(message)
    return S3Backend(options)


PLUGIN: Final = BackendPlugin(type_name="s3", options=S3Options, open=_open_s3)
