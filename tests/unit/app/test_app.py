"""The composition root with a fake engine behind the border: start, serve, end, and every refusal.

The doors, the control plane and the local backend are the real ones, on free ports of loopback.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from perdure import verbs
from perdure.aio import AsyncClient
from sidecar import app, errors, serve
from sidecar.config import load_settings
from sidecar.control_plane import Core
from sidecar.doors import Doors
from sidecar.serve import ServeOptions, exit_code_of
from tests.support.fake_engine import FakeEngine, FakeEngineError

DEADLINE_SECONDS = 20.0


class Bench:
    """A server made from options, with the fake engine that it started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.engines: list[FakeEngine] = []
        self.prepare: Callable[[FakeEngine], None] = lambda _engine: None
        self.options_seen: dict[str, Any] = {}
        monkeypatch.setattr(app, "Engine", self._make_engine)
        monkeypatch.setattr(app, "EngineError", FakeEngineError)

    def _make_engine(self, options_json: str) -> FakeEngine:
        self.options_seen = json.loads(options_json)
        engine = FakeEngine(Path(self.options_seen["data_dir"]))
        self.prepare(engine)
        self.engines.append(engine)
        return engine

    @property
    def engine(self) -> FakeEngine:
        """The engine of the only server."""
        (engine,) = self.engines
        return engine

    @property
    def ready_file(self) -> Path:
        return self.folder / "ready.json"

    def options(self, **changes: Any) -> ServeOptions:
        """Options with free ports and the folder's data dir."""
        base: dict[str, Any] = {
            "data_dir": self.folder / "data",
            "control_port": 0,
            "http_port": 0,
            "ready_file": self.ready_file,
        }
        return ServeOptions(**{**base, **changes})

    def run(self, **changes: Any) -> asyncio.Task[None]:
        """Start serving in this loop; the task ends when the server does."""
        options = self.options(**changes)
        loaded = load_settings(options.config, {}, options.settings())
        return asyncio.create_task(app._serve(loaded, options))

    async def ready(self, serving: asyncio.Task[None]) -> dict[str, Any]:
        """Wait for the ready file and return what it says."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not self.ready_file.exists():
                if serving.done():
                    await serving
                await asyncio.sleep(0.01)
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, monkeypatch)


async def _page(ports: dict[str, int], path: str) -> tuple[int, str]:
    url = f"http://127.0.0.1:{ports['http']}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def _end(serving: asyncio.Task[None]) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        await serving


async def test_server_starts_serves_and_ends_on_sigterm(bench: Bench) -> None:
    """The whole life: ready file, probes, health, a snapshot, SIGTERM, saved, all gone."""
    serving = bench.run()
    found = await bench.ready(serving)
    ports = found["ports"]
    assert found["pid"] == os.getpid()
    assert set(ports) == {"resp", "data", "control", "http"}
    assert found["addresses"]["control"] == f"127.0.0.1:{ports['control']}"
    for probe in ("/livez", "/readyz", "/startupz"):
        assert await _page(ports, probe) == (200, "ok\n")
    async with grpc.aio.insecure_channel(found["addresses"]["control"]) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        status = (await health.Check(health_pb2.HealthCheckRequest())).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    async with AsyncClient(found["addresses"]["control"]) as client:
        operation = await client.run(verbs.create_snapshot())
        operation = await client.run(verbs.wait_operation(operation))
        snapshot = verbs.snapshot_of(operation)
        assert snapshot.name.startswith("snapshots/")
        report = await client.run(verbs.get_server_status())
        assert report.snapshots.newest_snapshot == snapshot.name
        assert report.endpoints.http == found["addresses"]["http"]
    status_code, text = await _page(ports, "/metrics")
    assert status_code == 200
    assert 'perdure_snapshot_attempts_total{result="ok",trigger="manual"} 1.0' in text
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)
    assert bench.engine.rdb.exists(), "save points are configured, so the end saves"
    assert not bench.ready_file.exists()


async def test_client_shutdown_ends_the_process_without_another_save(bench: Bench) -> None:
    """SHUTDOWN has done what it was told to; saving again would undo a NOSAVE."""
    serving = bench.run()
    await bench.ready(serving)
    bench.engine.tell({"event": "exit_requested", "save": False})
    await _end(serving)
    assert not bench.engine.rdb.exists()


async def test_end_is_refused_while_the_data_cannot_be_saved(bench: Bench) -> None:
    """As in Redis: a failed save keeps all of it served; the next signal tries again."""
    serving = bench.run()
    found = await bench.ready(serving)
    ports = found["ports"]
    bench.engine.fail_next["stop"] = FakeEngineError("DISK_FULL", "no room")
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(DEADLINE_SECONDS):
        while "stop" in bench.engine.fail_next or (await _page(ports, "/readyz"))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert await _page(ports, "/livez") == (200, "ok\n")
    async with AsyncClient(found["addresses"]["control"]) as client:
        operation = await client.run(
            verbs.wait_operation(await client.run(verbs.create_snapshot()))
        )
        assert verbs.snapshot_of(operation).name
    assert not serving.done()
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)
    assert bench.engine.rdb.exists()


async def test_data_set_that_cannot_be_loaded_refuses_the_start(bench: Bench) -> None:
    """The engine's own error ends the start, with the exit code for unreadable data."""
    error = FakeEngineError("RDB_CORRUPT", "bad checksum").to_json()
    bench.prepare = lambda engine: engine.tell(
        {"event": "state", "state": "failed", "error": error}
    )
    serving = bench.run()
    with pytest.raises(errors.CorruptError) as caught:
        await _end(serving)
    assert caught.value.code == "RDB_CORRUPT"
    assert exit_code_of(caught.value) == 11
    assert not bench.ready_file.exists()


