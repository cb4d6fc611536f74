"""Pages of a listing: an opaque token that names the offset; sizes are bounded here.

Listings are short (thousands) and held in memory, so an offset is enough. Limit: an item that
appears between two pages may be seen twice or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from sidecar.errors import InvalidArgumentError
from sidecar.model import Page

T = TypeVar("T")
PAGE_SIZE_DEFAULT = 100
PAGE_SIZE_MAX = 1000


@dataclass(frozen=True, slots=True)
class ListRequest:
    """Which page; a size of 0 means 100, and 1000 is the most."""

    page_size: int = 0
    page_token: str = ""


def paginate(items: Sequence[T], request: ListRequest) -> Page[T]:
    """Return one page; InvalidArgumentError for a negative size or a token that is not ours."""
    if request.page_size < 0:
        raise InvalidArgumentError("page_size is negative", hint="Leave it out, or give 1 to 1000.")
    size = min(request.page_size or PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX)
    start = 0
    if request.page_token:
        prefix, _, offset = request.page_token.partition("-")
        if prefix != "o" or not offset.isascii() or not offset.isdigit() or len(offset) > 9:  # noqa: PLR2004 - a bound
            raise InvalidArgumentError(
                "page_token is not one of ours",
                hint="Give next_page_token of the page before, or nothing.",
            )
        start = int(offset)
    end = start + size
    token = f"o-{end}" if end < len(items) else ""
    return Page(tuple(items[start:end]), token, len(items))
