"""The data client against a real server: both drivers, pipelines, durability, a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import AsyncClient, AsyncDataClient, Client, DataClient, Durability, When
from perdure.errors import NoLogError, OutcomeUnknownError, PerdureError, WrongTypeError
from perdure.tasks import Progress
from tests.support.processes import Sidecar

COMMANDS = 5000


@pytest.fixture(scope="module")
def sidecar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sidecar]:
    """Serve one data set for the module; tests have keys of their own."""
    with Sidecar(tmp_path_factory.mktemp("data-client")) as running:
        yield running


def _target(sidecar: Sidecar) -> str:
    return f"127.0.0.1:{sidecar.ports['data']}"


@pytest.fixture
def client(sidecar: Sidecar) -> Iterator[DataClient]:
    with DataClient(_target(sidecar)) as connected:
        yield connected


async def test_asyncio_client_does_what_the_sync_one_does(sidecar: Sidecar) -> None:
    async with AsyncDataClient(_target(sidecar)) as client:
        written = await client.set("aio:a", "1", durability=Durability.FSYNCED)
        assert written.durability is Durability.FSYNCED
        assert written.position is not None
        assert (await client.set("aio:a", "2", when=When.ABSENT)).applied is False
        assert await client.get("aio:a") == b"1"
        assert (await client.increment("aio:a", 4)).value == 5
        await client.multi_set({"aio:b": "2", "aio:c": "3"})
        keys = [entry.key async for entry in client.scan("aio:*")]
        assert sorted(keys) == [b"aio:a", b"aio:b", b"aio:c"]
        values = await asyncio.gather(*(client.get("aio:b") for _ in range(50)))
        assert set(values) == {b"2"}
        async with client.pipeline() as pipe:
            replies = [await pipe.execute("INCR", "aio:n") for _ in range(1000)]
        assert [reply.result() for reply in replies] == list(range(1, 1001))


def test_pipeline_keeps_order_and_tells_each_refusal(client: DataClient) -> None:
    """More batches than may be open at once; one command in the middle is refused."""
    with client.pipeline(durability=Durability.FSYNCED, batch_commands=32) as pipe:
        first = [pipe.execute("INCR", "pipe:n") for _ in range(COMMANDS)]
        wrong = pipe.execute("LPUSH", "pipe:n", "x")
        last = pipe.execute("GET", "pipe:n")
    assert [reply.result() for reply in first] == list(range(1, COMMANDS + 1))
    with pytest.raises(WrongTypeError):
        wrong.result()
    assert last.result() == str(COMMANDS).encode()
    assert last.receipt is not None
    assert last.receipt.durability is Durability.FSYNCED


def test_reply_before_the_flush_is_a_mistake_of_the_caller(client: DataClient) -> None:
    with client.pipeline() as pipe:
        reply = pipe.execute("PING")
        with pytest.raises(ValueError, match="flush"):
            reply.result()
        pipe.flush()
        assert reply.result() == "PONG"


def test_wrong_type_is_its_own_class(client: DataClient) -> None:
    client.execute("LPUSH", "list", "x")
    with pytest.raises(WrongTypeError) as caught:
        client.get("list")
    assert caught.value.code == "WRONGTYPE"


def test_binary_keys_values_and_many_keys_come_back(client: DataClient) -> None:
    entries = {bytes([n % 256, n // 256, 0, 255]): bytes(range(256)) for n in range(3000)}
    client.multi_set(entries, database=3)
    found = {e.key: e.value for e in client.scan(with_values=True, batch_size=50, database=3)}
    assert found == entries


def test_answers_larger_than_grpcs_own_bound_arrive(client: DataClient) -> None:
    """GRPC's default is 4 MiB; the server's is 64."""
    client.set("large", bytes(30 << 20))
    found = client.get("large")
    assert found is not None
    assert len(found) == 30 << 20


def test_transaction_is_one_step_or_nothing(client: DataClient) -> None:
    client.set("tx:a", "10")
    moved = client.transact(
        [("DECRBY", "tx:a", 3), ("INCRBY", "tx:b", 3)], if_values={"tx:a": "10"}
    )
    assert moved.values == (7, 3)
    again = client.transact([("DECRBY", "tx:a", 3)], if_values={"tx:a": "10"})
    assert (again.applied, again.values) == (False, ())
    assert client.multi_get(["tx:a", "tx:b"]) == [b"7", b"3"]


def test_control_client_takes_downloads_and_restores(sidecar: Sidecar, tmp_path: Path) -> None:
    """With progress, each phase seen in order; the methods return typed results."""
    phases: list[str] = []

    def tell(progress: Progress) -> None:
        if progress.phase and progress.phase not in phases:
            phases.append(progress.phase)

    with DataClient(_target(sidecar)) as data, Client(sidecar.target) as control:
        data.set("kept", "1")
        snapshot = control.snapshots.take(on_progress=tell)
        data.set("kept", "2")
        file = control.snapshots.download(snapshot.name, tmp_path / "x.rdb")
        assert file.sha256 == snapshot.payload.raw_sha256
        plan = control.snapshots.plan_restore(snapshot.name)
        assert plan.key_count == snapshot.key_count
        result = control.snapshots.restore(snapshot.name, on_progress=tell)
        assert result.key_count == snapshot.key_count
        assert data.get("kept") == b"1"
        imported = control.snapshots.import_file(tmp_path / "x.rdb")
        assert imported.key_count == snapshot.key_count
    assert phases


async def test_asyncio_control_client_takes_a_snapshot(sidecar: Sidecar) -> None:
    async with AsyncClient(sidecar.target) as control:
        snapshot = await control.snapshots.take()
        names = [item.name for item in await control.snapshots.list()]
    assert snapshot.name in names


def test_fsynced_without_a_log_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with (
        Sidecar(tmp_path, redis_args=("--appendonly", "no")) as sidecar,
        DataClient(_target(sidecar)) as client,
    ):
        assert client.set("k", "1").durability is Durability.MEMORY
        with pytest.raises(NoLogError):
            client.set("k", "2", durability=Durability.FSYNCED)
        assert client.get("k") == b"1"


def test_one_channel_outlives_a_restart_of_the_server(tmp_path: Path) -> None:
    """A write to a dead server has no known outcome; the same client reads once it is back."""
    with Sidecar(tmp_path) as sidecar:
        port = str(sidecar.ports["data"])
        client = DataClient(_target(sidecar))
        client.set("k", "1", durability=Durability.FSYNCED)
        sidecar.kill()
        with pytest.raises(OutcomeUnknownError):
            client.set("k", "2")
    with Sidecar(tmp_path, "--data-port", port), client:

        def held() -> bytes | None:
            for _ in range(50):
                try:
                    return client.get("k")
                except PerdureError:
                    continue
            return None

        assert held() == b"1"


def test_command_line_reads_writes_and_scans(sidecar: Sidecar) -> None:
    """`perdure data`, for a person and for a program; an absent key is NOT_FOUND."""
    door = ("--data-target", _target(sidecar))
    put = sidecar.json("data", "set", "cli:a", "grüß", "--fsynced", *door)
    assert (put["applied"], put["durability"]) == (True, "DURABILITY_FSYNCED")
    assert sidecar.json("data", "set", "cli:a", "x", "--if-absent", *door)["applied"] is False
    assert sidecar.cli("data", "get", "cli:a", *door).stdout == "grüß\n"
    assert sidecar.json("data", "get", "cli:a", *door) == {"value": "grüß"}
    assert sidecar.json("data", "exec", "HSET", "cli:h", "f", "1", *door) == {"value": 1}
    assert sidecar.json("data", "exec", "HGETALL", "cli:h", *door) == {"value": {"f": "1"}}
    assert sidecar.cli("data", "scan", "cli:*", "--type", "hash", *door).stdout == "cli:h\n"
    assert sidecar.json("data", "del", "cli:a", "cli:h", *door)["deleted_count"] == 2
    gone = sidecar.cli("data", "get", "cli:a", *door, code=3)
    assert gone.stderr.startswith("Error: there is no key")
