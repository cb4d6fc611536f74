"""Resource names: an id with its collection (`snapshots/<id>`), taken with or without it."""

from __future__ import annotations

from enum import StrEnum


class Collection(StrEnum):
    """The collections of the API."""

    SNAPSHOTS = "snapshots"
    SCHEDULES = "schedules"
    OPERATIONS = "operations"
    BACKENDS = "backends"


def full_name(collection: Collection, text: str) -> str:
    """Return `collection/id` for an id with or without its collection."""
    prefix = f"{collection.value}/"
    return text if text.startswith(prefix) else prefix + text


def short_id(name: str) -> str:
    """Return the id of a resource name; the empty text stays empty."""
    return name.rpartition("/")[2]
