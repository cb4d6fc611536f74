"""ServerService: status, restore and configuration of the one server that answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypeAlias

from google.longrunning import operations_proto_pb2 as lro

from perdure.control.v1 import server_pb2, server_service_pb2, server_service_pb2_grpc
from sidecar.clock import Clock
from sidecar.engine_port import EnginePort
from sidecar.errors import PerdureError, RequestIdReusedError, RevisionMismatchError
from sidecar.event_log import EventLog
from sidecar.model import CopyState
from sidecar.observe import Figures
from sidecar.paging import ListRequest
from sidecar.rpc.failures import Context, encode_failure
from sidecar.rpc.fields import (
    PAGE_SIZE_MAX,
    Collection,
    full_name,
    read_name,
    read_optional_name,
    read_request_id,
    refuse,
    set_instant,
)
from sidecar.rpc.operation_messages import encode_operation
from sidecar.rpc.status_messages import ServerFacts, encode_backend, encode_engine, encode_facts
from sidecar.usecases import ControlPlane, SnapshotFilter

DIRECTIVES_MAX = 64
VALUE_CHARS_MAX = 64 * 1024
# Answers to UpdateConfig that a repeat is given. In memory: what they changed lasts no longer.
REMEMBERED_MAX = 256
_Asked: TypeAlias = tuple[dict[str, str], str]  # directives and etag


@dataclass(frozen=True)
class ServerView:
    """What the service shows of the process beside its use cases."""

    facts: ServerFacts
    server_uid: Callable[[], str | None]
    engine_error: Callable[[], PerdureError | None]
    """The error that made the engine fail."""
    figures: Figures
    events: EventLog
    clock: Clock


class ServerService(server_service_pb2_grpc.ServerServiceServicer):
    """The server as a whole."""

    def __init__(self, plane: ControlPlane, engine: EnginePort, view: ServerView) -> None:
        self._plane = plane
        self._engine = engine
        self._view = view
        self._changing = asyncio.Lock()
        self._answered: OrderedDict[str, tuple[_Asked, server_pb2.Config]] = OrderedDict()

    async def GetServerStatus(  # noqa: N802  # the wire's name
        self, request: server_service_pb2.GetServerStatusRequest, context: Context
    ) -> server_pb2.ServerStatus:
        """Answer one look at the server."""
        del request, context
        everything = ListRequest(page_size=PAGE_SIZE_MAX)
        message = encode_facts(self._view.facts, self._engine.state)
        message.server_uid = self._view.server_uid() or ""
        message.engine.CopyFrom(encode_engine(self._engine.stats()))
        message.snapshots.CopyFrom(self._snapshot_status())
        message.backends.extend(map(encode_backend, self._plane.backends.list(everything).items))
        running = self._plane.operations.list(everything, only_running=True).items
        message.running_operations.extend(
            full_name(Collection.OPERATIONS, operation.operation_id)
            for operation in reversed(running)
        )
        error = self._view.engine_error()
        if error is not None:
            message.error.CopyFrom(encode_failure(error))
        return message

    async def RestoreSnapshot(  # noqa: N802  # the wire's name
        self, request: server_service_pb2.RestoreSnapshotRequest, context: Context
    ) -> lro.Operation:
        """Start a restore, or plan one."""
        del context
        operation = await self._plane.restores.restore(
            read_name(Collection.SNAPSHOTS, request.name),
            backend=read_optional_name(Collection.BACKENDS, request.backend, "backend"),
            is_dry_run=request.validate_only,
            request_id=read_request_id(request.request_id),
        )
        return encode_operation(operation, self._plane.snapshots)

    async def GetConfig(  # noqa: N802  # the wire's name
        self, request: server_service_pb2.GetConfigRequest, context: Context
    ) -> server_pb2.Config:
        """Answer the effective configuration."""
        del context
        pattern = request.pattern or "*"
        everything = await self._engine.config_get("*")
        directives = everything if pattern == "*" else await self._engine.config_get(pattern)
        settings = {
            name: value
            for name, value in self._plane.settings.items()
            if fnmatchcase(name, pattern)
        }
        etag = _etag(everything)
        return server_pb2.Config(directives=directives, settings=settings, etag=etag)

    async def UpdateConfig(  # noqa: N802  # the wire's name
        self, request: server_service_pb2.UpdateConfigRequest, context: Context
    ) -> server_pb2.Config:
        """Change directives of the engine, all or none."""
        del context
        directives = _read_directives(request.directives)
        request_id = read_request_id(request.request_id)
        async with self._changing:
            if request_id is not None and request_id in self._answered:
                asked, answer = self._answered[request_id]
                if asked != (directives, request.etag):
                    raise RequestIdReusedError(
                        "this request_id came with other directives before",
                        context={"request_id": request_id},
                    )
                return answer
            await self._match(request.etag)
            await self._engine.config_set(list(directives.items()))
            now = await self._engine.config_get("*")
            answer = server_pb2.Config(
                directives={name: now[name] for name in directives if name in now}, etag=_etag(now)
            )
            if request_id is not None:
                self._answered[request_id] = ((directives, request.etag), answer)
                while len(self._answered) > REMEMBERED_MAX:
                    self._answered.popitem(last=False)
        return answer

    async def _match(self, etag: str) -> None:
        """Refuse a change of what the caller has not seen; what Redis clients set counts too."""
        if not etag:
            return
        now = _etag(await self._engine.config_get("*"))
        if etag != now:
            raise RevisionMismatchError(
                "a directive has changed since this etag was answered",
                hint="Read the configuration again and repeat the change on it.",
                context={"etag": now},
            )

    def _snapshot_status(self) -> server_pb2.SnapshotStatus:
        available = self._plane.snapshots.list(
            ListRequest(page_size=1), SnapshotFilter(state=CopyState.AVAILABLE)
        )
        message = server_pb2.SnapshotStatus(available_count=available.total)
        for newest in available.items:
            message.newest_snapshot = full_name(Collection.SNAPSHOTS, newest.snapshot_id)
            set_instant(message.newest_cut_time, newest.manifest.cut_at)
        set_instant(message.last_verified_time, self._view.figures.snapshot_last_verified_at)
        schedules = self._plane.schedules.list(ListRequest(page_size=PAGE_SIZE_MAX)).items
        due = [
            (view.status.next_due_at, view.schedule.schedule_id)
            for view in schedules
            if view.status.next_due_at is not None
        ]
        if due:
            next_due_at, schedule_id = min(due)
            message.next_schedule = full_name(Collection.SCHEDULES, schedule_id)
            set_instant(message.next_run_time, next_due_at)
        return message


def _etag(directives: Mapping[str, str]) -> str:
    """Return what stands for all values at once."""
    document = json.dumps(sorted(directives.items()))
    return hashlib.sha256(document.encode()).hexdigest()[:16]


def _read_directives(directives: Mapping[str, str]) -> dict[str, str]:
    """Return what is to be set, names in lower case as the engine compares them."""
    if not directives:
        raise refuse("directives", "no directive is named", 'name one, such as save "3600 1"')
    if len(directives) > DIRECTIVES_MAX:
        raise refuse("directives", "too many directives", f"take at most {DIRECTIVES_MAX}")
    if any(len(value) > VALUE_CHARS_MAX for value in directives.values()):
        raise refuse("directives", "a value is too long", f"{VALUE_CHARS_MAX} characters at most")
    wanted = {name.lower(): value for name, value in directives.items()}
    if len(wanted) < len(directives):
        raise refuse("directives", "a directive is named twice", "name each once")
    return wanted
