"""What the use cases stand on, in one frozen bundle; made once, by whoever composes.

Only collaborators that nearly all of them need are here; the rest is passed by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.catalogue import Catalogue
from sidecar.clock import Clock
from sidecar.engine_port import EnginePort
from sidecar.event_log import EventLog
from sidecar.identity import Identity
from sidecar.observe import Figures
from sidecar.operations import Operations
from sidecar.spool import Spool
from sidecar.storage import Storages


@dataclass(frozen=True, slots=True)
class Ground:
    """The collaborators."""

    engine: EnginePort
    catalogue: Catalogue
    identity: Identity
    storages: Storages
    spool: Spool
    operations: Operations
    clock: Clock
    figures: Figures
    events: EventLog
