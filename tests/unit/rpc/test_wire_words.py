"""Every word of the domain has a name on the wire, and every name has a word."""

from collections.abc import Mapping
from typing import Any

import pytest

from perdure.control.v1 import (
    compression_pb2,
    event_pb2,
    operation_metadata_pb2,
    schedule_pb2,
    server_pb2,
)
from perdure.control.v1.snapshot_pb2 import Snapshot
from sidecar.engine_port import EngineState
from sidecar.event_log import EventType, Severity
from sidecar.model import Compression, CopyState, OperationKind, Phase, Preset, Trigger
from sidecar.rpc import wire

TABLES = [
    (wire.TRIGGERS, Trigger, Snapshot.Trigger),
    (wire.STATES, CopyState, Snapshot.State),
    (wire.COMPRESSIONS, Compression, compression_pb2.Compression),
    (wire.PRESETS, Preset, schedule_pb2.Schedule.Preset),
    (wire.KINDS, OperationKind, operation_metadata_pb2.OperationMetadata.Kind),
    (wire.PHASES, Phase, operation_metadata_pb2.OperationMetadata.Phase),
    (wire.EVENTS, EventType, event_pb2.Event.Type),
    (wire.SEVERITIES, Severity, event_pb2.Event.Severity),
    (wire.ENGINE_STATES, EngineState, server_pb2.ServerStatus.State),
]


@pytest.mark.parametrize(("names", "words", "enum"), TABLES)
def test_tables_are_complete_both_ways(names: Mapping[str, Any], words: Any, enum: Any) -> None:
    """Compare each table with the domain's enum and with the proto's."""
    assert set(names.values()) == set(words)
    assert set(names) == {name for name, _ in enum.items() if not name.endswith("_UNSPECIFIED")}