async def test_probes_say_why_while_the_engine_loads(bench: Bench) -> None:
    """Alive, but neither started nor ready; a signal ends the start quietly."""

    def load_for_ever(engine: FakeEngine) -> None:
        engine.tell({"event": "state", "state": "loading"})

    bench.prepare = load_for_ever
    opened = asyncio.Event()
    ports: dict[str, int] = {}
    open_control = Doors.open_control

    async def note(doors: Any, *args: Any) -> None:
        await open_control(doors, *args)
        site = next(iter(doors._http._runner.sites))
        ports["http"] = site._server.sockets[0].getsockname()[1]
        opened.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Doors, "open_control", note)
        serving = bench.run()
        async with asyncio.timeout(DEADLINE_SECONDS):
            await opened.wait()
    assert await _page(ports, "/livez") == (200, "ok\n")
    for probe in ("/readyz", "/startupz"):
        status, body = await _page(ports, probe)
        assert (status, body) == (503, "not ok\nthe engine is loading\n")
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)
    assert not bench.ready_file.exists()


async def test_ready_file_of_a_killed_server_is_gone_before_the_start_takes_long(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that waits for the file must not be given the dead process's ports."""
    bench.ready_file.write_text('{"pid": 1, "ports": {}}')
    begun = asyncio.Event()

    async def hang(_core: Core) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(Core, "begin", hang)
    serving = bench.run()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await begun.wait()
    assert not bench.ready_file.exists()
    os.kill(os.getpid(), signal.SIGTERM)  # and a start that hangs in `begin` can be ended
    await _end(serving)


async def test_signal_repeated_during_the_end_does_not_kill(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The doors still close: the default action would end the process with a signal's code."""
    close, seen = Doors.close, []

    async def look_and_close(doors: Doors, grace_seconds: float) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        await close(doors, grace_seconds)

    monkeypatch.setattr(Doors, "close", look_and_close)
    serving = bench.run()
    await bench.ready(serving)
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)
    assert signal.SIG_DFL not in seen


async def test_second_server_on_one_data_dir_is_refused(bench: Bench) -> None:
    """The lock holds for as long as the first one runs."""
    serving = bench.run()
    await bench.ready(serving)
    with pytest.raises(errors.DataDirLockedError) as caught:
        await bench.run(ready_file=None)
    assert exit_code_of(caught.value) == 10
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)


async def test_taken_port_refuses_the_start_and_leaves_nothing(bench: Bench) -> None:
    """Both doors of the control plane, one after the other."""
    serving = bench.run()
    ports = (await bench.ready(serving))["ports"]
    for door in ("control", "http"):
        with pytest.raises(errors.PerdureError) as caught:
            await bench.run(
                data_dir=bench.folder / f"other-{door}",
                ready_file=None,
                **{f"{door}_port": ports[door]},
            )
        assert caught.value.code == "ADDRESS_IN_USE"
        assert "the port is taken" in caught.value.message
        assert exit_code_of(caught.value) == 13
    # Not by a signal: the refused servers of this same process have taken the handlers with them.
    bench.engines[0].tell({"event": "exit_requested", "save": False})
    await _end(serving)


async def test_what_does_not_speak_http_is_answered_and_not_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A gRPC client on the wrong port must not fill the log with tracebacks."""
    serving = bench.run()
    port = (await bench.ready(serving))["ports"]["http"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(40))
    answer = await reader.read()
    writer.close()
    bench.engine.tell({"event": "exit_requested", "save": False})
    await _end(serving)
    assert answer.split()[1] == b"400"
    assert not [record for record in caplog.records if record.exc_info]


async def test_wrong_schedule_in_the_configuration_is_named(bench: Bench) -> None:
    """With a dozen schedules, the line alone would not tell which one is meant."""
    config = bench.folder / "perdure.toml"
    config.write_text('[schedules.good]\npreset = "daily"\n[schedules.odd]\ncron = "soon"\n')
    with pytest.raises(errors.ConfigError, match=r"schedules\.odd: 'soon'"):
        await bench.run(config=config)


async def test_command_line_outranks_everything_at_the_engine(bench: Bench) -> None:
    """What was said by option is an override; what follows -- is passed on as it is."""
    serving = bench.run(port=7777, redis_args=("--save", "", "--port", "1"))
    await bench.ready(serving)
    seen = bench.options_seen
    assert seen["redis_args"] == ["--save", "", "--port", "1"]
    assert seen["overrides"]["port"] == "7777"
    os.kill(os.getpid(), signal.SIGTERM)
    await _end(serving)


def test_address_beyond_loopback_is_refused_without_insecure(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 13, with both lines, before anything is opened."""
    code = serve.serve(bench.options(bind="0.0.0.0"))
    said = capsys.readouterr().err
    assert code == 13
    assert "Error: " in said
    assert "Try: " in said
    assert bench.engines == []


def test_wrong_configuration_is_refused(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown key is named, with what was probably meant."""
    path = bench.folder / "perdure.toml"
    path.write_text("[server]\nprt = 1\n")
    assert serve.serve(bench.options(config=path)) == 12
    assert "prt" in capsys.readouterr().err
