"""What a user of Perdure imports: a typed client, sync and asyncio, and the command line.

It knows the wire contract (the generated stubs in `perdure.control`) and nothing of the server, so
that a client can be installed alone.
"""

from importlib.metadata import PackageNotFoundError, version

from perdure.aio import AsyncClient
from perdure.client import Client
from perdure.errors import PerdureError

try:
    __version__ = version("perdure")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0.0.0"

__all__ = ["AsyncClient", "Client", "PerdureError", "__version__"]
