"""Who this server is: its name, and the uid under which it writes.

The uid lives in SQLite and in `{name}/server.json` on every backend, so that either finds the
other again. While neither can be read the uid is unknown and nothing is written: the engine
serves, and `establish` is tried again. Two uids under one name never write over each other, since
the uid is part of every key; it is reported, as the names should differ.
"""

from __future__ import annotations

import asyncio

import structlog

from sidecar.catalogue import Catalogue
from sidecar.clock import Clock
from sidecar.errors import BlobExistsError, PerdureError, ServerUidUnknownError
from sidecar.json_fields import Fields, encode_document
from sidecar.layout import ServerLayout, is_uid, new_uid, server_record
from sidecar.records import (
    RECORD_BYTES_MAX,
    ServerRecord,
    check_schema,
    decode_server,
    encode_server,
)
from sidecar.storage import Storage, Storages

_log = structlog.get_logger(__name__)
_META_UID = "server_uid"
_META_NAME = "server_name"


class Identity:
    """The name and the uid."""

    def __init__(self, name: str, catalogue: Catalogue, clock: Clock) -> None:
        self.name = name
        self._catalogue = catalogue
        self._clock = clock
        # Another name is another server: it gets a uid of its own, or the one it had before.
        is_same = catalogue.get_meta(_META_NAME) in {None, name}
        self._uid = catalogue.get_meta(_META_UID) if is_same else None

    @property
    def uid(self) -> str | None:
        """Return the uid, or None while it is unknown."""
        return self._uid

    @property
    def layout(self) -> ServerLayout:
        """Return where our objects lie, or raise ServerUidUnknownError."""
        if self._uid is None:
            raise ServerUidUnknownError("it is not known yet which uid this server has")
        return ServerLayout(self.name, self._uid)

    async def establish(self, storages: Storages) -> None:
        """Find the uid, or make one, while it is unknown: every backend is asked at once.

        Raises ServerUidUnknownError when no backend knows it and some could not be asked.
        """
        if self._uid is not None:
            return
        answers = await asyncio.gather(
            *(self._read(storage) for storage in storages), return_exceptions=True
        )
        failed: dict[str, PerdureError] = {}
        known = []
        for name, answer in zip(storages.names, answers, strict=True):
            if isinstance(answer, PerdureError):
                failed[name] = answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                known.append(answer)
        if not known and failed:
            name, error = next(iter(failed.items()))
            raise ServerUidUnknownError(
                f"backend {name} could not be asked which uid {self.name!r} has: {error.message}",
                context={"backend": name},
            ) from error
        self._keep(known[0] if known else new_uid())

    async def visit(self, storage: Storage) -> None:
        """Leave the uid on a backend that does not have it; tell when it has another one's."""
        uid = await self._read(storage)
        if uid is None:
            await self._write(storage)
        elif uid != self._uid:
            _log.warning(
                "server_name_shared", backend=storage.name, name=self.name, uid=self._uid, other=uid
            )

    def _keep(self, uid: str) -> None:
        self._catalogue.set_meta(_META_NAME, self.name)
        self._catalogue.set_meta(_META_UID, uid)
        self._uid = uid

    async def _read(self, storage: Storage) -> str | None:
        key = server_record(self.name)
        data = await storage.find_bytes(key, RECORD_BYTES_MAX)
        if data is None:
            return None
        record = decode_server(check_schema(Fields.parse(data, f"{storage.name}:{key}")))
        if not is_uid(record.uid):
            raise Fields.parse(data, key).wrong("uid", "is not a uid")
        return record.uid

    async def _write(self, storage: Storage) -> None:
        record = ServerRecord(self.name, self.layout.uid, self._clock.now())
        try:
            await storage.put_bytes(
                server_record(self.name), encode_document(encode_server(record))
            )
        except BlobExistsError:
            _log.warning("server_name_raced", backend=storage.name, name=self.name)
        except PerdureError as exc:
            _log.warning("server_record_not_put", backend=storage.name, error=exc.message)


async def read_uid(name: str, storage: Storage) -> str | None:
    """Return the uid that a backend has for a name, before there is a catalogue."""
    data = await storage.find_bytes(server_record(name), RECORD_BYTES_MAX)
    if data is None:
        return None
    return decode_server(check_schema(Fields.parse(data, server_record(name)))).uid
