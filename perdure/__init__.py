"""What a user of Perdure imports: typed clients, sync and asyncio, and the command line.

It knows the wire contract (the generated stubs in `perdure.control` and `perdure.data`) and nothing
of the server, so that a client can be installed alone. Importing it is cheap: each name is loaded
when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.aio import AsyncClient
    from perdure.client import Client
    from perdure.data_aio import AsyncDataClient
    from perdure.data_client import DataClient
    from perdure.data_values import Durability, Position
    from perdure.data_verbs import ExpireWhen, When
    from perdure.errors import PerdureError

    __version__: str

__all__ = [
    "AsyncClient",
    "AsyncDataClient",
    "Client",
    "DataClient",
    "Durability",
    "ExpireWhen",
    "PerdureError",
    "Position",
    "When",
    "__version__",
]


_HOME = {
    "AsyncClient": "perdure.aio",
    "AsyncDataClient": "perdure.data_aio",
    "Client": "perdure.client",
    "DataClient": "perdure.data_client",
    "Durability": "perdure.data_values",
    "ExpireWhen": "perdure.data_verbs",
    "PerdureError": "perdure.errors",
    "Position": "perdure.data_values",
    "When": "perdure.data_verbs",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: gRPC takes long, and not everybody needs it."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name == "__version__":
        return _version()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415

    try:
        return version("perdure")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0.0.0"
