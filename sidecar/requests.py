"""Once-only mutations that answer at once: the first result under a request_id is kept.

Operations have the same rule in `sidecar.operations`. The result is recorded after the work, so a
crash between the two repeats the work: what is guarded here is idempotent or has unique names.
Nothing waits here but for the same request, or for another change of the same thing: a backend that
hangs in one mutation keeps no other one waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from sidecar.catalogue import Catalogue, StoredRequest
from sidecar.clock import Clock
from sidecar.model import JsonObject
from sidecar.operations import fingerprint, request_id_reused


class Turns:
    """One at a time by key; a key that nobody holds or waits for takes no room."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Keep a key for the length of a block; who comes meanwhile waits."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            _, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = lock, users - 1


class Requests:
    """Remembers first results."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._repeats = Turns()
        self._changes = Turns()

    async def once(
        self,
        method: str,
        request_id: str | None,
        payload: JsonObject,
        work: Callable[[], Awaitable[JsonObject]],
        *,
        target: str,
    ) -> JsonObject:
        """Do the work, or return what the same request was first answered with.

        Raises RequestIdReusedError for another payload under the same id. Two repeats in flight
        cannot both do the work, and changes of one target are done one after the other.
        """
        async with AsyncExitStack() as stack:
            if request_id is not None:
                await stack.enter_async_context(self._repeats.hold(f"{method} {request_id}"))
                stored = self._catalogue.find_request(method, request_id)
                if stored is not None:
                    if stored.fingerprint != fingerprint(payload):
                        raise request_id_reused(request_id)
                    return stored.result
            async with self._changes.hold(target):
                result = await work()
            if request_id is not None:
                request = StoredRequest(fingerprint(payload), result)
                self._catalogue.put_request(method, request_id, request, self._clock.now())
            return result
