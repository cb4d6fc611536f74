"""Checked reading of JSON objects: every field has a type, and a wrong one says its path.

Guards I7: what comes from a backend, a spool file or the engine is hostile until read through
here. The caller chooses the error class that a bad document raises.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sidecar.errors import ManifestInvalidError, PerdureError
from sidecar.model import JsonObject

T = TypeVar("T", str, int, float, bool)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INTEGER_MAX = 2**63 - 1


def encode_instant(at: datetime) -> str:
    """Return RFC 3339 in UTC with microseconds, so that text sorts as time does."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def decode_instant(text: str) -> datetime:
    """Read what `encode_instant` wrote; ValueError on anything without a zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        message = f"no time zone in {text!r}"
        raise ValueError(message)
    return at.astimezone(UTC)


def from_unix_ms(unix_ms: int) -> datetime:
    """Return the instant without going through a float."""
    return _EPOCH + timedelta(milliseconds=unix_ms)


def to_unix_ms(at: datetime) -> int:
    """Return whole milliseconds since 1970."""
    return (at - _EPOCH) // timedelta(milliseconds=1)


def encode_document(document: JsonObject) -> bytes:
    """Return the one form in which documents are stored: indented, keys in their order."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


class Fields:
    """One JSON object being read; `what` names it in errors."""

    def __init__(
        self,
        document: object,
        what: str,
        error: type[PerdureError] = ManifestInvalidError,
    ) -> None:
        self._what = what
        self._error = error
        if not isinstance(document, dict):
            raise self.wrong("", "is not an object")
        self._document: dict[str, object] = document

    @classmethod
    def parse(
        cls, data: bytes | str, what: str, error: type[PerdureError] = ManifestInvalidError
    ) -> Fields:
        """Read bytes as one JSON object."""
        try:
            document = json.loads(data)
        except (ValueError, RecursionError) as exc:
            message = f"{what} is not JSON: {exc}"
            raise error(message, context={"document": what}) from exc
        return cls(document, what, error)

    def wrong(self, name: str, why: str) -> PerdureError:
        """Return the error for field `name`."""
        where = f"{self._what}: {name}" if name else self._what
        return self._error(f"{where} {why}", context={"document": self._what, "field": name})

    def _get(self, name: str, kind: type[T]) -> T:
        value = self._document.get(name)
        if kind is float and type(value) is int:
            return float(value)  # type: ignore[return-value]  # kind is float here
        if type(value) is not kind:
            raise self.wrong(name, f"is not a {kind.__name__}")
        return value

    def has(self, name: str) -> bool:
        """Return whether the field is there and not null."""
        return self._document.get(name) is not None

    def text(self, name: str) -> str:
        """Return a string."""
        return self._get(name, str)

    def number(self, name: str) -> int:
        """Return a whole number from 0 to what 63 bits hold."""
        value = self._get(name, int)
        if not 0 <= value <= INTEGER_MAX:
            raise self.wrong(name, "is out of range")
        return value

    def seconds(self, name: str) -> float:
        """Return a span."""
        return self._get(name, float)

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return self._get(name, bool)

    def instant(self, name: str) -> datetime:
        """Return an aware UTC datetime."""
        try:
            return decode_instant(self.text(name))
        except ValueError as exc:
            raise self.wrong(name, "is not an instant") from exc

    def maybe_text(self, name: str) -> str | None:
        """Return a string or None."""
        return self.text(name) if self.has(name) else None

    def maybe_number(self, name: str) -> int | None:
        """Return a whole number or None."""
        return self.number(name) if self.has(name) else None

    def maybe_seconds(self, name: str) -> float | None:
        """Return a span or None."""
        return self.seconds(name) if self.has(name) else None

    def maybe_instant(self, name: str) -> datetime | None:
        """Return an instant or None."""
        return self.instant(name) if self.has(name) else None

    def child(self, name: str) -> Fields:
        """Return the object in field `name`."""
        return Fields(self._document.get(name), f"{self._what}.{name}", self._error)

    def children(self, name: str) -> list[Fields]:
        """Return the objects in the list `name`."""
        value = self._document.get(name)
        if not isinstance(value, list):
            raise self.wrong(name, "is not a list")
        return [Fields(item, f"{self._what}.{name}", self._error) for item in value]

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of strings."""
        value = self._document.get(name)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "is not a list of strings")
        return tuple(value)

    def counts(self, name: str) -> dict[str, int]:
        """Return an object of whole numbers."""
        child = self.child(name)
        return {key: child.number(key) for key in child.names()}

    def names(self) -> list[str]:
        """Return the names of all fields."""
        return list(self._document)

    def raw(self) -> JsonObject:
        """Return the object itself."""
        return self._document
