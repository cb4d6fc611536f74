"""The server's status and its backends as messages, from figures that wait for nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from perdure.control.v1 import backend_pb2, server_pb2, snapshot_pb2
from sidecar.engine_port import EngineState
from sidecar.model import BackendStatus
from sidecar.rpc.failures import encode_stored_error
from sidecar.rpc.fields import Collection, full_name, set_instant, set_span
from sidecar.rpc.wire import BACKEND_STATES, ENGINE_STATES, wire_name

MILLISECONDS = 1000


@dataclass(frozen=True)
class ServerFacts:
    """What does not change while the process runs."""

    server_name: str
    version: str
    data_dir: str
    started_at: datetime
    endpoints: Mapping[str, str]
    """Door (`resp`, `data`, `control`, `http`) to `host:port`."""


def encode_backend(status: BackendStatus) -> backend_pb2.Backend:
    """Return the resource for one backend."""
    message = backend_pb2.Backend(
        name=full_name(Collection.BACKENDS, status.name),
        type=status.type,
        location=status.location,
        state=backend_pb2.Backend.State.Value(wire_name(BACKEND_STATES, status.is_up)),
        snapshot_count=status.snapshots,
        stored_size_bytes=status.stored_size_bytes,
        pending_snapshot_count=status.pending_snapshots,
    )
    set_instant(message.last_operation_time, status.last_operation_at)
    set_instant(message.next_retry_time, status.next_retry_at)
    if status.last_error is not None and status.is_up is False:
        message.last_error.CopyFrom(encode_stored_error(status.last_error))
    return message


def encode_facts(facts: ServerFacts, state: EngineState) -> server_pb2.ServerStatus:
    """Return a status with what the process knows of itself; the rest is filled in after."""
    message = server_pb2.ServerStatus(
        server_name=facts.server_name,
        version=facts.version,
        data_dir=facts.data_dir,
        endpoints=server_pb2.Endpoints(**facts.endpoints),
        state=server_pb2.ServerStatus.State.Value(wire_name(ENGINE_STATES, state)),
    )
    set_instant(message.start_time, facts.started_at)
    return message


def encode_engine(stats: Mapping[str, Any]) -> server_pb2.EngineStatus:
    """Return what the engine counts, from its stats document."""
    keys, expires = stats.get("keys", {}), stats.get("expires", {})
    message = server_pb2.EngineStatus(
        key_count=sum(keys.values()),
        databases=[
            snapshot_pb2.DatabaseSummary(
                index=int(index), key_count=count, expire_count=expires.get(index, 0)
            )
            for index, count in sorted(keys.items(), key=lambda item: int(item[0]))
            if count
        ],
        client_count=stats.get("clients", 0),
        used_memory_bytes=stats.get("used_memory_bytes", 0),
        resident_memory_bytes=stats.get("used_memory_rss_bytes", 0),
        unsaved_change_count=stats.get("dirty", 0),
        last_save_failed=stats.get("last_bgsave_status") == "err",
    )
    since_ms = stats.get("unsaved_since_unix_ms")
    if since_ms is not None:
        set_instant(message.unsaved_since_time, _instant(since_ms / MILLISECONDS))
    if stats.get("last_save_unix_s"):
        set_instant(message.last_save_time, _instant(stats["last_save_unix_s"]))
    if stats.get("last_fork_seconds"):
        set_span(message.last_fork_duration, stats["last_fork_seconds"])
    loading = stats.get("loading") or {}
    if stats.get("state") == EngineState.LOADING:
        message.loaded_bytes = loading.get("loaded_bytes", 0)
        message.loading_total_bytes = loading.get("total_bytes", 0)
    return message


def _instant(unix_seconds: float) -> datetime:
    return datetime.fromtimestamp(unix_seconds, UTC)
