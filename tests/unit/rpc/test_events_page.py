"""The page of events lists the types and severities of the program, and the context of each."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from sidecar.event_log import EVENTS_MAX, SEVERITIES, SUBSCRIPTIONS_MAX, EventType, Severity
from sidecar.rpc.wire import EVENTS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/operations/events.md").read_text()
TELLING = ("events.publish", "ground.events.keep")
ROW = re.compile(r"^\| `(TYPE_[A-Z_]+)` \| ([A-Z]+) \| [^|]+ \| ?([^|]*) \|$", re.MULTILINE)


def test_every_type_has_a_row_with_its_severity() -> None:
    """In the order of the wire's numbers."""
    rows = {name: severity for name, severity, _ in ROW.findall(PAGE)}
    assert list(rows) == list(EVENTS)
    said = {name: SEVERITIES.get(type_, Severity.INFO).name for name, type_ in EVENTS.items()}
    assert rows == said


def test_every_type_is_published_with_the_context_of_its_row() -> None:
    """Read from the calls: the keyword arguments behind the message are the context."""
    given: dict[str, set[str]] = {}
    for path in (ROOT / "sidecar").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            how = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if isinstance(node, ast.Call) and how.endswith(
                ("events.publish", "ground.events.keep")
            ):
                names = {keyword.arg for keyword in node.keywords if keyword.arg}
                names |= {str(ast.literal_eval(k)) for d in node.args for k in _keys(d)}
                for type_ in _types_of(node.args[0], path):
                    given.setdefault(type_, set()).update(names)
    rows = {
        name.removeprefix("TYPE_"): set(re.findall(r"`([a-z_]+)`", context))
        for name, _, context in ROW.findall(PAGE)
        if not name.startswith("TYPE_ENGINE_") or name == "TYPE_ENGINE_STATE"  # the engine's own
    }
    assert given == rows


def _keys(node: ast.expr) -> list[ast.expr]:
    return [key for key in node.keys if key is not None] if isinstance(node, ast.Dict) else []


def _types_of(node: ast.expr, path: Path) -> set[str]:
    """Give the types that an argument names; a variable may be any that the file names."""
    named = set(re.findall(r"EventType\.([A-Z_]+)", ast.unparse(node)))
    if named:
        return named
    tells = re.findall(r"_tell\(\s*EventType\.([A-Z_]+)", path.read_text())
    assert tells, f"{path.name} publishes a type that the test cannot see"
    return set(tells)


def test_bounds_of_the_page_are_the_programs() -> None:
    """Numbers go stale where nobody looks."""
    assert f"last {EVENTS_MAX} events" in PAGE
    assert f"{SUBSCRIPTIONS_MAX} may read at once" in PAGE
    assert set(EVENTS.values()) == set(EventType)
