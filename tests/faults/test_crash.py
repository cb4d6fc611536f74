"""SIGKILL of the whole sidecar while clients write: what they were told is there after the restart.

The thousand kills at every step are the engine's (engine/core/tests/crash); here are a few of the
process that people run, with its own defaults, control plane and start.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import redis

from tests.support.processes import Sidecar, wait_for

CLIENTS = 3
UNITS_BEFORE = 40


class Writer(threading.Thread):
    """A client that writes numbered units until the server is gone.

    Every other unit is a transaction; `told` of them were answered.
    """

    def __init__(self, sidecar: Sidecar, number: int) -> None:
        super().__init__()
        self.number = number
        self.told = 0
        self.sent = 0
        self._client = sidecar.client()

    def run(self) -> None:
        try:
            while True:
                self.sent += 1
                with self._client.pipeline(transaction=self.sent % 2 == 0) as pipeline:
                    pipeline.rpush(f"list:{self.number}", self.sent)
                    pipeline.hset(f"hash:{self.number}", f"field:{self.sent % 50}", self.sent)
                    pipeline.set(f"ends:{self.number}", self.sent, px=1)
                    pipeline.execute()
                self.told = self.sent
        except redis.ConnectionError:
            return

    def check(self, client: redis.Redis) -> None:
        """Look for a prefix of what was sent, with all that was told."""
        held = [int(item) for item in client.lrange(f"list:{self.number}", 0, -1)]
        assert held == list(range(1, len(held) + 1))
        assert self.told <= len(held) <= self.sent
        newest = max(int(value) for value in client.hgetall(f"hash:{self.number}").values())
        assert self.told <= newest <= len(held)
        assert client.get(f"ends:{self.number}") is None


@pytest.mark.parametrize(
    ("policy", "step", "command"),
    [
        ("always", "aof.ring_written=kill@60", None),
        ("everysec", "aof.written=kill@200", None),
        ("no", "aof.base_named=kill", "BGREWRITEAOF"),
        ("everysec", "aof.history_deleted=kill", "BGREWRITEAOF"),
    ],
)
def test_a_killed_sidecar_has_lost_nothing(
    tmp_path: Path, policy: str, step: str, command: str | None
) -> None:
    arguments = ("--appendfsync", policy, "--save", "")
    environment = {"PERDURE_FAILPOINTS": step}
    with Sidecar(tmp_path, redis_args=arguments, env=environment) as sidecar:
        writers = [Writer(sidecar, number) for number in range(CLIENTS)]
        for writer in writers:
            writer.start()
        if command is not None:
            told = wait_for(
                lambda: all(writer.told >= UNITS_BEFORE for writer in writers), "some writes"
            )
            assert told
            with sidecar.client() as client:
                client.execute_command(command)
        assert sidecar.wait() == -9, f"{step} was never reached: {sidecar.tail()}"
        for writer in writers:
            writer.join()
    with Sidecar(tmp_path, redis_args=arguments) as sidecar, sidecar.client() as client:
        for writer in writers:
            writer.check(client)
