"""Words of the domain and the wire's names for them, one table for each enum.

Tables go from the wire's name to the word; `wire_name` goes back. A test holds that every word has
a name and every name but the unspecified one has a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from sidecar.clone_record import CloneState, Seed
from sidecar.engine_port import EngineState
from sidecar.event_log import EventType, Severity
from sidecar.model import (
    Compression,
    CopyState,
    OperationKind,
    OperationState,
    Phase,
    Preset,
    Trigger,
)

Word = TypeVar("Word")

TRIGGERS: dict[str, Trigger] = {
    "TRIGGER_MANUAL": Trigger.MANUAL,
    "TRIGGER_SCHEDULE": Trigger.SCHEDULE,
    "TRIGGER_SAFETY": Trigger.SAFETY,
    "TRIGGER_BOOT": Trigger.BOOT,
    "TRIGGER_RUN": Trigger.RUN,
    "TRIGGER_IMPORT": Trigger.IMPORT,
}
STATES: dict[str, CopyState] = {
    "STATE_AVAILABLE": CopyState.AVAILABLE,
    "STATE_DELETED": CopyState.DELETING,
    "STATE_DAMAGED": CopyState.DAMAGED,
}
COMPRESSIONS: dict[str, Compression] = {
    "COMPRESSION_NONE": Compression.NONE,
    "COMPRESSION_ZSTD": Compression.ZSTD,
}
PRESETS: dict[str, Preset] = {
    "PRESET_HOURLY": Preset.HOURLY,
    "PRESET_EVERY_12H": Preset.EVERY_12H,
    "PRESET_DAILY": Preset.DAILY,
}
KINDS: dict[str, OperationKind] = {
    "KIND_CREATE_SNAPSHOT": OperationKind.SNAPSHOT_CREATE,
    "KIND_VERIFY_SNAPSHOT": OperationKind.SNAPSHOT_VERIFY,
    "KIND_RUN_SCHEDULE": OperationKind.SCHEDULE_RUN,
    "KIND_RESTORE_SNAPSHOT": OperationKind.RESTORE,
    "KIND_CHECK_BACKEND": OperationKind.BACKEND_CHECK,
    "KIND_IMPORT_SNAPSHOT": OperationKind.SNAPSHOT_IMPORT,
    "KIND_CREATE_CLONE": OperationKind.CLONE_CREATE,
    "KIND_DELETE_CLONE": OperationKind.CLONE_DELETE,
}
CLONE_STATES: dict[str, CloneState] = {f"STATE_{state.name}": state for state in CloneState}
SEEDS: dict[str, Seed] = {f"SEED_{seed.name}": seed for seed in Seed}
PHASES: dict[str, Phase] = {f"PHASE_{phase.name}": phase for phase in Phase}
ENGINE_STATES: dict[str, EngineState] = {f"STATE_{state.name}": state for state in EngineState}

# Of filters only: on the wire an operation is done or not, and has an error or none.
OPERATION_STATES: dict[str, OperationState] = {state.name: state for state in OperationState}
BACKEND_STATES: dict[str, bool | None] = {
    "STATE_UNSPECIFIED": None,
    "STATE_UP": True,
    "STATE_DOWN": False,
}
EVENTS: dict[str, EventType] = {f"TYPE_{type_.name}": type_ for type_ in EventType}
SEVERITIES: dict[str, Severity] = {f"SEVERITY_{word.name}": word for word in Severity}


def wire_name(names: Mapping[str, Word], word: Word) -> str:
    """Return the wire's name for a word."""
    for name, candidate in names.items():
        if candidate == word:
            return name
    raise LookupError(f"{word!r} has no name on the wire")
