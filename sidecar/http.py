"""The HTTP door: /metrics for Prometheus, /livez /readyz /startupz for a kubelet. Read-only.

The door renders what it is given: the metrics' text comes from `sidecar.metrics`, the verdicts from
`sidecar.app`. No page waits on the engine's lock or on a disk, so a busy engine still answers.
The engine's own health is answered by its data door; these pages speak for the control plane.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

BACKLOG = 128
REQUEST_BYTES_MAX = 1024
SHUTDOWN_SECONDS = 1.0
_PLAIN = "text/plain"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Whether a probe passes, and why: shown as the body, one reason a line."""

    is_ok: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pages:
    """What the door shows. Each is called once a request, on the loop, and must not block."""

    metrics: Callable[[str], tuple[bytes, str]]
    """Takes the Accept header; returns the body and its content type."""
    ready: Callable[[], Verdict]
    startup: Callable[[], Verdict]


class HttpDoor:
    """A small aiohttp server on one address."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen and return the port in use (`port` 0 takes a free one).

        Raises:
            OSError: the address cannot be bound; nothing is left open.
        """
        app = web.Application(client_max_size=REQUEST_BYTES_MAX)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/startupz", self._startupz)
        listener = _listen(host, port)
        runner = web.AppRunner(
            app,
            handle_signals=False,
            access_log=None,
            logger=_log,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )
        try:
            await runner.setup()
            await web.SockSite(runner, listener, backlog=BACKLOG).start()
        except BaseException:
            listener.close()
            await runner.cleanup()
            raise
        self._runner = runner
        bound: int = listener.getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Close the listener and the connections. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._pages.metrics(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _livez(self, _request: web.Request) -> web.Response:
        # That this line runs is the proof: the loop turns.
        return _page(Verdict(is_ok=True))

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _page(self._pages.ready())

    async def _startupz(self, _request: web.Request) -> web.Response:
        return _page(self._pages.startup())


def _page(verdict: Verdict) -> web.Response:
    lines = ("ok" if verdict.is_ok else "not ok", *verdict.reasons)
    return web.Response(
        text="".join(f"{line}\n" for line in lines),
        status=200 if verdict.is_ok else 503,
        content_type=_PLAIN,
        headers={"Cache-Control": "no-store"},
    )


def _is_worth_logging(record: logging.LogRecord) -> bool:
    """Return whether it is more than a client that does not speak HTTP: that one got its 400."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)


_log.addFilter(_is_worth_logging)


def _listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket; the caller owns it."""
    family, kind, proto, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, proto)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.setblocking(False)  # noqa: FBT003  # the socket's own signature
    except BaseException:
        listener.close()
        raise
    return listener
