"""The one composition root: makes everything, starts it in order, and ends it in order.

    lock, catalogue, backends -> who we are, what will be loaded -> engine (loads) -> doors
        -> engine ready -> health SERVING -> ready file
    signal, SHUTDOWN or failure -> health NOT_SERVING -> schedules and operations end
        -> engine saves and stops -> doors close -> lock

Nothing imports this file but the command. No rule of the domain is here. What keeps the server from
serving is raised as a PerdureError. An end that could not save the data is refused: the data is
served on, the log says what to do, and the next signal tries again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

import structlog

from backends.durable import set_step_hook
from sidecar import failpoints
from sidecar._engine import Engine, EngineError
from sidecar.clock import SystemClock
from sidecar.clone_life import LeaseWatch, Patience, wait_for_release
from sidecar.config import Loaded, engine_options, load_settings
from sidecar.control_plane import Core, CoreOptions
from sidecar.directives import find_data_set
from sidecar.doors import DoorAddress, Doors, Probes
from sidecar.engine import EngineAdapter, translate_native
from sidecar.engine_figures import EngineCollector
from sidecar.engine_port import EngineState
from sidecar.errors import EngineNotReadyError, PerdureError
from sidecar.logs import set_up_logs
from sidecar.metrics import Exposition, FiguresCollector
from sidecar.paging import ListRequest
from sidecar.ready_file import remove_ready_file, write_ready_file
from sidecar.rpc.audit_interceptor import AuditInterceptor
from sidecar.rpc.server_service import ServerView
from sidecar.rpc.status_messages import ServerFacts
from sidecar.serve import ServeOptions
from sidecar.shipping import ENGINE_VERSION
from sidecar.stopping import StopReason, StopRequests

_log = structlog.get_logger(__name__)
T = TypeVar("T")

# Running operations may end by themselves for so long; then they are cancelled and recorded.
DRAIN_SECONDS = 10.0
DOORS_GRACE_SECONDS = 2.0


def run_server(options: ServeOptions) -> None:
    """Serve until told to stop; blocks. Return after an orderly end.

    Raises:
        PerdureError: the configuration, the data dir, an address or the data set refused the start,
            or the engine failed.
    """
    set_up_logs()
    set_step_hook(failpoints.hit)  # the backends know no failpoints, only steps
    loaded = load_settings(options.config, os.environ, options.settings())
    if loaded.settings.server.clone_folder is not None and not wait_for_release():
        _log.warning("clone_abandoned", reason="the server that makes it is gone")
        return
    asyncio.run(_serve(loaded, options))


async def _serve(loaded: Loaded, options: ServeOptions) -> None:
    server = Server(loaded, options)
    try:
        await server.start()
        await server.serve_until_stopped()
    except StartAbandonedError:
        _log.info("start_abandoned")
    finally:
        await server.close()


class StartAbandonedError(Exception):
    """Somebody asked for the end before the start was complete; nothing was served."""


class Server:
    """Everything that runs, in one process. Make it in the loop that serves it."""

    def __init__(self, loaded: Loaded, options: ServeOptions) -> None:
        """Take the data dir's lock and make all that stands on it; nothing is started."""
        self._loaded = loaded
        self._settings = loaded.settings.server
        self._options = options
        self._clock = SystemClock()
        self._started_at = self._clock.now()
        self._engine = EngineAdapter(EngineError)
        core_options = CoreOptions(find_data_set(loaded, options))
        self._core = Core(loaded.settings, self._clock, self._engine, core_options)
        self._probes = Probes(self._engine)
        exposition = Exposition(
            EngineCollector(self._engine.stats, time.time),
            FiguresCollector(self._core.figures, ENGINE_VERSION),
        )
        auditor = AuditInterceptor(self._core.audit, self._clock)
        self._doors = Doors(exposition.render, self._probes, auditor)
        self._stop = StopRequests(self._engine)
        self._is_engine_running = False
        self._lease_task: asyncio.Task[None] | None = None
        self._addresses: dict[str, DoorAddress] = {}

    # --- start ------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the data set, open the doors, and say that all serves.

        Raises:
            PerdureError: something refused; `close` cleans up.
        """
        _log.info(
            "starting", version=ENGINE_VERSION, data_dir=str(self._settings.data_dir.resolve())
        )
        self._stop.install()
        if self._settings.ready_file is not None:
            remove_ready_file(self._settings.ready_file)  # a killed process left its own
        await self._unless_stopped(self._core.prepare())
        self._start_engine()
        await self._unless_stopped(self._core.begin())
        await self._open_doors()
        await self._unless_stopped(self._engine.wait_loaded())
        self._core.start()
        self._watch_lease()
        self._probes.is_started = True
        await self._doors.control.set_serving(is_serving=True)
        addresses = {door: str(address) for door, address in self._addresses.items()}
        if self._settings.ready_file is not None:
            ports = {door: address.port for door, address in self._addresses.items()}
            facts = {
                "server_uid": self._core.ground.identity.uid,
                "keys": self._engine.loaded_keys,
            }
            write_ready_file(self._settings.ready_file, ports, addresses, facts)
        _log.info(
            "serving",
            version=ENGINE_VERSION,
            server=self._settings.name,
            data_dir=str(self._settings.data_dir.resolve()),
            **addresses,
        )

    def _watch_lease(self) -> None:
        """A clone ends by itself when its lease is over and nobody ended it."""
        folder = self._settings.clone_folder
        if folder is None:
            return
        options = self._loaded.settings.clones
        patience = Patience(options.start_timeout, options.lease_grace)
        watch = LeaseWatch(folder, self._clock, patience, lambda: self._stop.ask(StopReason.SIGNAL))
        self._lease_task = asyncio.create_task(watch.run())

    def _start_engine(self) -> None:
        redis_args, overrides = list(self._options.redis_args), self._options.directives()
        uid = self._core.ground.identity.uid
        options = engine_options(self._loaded, redis_args, overrides, uid)
        try:
            native = Engine(options)
        except EngineError as exc:
            raise translate_native(exc) from exc
        self._engine.attach(native)
        self._is_engine_running = True
        for door, port in self._engine.ports().items():
            self._addresses[door] = DoorAddress(self._settings.bind[0], port)

    async def _open_doors(self) -> None:
        host = self._settings.bind[0]
        port = await self._doors.open_http(DoorAddress(host, self._settings.http_port))
        self._addresses["http"] = DoorAddress(host, port)
        port = self._doors.bind_control(DoorAddress(host, self._settings.control_port))
        self._addresses["control"] = DoorAddress(host, port)
        facts = ServerFacts(
            server_name=self._settings.name,
            version=ENGINE_VERSION,
            data_dir=str(self._settings.data_dir.resolve()),
            started_at=self._started_at,
            endpoints={door: str(address) for door, address in self._addresses.items()},
        )
        view = ServerView(
            facts=facts,
            server_uid=lambda: self._core.ground.identity.uid,
            engine_error=lambda: self._engine.error,
            figures=self._core.figures,
            events=self._core.events,
            clock=self._clock,
        )
        await self._doors.open_control(self._core.control_plane, self._engine, view)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` gives; a request to stop meanwhile ends the start."""
        working = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                self._stop.ask(stopping.result())  # for whoever waits next
            if working.done() or self._engine.state is EngineState.FAILED:
                return await working  # a failed engine is what it raises
            raise StartAbandonedError
        finally:
            stopping.cancel()
            working.cancel()

    # --- end --------------------------------------------------------------------------

    async def serve_until_stopped(self) -> None:
        """Serve until something asks for the end, and the data is as safe as its policy says.

        Raises:
            PerdureError: the engine failed while it served.
        """
        while True:
            reason = await self._stop.wait()
            _log.info("stopping", reason=reason.name.lower())
            self._probes.is_draining = True
            await self._doors.control.set_serving(is_serving=False)
            if reason is StopReason.ENGINE:
                raise self._engine.error or EngineNotReadyError("the engine failed")
            await self._drain()
            try:
                await self._stop_engine(save=None if reason is StopReason.SIGNAL else False)
            except PerdureError as error:
                # As redis-server does: better to serve on than to lose what is in memory.
                _log.error(
                    "end_refused",
                    code=error.code,
                    error=error.message,
                    hint=f"{error.hint} Then send SIGTERM again, or SHUTDOWN NOSAVE to lose it.",
                )
                await self._serve_on()
                continue
            return

    async def _serve_on(self) -> None:
        """Take a drain back: schedules, shipping and health are what they were before it."""
        await self._core.resume()
        self._probes.is_draining = False
        await self._doors.control.set_serving(is_serving=True)

    async def _drain(self) -> None:
        """Let running operations end, for a while; then end them and all background work."""
        operations = self._core.ground.operations
        deadline = self._clock.monotonic() + DRAIN_SECONDS
        for operation in operations.list(ListRequest(), only_running=True).items:
            left = deadline - self._clock.monotonic()
            if left > 0:
                await operations.wait(operation.operation_id, left)
        await self._core.stop()

    async def _stop_engine(self, *, save: bool | None) -> None:
        """Stop the engine; None saves first if save points are configured."""
        if not self._is_engine_running:
            return
        await self._engine.stop(save=save)
        self._is_engine_running = False

    async def close(self) -> None:
        """End whatever still runs; after an orderly end that is little. Never raises."""
        if self._settings.ready_file is not None:
            remove_ready_file(self._settings.ready_file)
        if self._lease_task is not None:
            self._lease_task.cancel()
        if self._is_engine_running:
            await self._end_in_failure()
        await self._doors.close(DOORS_GRACE_SECONDS)
        self._core.close()
        self._stop.remove()  # last: a signal repeated meanwhile must not turn the end into a kill
        _log.info("stopped")

    async def _end_in_failure(self) -> None:
        """Stop an engine whose server could not go on; what it served is saved if it can be."""
        await self._core.stop()
        try:
            await self._stop_engine(save=None)  # what was never loaded is not saved either
        except PerdureError as error:
            _log.error("data_not_saved", code=error.code, error=error.message, hint=error.hint)
