"""Resource names: an id with its collection (`snapshots/<id>`), taken with or without it."""

from __future__ import annotations

from enum import StrEnum

from perdure.errors import PerdureError


class Collection(StrEnum):
    """The collections of the API."""

    SNAPSHOTS = "snapshots"
    SCHEDULES = "schedules"
    OPERATIONS = "operations"
    BACKENDS = "backends"
    CLONES = "clones"


_COLLECTIONS = frozenset(collection.value for collection in Collection)


def full_name(collection: Collection, text: str) -> str:
    """Return `collection/id` for an id with or without its collection.

    Raises:
        PerdureError: the text names a resource of another collection.
    """
    prefix = f"{collection.value}/"
    given, slash, _ = text.partition("/")
    if slash and given != collection and given in _COLLECTIONS:
        raise PerdureError(
            "NAME_INVALID",
            f"{text!r} is not one of the {collection.value}",
            status="INVALID_ARGUMENT",
            hint=f"give an id, or {prefix}ID",
        )
    return text if text.startswith(prefix) else prefix + text


def short_id(name: str) -> str:
    """Return the id of a resource name; the empty text stays empty."""
    return name.rpartition("/")[2]
