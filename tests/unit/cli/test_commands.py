"""The command line over a real door with fakes behind it: JSON, tables, exit codes, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from perdure import verbs
from perdure.aio import AsyncClient
from perdure.cli.main import NOUNS, VERBS, run
from perdure.errors import PerdureError
from perdure.exit_codes import ExitCode
from sidecar.errors import BackendUnavailableError, CancelledOperationError, ExhaustedError
from sidecar.model import OperationKind, OperationState
from tests.support.control_plane import FakePlane, make_operation, make_snapshot, serving

Json = Callable[..., Any]


@pytest.fixture(scope="module")
def door() -> Iterator[FakePlane]:
    """Serve one plane for the module."""
    with serving(FakePlane()) as plane:
        yield plane


@pytest.fixture
def plane(door: FakePlane, monkeypatch: pytest.MonkeyPatch) -> FakePlane:
    """Give the plane as new, and make it the default target."""
    monkeypatch.setenv("PERDURE_TARGET", door.target)
    door.snapshots.known = {"s-1": make_snapshot("s-1")}
    door.snapshots.failure = None
    door.operations.known = {}
    door.schedules.known = {}
    door.backends.outcome = "passed"
    return door


@pytest.fixture
def ask(plane: FakePlane, capsys: pytest.CaptureFixture[str]) -> Json:
    """Run a command with -o json behind the verb, expect success, and give what it printed."""

    def asked(*words: str) -> Any:
        assert plane.target
        code = run([*words, "-o", "json"])
        captured = capsys.readouterr()
        assert code == ExitCode.OK, captured.err
        return json.loads(captured.out)

    return asked


def test_empty_lists_are_there_and_empty(plane: FakePlane, ask: Json) -> None:
    """A script can index the list without asking whether it is there."""
    plane.snapshots.known = {}
    assert ask("snapshot", "list") == {"snapshots": []}
    assert ask("schedule", "list") == {"schedules": []}
    assert ask("operation", "list") == {"operations": []}


def test_list_follows_every_page(plane: FakePlane, ask: Json) -> None:
    """The fake answers two at a time; the command shows all."""
    plane.snapshots.known = {f"s-{n}": make_snapshot(f"s-{n}") for n in range(5)}
    names = [item["name"] for item in ask("snapshot", "list")["snapshots"]]
    assert names == [f"snapshots/s-{n}" for n in (4, 3, 2, 1, 0)]


def test_create_waits_and_gives_the_snapshot_or_gives_the_operation(ask: Json) -> None:
    """Waiting ends with the resource; --no-wait gives the operation at once."""
    made = ask("snapshot", "create")
    assert made["name"] == "snapshots/20261122t070000z-manual-abcd"
    assert made["state"] == "STATE_AVAILABLE"
    assert made["key_count"] == "7"
    started = ask("snapshot", "create", "--no-wait")
    assert started["name"] == "operations/op-1"
    assert started["metadata"]["kind"] == "KIND_CREATE_SNAPSHOT"


@pytest.mark.parametrize("name", ["s-1", "snapshots/s-1"])
def test_ids_are_taken_with_and_without_their_collection(ask: Json, name: str) -> None:
    """Both spellings name one snapshot, for every verb that takes one."""
    for words in (("snapshot", "get"), ("snapshot", "verify"), ("snapshot", "delete")):
        assert ask(*words, name)["name"] == "snapshots/s-1"
    assert ask("restore", name)["response"]["plan"]["snapshot"] == "snapshots/s-1"


def test_restore_and_schedule_run_give_the_operation(ask: Json) -> None:
    """Their results are the operation's response, packed."""
    done = ask("restore", "s-1")
    assert done["done"] is True
    assert done["response"]["key_count"] == "7"
    assert done["response"]["safety_snapshot"] == "snapshots/safety-1"
    planned = ask("restore", "s-1", "--dry-run")["response"]
    assert planned["validate_only"] is True
    assert planned["plan"]["required_memory_bytes"] == "5000"
    ask("schedule", "create", "nightly", "--cron", "0 3 * * *")
    assert ask("schedule", "run", "nightly")["name"] == "operations/op-1"


