"""Once-only mutations that answer at once: the first result under a request_id is kept.

Operations have the same rule in `sidecar.operations`. The result is recorded after the work, so a
crash between the two repeats the work: what is guarded here is idempotent or has unique names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sidecar.catalogue import Catalogue, StoredRequest
from sidecar.clock import Clock
from sidecar.model import JsonObject
from sidecar.operations import fingerprint, request_id_reused


class Requests:
    """Remembers first results."""

    def __init__(self, catalogue: Catalogue, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._lock = asyncio.Lock()

    async def once(
        self,
        method: str,
        request_id: str | None,
        payload: JsonObject,
        work: Callable[[], Awaitable[JsonObject]],
    ) -> JsonObject:
        """Do the work, or return what the same request was first answered with.

        Raises RequestIdReusedError for another payload under the same id. Mutations run one at a
        time, so that two repeats in flight cannot both do the work.
        """
        async with self._lock:
            if request_id is None:
                return await work()
            stored = self._catalogue.find_request(method, request_id)
            if stored is not None:
                if stored.fingerprint != fingerprint(payload):
                    raise request_id_reused(request_id)
                return stored.result
            result = await work()
            request = StoredRequest(fingerprint(payload), result)
            self._catalogue.put_request(method, request_id, request, self._clock.now())
            return result
