"""The two doors of the control plane, opened and closed together, and what their probes say.

The engine's own doors (RESP, data gRPC) are the engine's; their ports come from it. A door that
cannot be bound refuses the start as ADDRESS_IN_USE. Whether an address may be bound at all is the
configuration's matter. Limit: of several configured addresses these two doors take the first.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass

from sidecar.engine import EngineAdapter
from sidecar.engine_port import EngineState
from sidecar.errors import UnavailableError
from sidecar.http import HttpDoor, Pages, Verdict
from sidecar.rpc.audit_interceptor import AuditInterceptor
from sidecar.rpc.door import ControlDoor
from sidecar.rpc.server_service import ServerView
from sidecar.usecases import ControlPlane


@dataclass(frozen=True)
class DoorAddress:
    """Where a door is to listen; port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return `host:port`, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class Probes:
    """What /readyz and /startupz say, from the engine's state and the app's own."""

    def __init__(self, engine: EngineAdapter) -> None:
        self._engine = engine
        self.is_started = False
        """The engine was ready once, and the control plane is set up."""
        self.is_draining = False

    def startup(self) -> Verdict:
        """Pass once the start is complete, and for ever after."""
        return Verdict(is_ok=True) if self.is_started else Verdict(False, self._reasons())  # noqa: FBT003

    def ready(self) -> Verdict:
        """Pass while requests are served."""
        reasons = self._reasons()
        return Verdict(is_ok=not reasons, reasons=reasons)

    def _reasons(self) -> tuple[str, ...]:
        if self.is_draining:
            return ("the server is shutting down",)
        match self._engine.state:
            case EngineState.READY:
                return () if self.is_started else ("the control plane is starting",)
            case EngineState.LOADING:
                return (_loading(self._engine.stats()),)
            case EngineState.FAILED:
                error = self._engine.error
                said = f"{error.code}: {error.message}" if error else "no reason was given"
                return (f"the engine failed: {said}",)
            case EngineState.STOPPED:
                return ("the engine is stopped",)


def _loading(stats: dict[str, object]) -> str:
    loading = stats.get("loading")
    if isinstance(loading, dict) and loading.get("total_bytes"):
        done, total = loading.get("loaded_bytes", 0), loading["total_bytes"]
        return f"the engine is loading: {done} of {total} bytes"
    return "the engine is loading"


class Doors:
    """The control door and the HTTP door. Make it in the loop that serves them."""

    def __init__(
        self,
        metrics: Callable[[str], tuple[bytes, str]],
        probes: Probes,
        auditor: AuditInterceptor,
    ) -> None:
        self.control = ControlDoor(auditor)
        self._http = HttpDoor(Pages(metrics=metrics, ready=probes.ready, startup=probes.startup))

    def bind_control(self, address: DoorAddress) -> int:
        """Take the control door's address, before `open`, and return its port."""
        try:
            _try_address(address)
            return self.control.bind(str(address))
        except (RuntimeError, OSError) as exc:
            raise _in_use("control", address, exc) from exc

    async def open_http(self, address: DoorAddress) -> int:
        """Answer probes and scrapes from now on; return the port."""
        try:
            return await self._http.start(address.host, address.port)
        except OSError as exc:
            raise _in_use("http", address, exc) from exc

    async def open_control(
        self, plane: ControlPlane, engine: EngineAdapter, view: ServerView
    ) -> None:
        """Answer the control API from now on; health says NOT_SERVING still."""
        self.control.add_services(plane, engine, view)
        await self.control.start()

    async def close(self, grace_seconds: float) -> None:
        """Close both; calls in flight have `grace_seconds`."""
        await self.control.stop(grace_seconds)
        await self._http.stop()


def _try_address(address: DoorAddress) -> None:
    """Bind and let go: gRPC says less about why an address cannot be had, and writes on stderr."""
    family, kind, proto, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, proto) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(where)


def _in_use(door: str, address: DoorAddress, exc: Exception) -> UnavailableError:
    is_taken = isinstance(exc, OSError) and exc.errno == errno.EADDRINUSE
    why = "the port is taken" if is_taken else str(exc)
    return UnavailableError(
        f"the {door} door cannot listen on {address}: {why}",
        code="ADDRESS_IN_USE",
        hint=f"End the process that holds the port, or choose another with --{door}-port.",
        is_retryable=False,
        context={"door": door, "address": str(address)},
    )
