"""300 forks while RESP and both gRPC doors are busy: no hang, no lost reply, no failed child."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

import grpc
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.dataset import write_strings
from tests.support.processes import Sidecar, wait_for

FORKS = 300


class Traffic:
    """Callers that repeat one call until they are told to stop, and count what went wrong."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.calls: dict[str, int] = {}
        self.failures: list[str] = []
        self.threads: list[threading.Thread] = []

    def add(self, name: str, call: object) -> None:
        """Start a caller; `call` is a function without arguments."""
        assert callable(call)
        run = call

        def loop() -> None:
            while not self.stop.is_set():
                try:
                    run()
                except (grpc.RpcError, redis.RedisError, AssertionError) as error:
                    self.failures.append(f"{name}: {error!r}")
                    return
                self.calls[name] = self.calls.get(name, 0) + 1

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self.threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Stop every caller; one that hangs is a failure."""
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), f"{thread.name} hangs"
        assert not self.failures


def _health(port: int) -> object:
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    stub = health_pb2_grpc.HealthStub(channel)

    def check() -> None:
        answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING

    return check


def _pipeline(client: redis.Redis, name: str) -> object:
    def call() -> None:
        with client.pipeline(transaction=False) as pipe:
            for index in range(50):
                pipe.set(f"{name}:{index}", name * index)
            for index in range(50):
                pipe.get(f"{name}:{index}")
            answers = pipe.execute()
        assert answers[:50] == [True] * 50
        assert answers[50:] == [(name * index).encode() for index in range(50)]

    return call


def test_300_forks_under_traffic(tmp_path: Path) -> None:
    with Sidecar(tmp_path, redis_args=("--save", "")) as sidecar:
        write_strings(sidecar.ports["resp"], 5_000, seed=3)
        traffic = Traffic()
        for number in range(3):
            client = sidecar.client()
            traffic.add(f"resp-{number}", _pipeline(client, f"resp-{number}"))
        traffic.add("data-door", _health(sidecar.ports["data"]))
        traffic.add("control-door", _health(sidecar.ports["control"]))
        with sidecar.client() as admin:
            for number in range(FORKS):
                assert admin.bgsave()
                info = wait_for(partial(_ended, admin, number), f"background save {number}", 60)
                assert info["rdb_last_bgsave_status"] == "ok"
            assert int(admin.info("stats")["total_forks"]) >= FORKS
        traffic.end()
        assert set(traffic.calls) == {"resp-0", "resp-1", "resp-2", "data-door", "control-door"}
        assert min(traffic.calls.values()) > 10


def _ended(admin: redis.Redis, number: int) -> dict[str, int | str] | None:
    """Give the figures once save `number` is over: it may wait for a rewrite of the log."""
    info: dict[str, int | str] = admin.info("persistence")
    is_over = not info["rdb_bgsave_in_progress"] and int(info["rdb_saves"]) > number
    return info if is_over else None
