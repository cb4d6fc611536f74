"""Clones as messages, and the filter of their list."""

from __future__ import annotations

from dataclasses import replace

from perdure.control.v1 import clone_pb2
from sidecar.clone_record import Clone, CloneFolder, CloneState
from sidecar.rpc.failures import encode_stored_error
from sidecar.rpc.fields import Collection, full_name, read_name, refuse, set_instant
from sidecar.rpc.filters import split_terms
from sidecar.rpc.wire import CLONE_STATES, SEEDS, wire_name
from sidecar.usecases import CloneFilter


def encode_clone(clone: Clone, folder: CloneFolder | None) -> clone_pb2.Clone:
    """Return the message; without a folder its paths are unset."""
    message = clone_pb2.Clone(
        name=full_name(Collection.CLONES, clone.clone_id),
        state=clone_pb2.Clone.State.Value(wire_name(CLONE_STATES, clone.state)),
        snapshot=full_name(Collection.SNAPSHOTS, clone.snapshot_id),
        key_count=clone.keys,
        server_name=clone.server_name,
        server_uid=clone.server_uid or "",
        etag=clone.etag,
    )
    if clone.seed is not None:
        message.seed = clone_pb2.Clone.Seed.Value(wire_name(SEEDS, clone.seed))
    if folder is not None:
        message.data_dir, message.log_file = str(folder.data), str(folder.log)
    if clone.endpoints:
        for door in ("resp", "data", "control", "http"):
            setattr(message.endpoints, door, clone.endpoints.get(door, ""))
    if clone.process is not None and clone.state is not CloneState.FAILED:
        message.pid = clone.process.pid
    if clone.error is not None and clone.state is CloneState.FAILED:
        message.error.CopyFrom(encode_stored_error(clone.error))
        message.log_tail = clone.log_tail
    set_instant(message.cut_time, clone.cut_at)
    set_instant(message.create_time, clone.created_at)
    set_instant(message.ready_time, clone.ready_at)
    set_instant(message.lease_end_time, clone.lease_end_at)
    return message


def read_clone_filter(text: str) -> CloneFilter:
    """Return what a filter asks for."""
    wanted = CloneFilter()
    for field, operator, value in split_terms(text):
        if field == "state" and operator == "=" and value in CLONE_STATES:
            wanted = replace(wanted, state=CLONE_STATES[value])
        elif field == "snapshot" and operator == "=":
            snapshot_id = read_name(Collection.SNAPSHOTS, value, "filter")
            wanted = replace(wanted, snapshot_id=snapshot_id)
        else:
            raise refuse(
                "filter",
                f"filter does not know {field} {operator} {value[:64]}",
                'take state = STATE_READY, or snapshot = "snapshots/ID"',
            )
    return wanted
