"""What a user of Perdure imports: a typed client, sync and asyncio, and the command line.

It knows the wire contract (the generated stubs in `perdure.control`) and nothing of the server, so
that a client can be installed alone.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from perdure.client import Client
from perdure.errors import PerdureError

if TYPE_CHECKING:
    from perdure.aio import AsyncClient

try:
    __version__ = version("perdure")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["AsyncClient", "Client", "PerdureError", "__version__"]


def __getattr__(name: str) -> Any:
    """Import the asyncio client when it is first asked for: the command line never needs it."""
    if name == "AsyncClient":
        from perdure.aio import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