def test_a_schedule_lives(ask: Json) -> None:
    """Create, change, look, remove."""
    made = ask(
        *("schedule", "create", "nightly", "--preset", "daily", "--time-zone", "Europe/Berlin"),
        *("--keep-last", "7", "--keep-within", "1d12h", "--backend", "local"),
    )
    assert made["preset"] == "PRESET_DAILY"
    assert made["retention"] == {"keep_last": 7, "keep_within": "129600s"}
    assert made["backends"] == ["backends/local"]
    changed = ask("schedule", "update", "nightly", "--cron", "5 * * * *", "--paused")
    assert (changed["cron"], changed["paused"]) == ("5 * * * *", True)
    assert changed["retention"]["keep_last"] == 7
    assert ask("schedule", "get", "schedules/nightly")["etag"] == "2"
    _keep_by_backend(ask)
    assert ask("schedule", "delete", "nightly") == {}
    assert ask("schedule", "list") == {"schedules": []}


def _keep_by_backend(ask: Json) -> None:
    """What is kept on one backend is said beside the rest, replaced whole and taken back."""
    update = ("schedule", "update", "nightly")
    changed = ask(*update, "--keep-last-on", "s3=720", "--keep-within-on", "s3=90d")
    assert changed["backend_retention"] == {
        "backends/s3": {"keep_last": 720, "keep_within": "7776000s"}
    }
    changed = ask(*update, "--keep-last-on", "local=3")
    assert changed["backend_retention"] == {"backends/local": {"keep_last": 3}}
    assert changed["retention"]["keep_last"] == 7
    assert ask(*update, "--same-on-all")["backend_retention"] == {}


