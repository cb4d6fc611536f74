"""What the engine says, as events: its changes of state, its warnings and its errors.

The engine's log lines are in the log already (`sidecar.engine` writes them); here they only become
events. Its informations stay in the log: what matters of them is told by who asked for the work.
"""

from __future__ import annotations

from sidecar.engine import EngineAdapter
from sidecar.engine_port import EngineState
from sidecar.event_log import About, EventLog, EventType, Severity
from sidecar.model import JsonObject

_TYPES = {"warning": EventType.ENGINE_WARNING, "error": EventType.ENGINE_ERROR}


def tell_engine(engine: EngineAdapter, events: EventLog) -> None:
    """Publish what the engine says from now on."""

    def tell_state(state: EngineState) -> None:
        error = engine.error
        is_failed = state is EngineState.FAILED
        about = About(
            reason=error.code if error and is_failed else "",
            severity=Severity.ERROR if is_failed else Severity.INFO,
        )
        message = error.message if error and is_failed else f"the engine is {state.value}"
        events.publish(EventType.ENGINE_STATE, message, about, state=state.value)

    def tell_line(level: str, name: str, fields: JsonObject) -> None:
        if (type_ := _TYPES.get(level)) is None:
            return
        text = fields.get("message") or fields.get("text") or name.replace("_", " ")
        code = fields.get("code")
        context = {key: value for key, value in fields.items() if key not in _SAID}
        events.keep(type_, str(text), About(reason=str(code or "")), {"name": name, **context})

    engine.add_listener(tell_state)
    engine.add_log_listener(tell_line)


_SAID = frozenset({"message", "text", "code", "context"})
