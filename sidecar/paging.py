"""Pages of a listing: an opaque token that names the offset and the question; sizes are bounded.

A token holds for the question that it came from: its digest is of the listing, the filter and the
offset, so that a changed filter or a mangled token is refused instead of skipping what was asked
for. It guards against mistakes; there is nothing in it to steal. Listings are short (thousands) and
held in memory, so an offset is enough. Limit: an item that appears between two pages may be seen
twice or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sidecar.errors import InvalidArgumentError
from sidecar.model import Page

T = TypeVar("T")
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000
_TOKEN = re.compile(r"o-([0-9]{1,9})-[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which page; a size of 0 means 100, and 1000 is the most."""

    page_size: int = 0
    page_token: str = ""
    query: str = ""  # the listing and its filter, as they were asked: the token holds for it alone


def paginate(items: Sequence[T], request: ListRequest) -> Page[T]:
    """Return one page; InvalidArgumentError for a negative size or a token that is not ours."""
    if request.page_size < 0:
        raise InvalidArgumentError("page_size is negative", hint="Leave it out, or give 1 to 1000.")
    size = min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    start = _read_token(request) if request.page_token else 0
    end = start + size
    token = _make_token(end, request.query) if end < len(items) else ""
    return Page(tuple(items[start:end]), token, len(items))


def _make_token(offset: int, query: str) -> str:
    digest = hashlib.sha256(f"{offset}\n{query}".encode()).hexdigest()
    return f"o-{offset}-{digest[:16]}"


def _read_token(request: ListRequest) -> int:
    found = _TOKEN.fullmatch(request.page_token)
    offset = int(found[1]) if found else 0
    if request.page_token != _make_token(offset, request.query):
        raise InvalidArgumentError(
            "page_token is not one of ours, or belongs to another filter",
            hint="Give next_page_token of the page before with its other fields, or nothing.",
            context={"field": "page_token"},
        )
    return offset