def test_status_and_config_are_resources(plane: FakePlane, ask: Json) -> None:
    """One document each."""
    status = ask("status")
    assert status["state"] == "STATE_READY"
    assert status["engine"]["key_count"] == "7"
    assert status["snapshots"]["newest_snapshot"] == "snapshots/s-1"
    assert ask("config", "get", "sa*")["directives"] == {"save": plane.engine.directives["save"]}
    assert ask("config", "set", "save", "-1 -2")["directives"] == {"save": "-1 -2"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("snapshot", "get", "nope"), ExitCode.NOT_FOUND, "no such snapshot"),
        (("snapshot", "get", "no/pe"), ExitCode.USAGE, "not a name"),
        (("snapshot", "get"), ExitCode.USAGE, "Missing argument"),
        (("snapshot", "nope"), ExitCode.USAGE, "No such command"),
        (("schedule", "update", "x", "--not-an-option"), ExitCode.USAGE, "No such option"),
        (("snapshot", "get", "backends/local"), ExitCode.USAGE, "not one of the snapshots"),
        (("schedule", "create", "x"), ExitCode.USAGE, "Error: say when"),
        (("schedule", "create", "x", "--preset", "weekly"), ExitCode.USAGE, ": 'weekly' is not"),
        (("status", "--target", "here"), ExitCode.USAGE, "HOST:PORT"),
        (("schedule", "create", "x", "--keep-within", "9y"), ExitCode.USAGE, "not a span"),
        (("config", "set", "save"), ExitCode.USAGE, "needs a value"),
        (("config", "set", "nope", "1"), ExitCode.USAGE, "unknown directive"),
        (("status", "--target", "127.0.0.1:1"), ExitCode.UNAVAILABLE, "no Perdure server"),
    ],
)
@pytest.mark.usefixtures("plane")
def test_errors_say_what_and_what_next(
    words: tuple[str, ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lines on stderr, nothing on stdout, and a documented exit code."""
    assert run([*words, "-o", "json"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    error, hint = captured.err.splitlines()
    assert error.startswith("Error: ")
    assert said in error
    assert hint.startswith("Try: ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("snapshot", "nope"), "perdure snapshot --help"),
        (("schedule", "create", "x"), "perdure schedule create --help"),
        (("config", "set", "save"), "perdure config set --help"),
        (("serve", "--nope"), "perdure serve --help"),
        (("status", "-o"), "perdure --help"),
    ],
)
def test_usage_errors_point_to_the_help_of_their_own_verb(
    words: tuple[str, ...], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help of the noun would not have the option that was wrong."""
    assert run(words) == ExitCode.USAGE
    assert capsys.readouterr().err.endswith(f"Try: {hint}\n")


def test_an_empty_answer_says_so(plane: FakePlane, capsys: pytest.CaptureFixture[str]) -> None:
    """A head without rows would look as if something were cut off."""
    assert plane.target
    assert run(["config", "get", "no-such-directive"]) == ExitCode.OK
    assert capsys.readouterr().out == "no directive or setting has such a name\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ExhaustedError("full", code="DISK_FULL"), ExitCode.RESOURCE_EXHAUSTED),
        (CancelledOperationError("stopped"), ExitCode.CANCELLED),
        (BackendUnavailableError("down"), ExitCode.UNAVAILABLE),
        (None, ExitCode.OPERATION_FAILED),
    ],
)
def test_a_failed_operation_ends_with_its_own_code(
    plane: FakePlane,
    error: Exception | None,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The call succeeded; what it started did not. The exit code is the operation's."""
    stored = {"code": "IO_ERROR", "message": "broken"} if error is None else error.to_json()  # type: ignore[attr-defined]
    failed = replace(
        make_operation(OperationKind.SNAPSHOT_CREATE, "snapshots/x", {}),
        state=OperationState.FAILED,
        result=None,
        error=stored,
    )

    async def create(*_args: object) -> object:
        return plane.operations.add(failed)

    monkeypatch.setattr(plane.snapshots, "create", create)
    assert run(["snapshot", "create"]) == code
    assert "Error: " in capsys.readouterr().err


def test_broken_promises_of_a_backend_fail_the_check(
    plane: FakePlane, ask: Json, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report is printed either way; the exit code says whether it passed."""
    assert ask("backend", "check", "local")["passed"] is True
    plane.backends.outcome = "failed"
    assert run(["-o", "json", "backend", "check", "local"]) == ExitCode.OPERATION_FAILED
    captured = capsys.readouterr()
    assert json.loads(captured.out)["checks"][0]["outcome"] == "OUTCOME_FAILED"
    assert "breaks 1 of its promises" in captured.err


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot", "list"),
        ("snapshot", "get", "s-1"),
        ("snapshot", "delete", "s-1"),
        ("snapshot", "create", "--no-wait"),
        ("restore", "s-1"),
        ("restore", "s-1", "--dry-run"),
        ("operation", "list"),
        ("backend", "list"),
        ("backend", "check", "local"),
        ("status",),
        ("config", "get"),
    ],
)
@pytest.mark.usefixtures("plane")
def test_tables_are_printed_for_people(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every verb has a form for people that is no JSON and not empty."""
    assert run(words) == ExitCode.OK
    out = capsys.readouterr().out
    assert out.strip()
    assert not out.startswith("{")


def test_an_interrupted_wait_says_how_to_look_and_to_cancel(
    plane: FakePlane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C ends the command with 8 and leaves the operation alone."""
    running = make_operation(OperationKind.SNAPSHOT_CREATE, "snapshots/x")

    async def create(*_args: object) -> object:
        return plane.operations.add(running)

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plane.snapshots, "create", create)
    monkeypatch.setattr("perdure.cli.waiting._Bar.show", interrupt)
    assert run(["snapshot", "create"]) == ExitCode.CANCELLED
    said = capsys.readouterr().err
    assert "perdure operation get op-1" in said
    assert "perdure operation cancel op-1" in said
    assert plane.operations.cancelled == []


def test_a_server_that_dies_under_a_wait_leaves_the_operation_to_be_looked_up(
    plane: FakePlane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Operations outlive a restart, so the command says which one it was."""
    running = make_operation(OperationKind.SNAPSHOT_CREATE, "snapshots/x")

    async def create(*_args: object) -> object:
        return plane.operations.add(running)

    def lose(*_args: object) -> None:
        raise PerdureError("SERVER_UNREACHABLE", "no Perdure server answers", status="UNAVAILABLE")

    monkeypatch.setattr(plane.snapshots, "create", create)
    monkeypatch.setattr("perdure.cli.waiting._Bar.show", lose)
    assert run(["snapshot", "create"]) == ExitCode.UNAVAILABLE
    assert "perdure operation get op-1" in capsys.readouterr().err


def test_an_interrupted_call_ends_with_a_documented_code(
    plane: FakePlane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C outside a wait is CANCELLED too, not a number that no page has."""
    assert plane.target

    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("perdure.driver.Driver.run", interrupt)
    assert run(["snapshot", "list"]) == ExitCode.CANCELLED
    assert "Try: perdure operation list" in capsys.readouterr().err


@pytest.mark.parametrize("noun", [*NOUNS, *VERBS])
def test_every_verb_has_help(noun: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Help needs no server and ends with 0."""
    assert run([noun, "--help"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "Usage: perdure" in out
    assert "..." not in out.replace("]...", "")  # a summary that was cut off says nothing


async def test_asyncio_client_runs_the_same_verbs(plane: FakePlane) -> None:
    """One verb that answers and one that fails, through the asyncio driver."""
    async with AsyncClient(plane.target) as client:
        found = await client.run(verbs.list_snapshots())
        assert [snapshot.name for snapshot in found] == ["snapshots/s-1"]
        with pytest.raises(PerdureError) as caught:
            await client.run(verbs.get_snapshot("nope"))
    assert (caught.value.code, caught.value.status) == ("SNAPSHOT_NOT_FOUND", "NOT_FOUND")
