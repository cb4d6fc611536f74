"""`perdure data`: keys and values over the data door, for a look or a script; no bulk loads.

What is printed for a person is the value's own bytes. With `-o json` bytes are text where they are
UTF-8, else an object with their base64.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Annotated, Any

import typer

from perdure.cli.session import Session, session_of
from perdure.data_client import DATA_TARGET, DataClient
from perdure.data_values import Durability, WriteResult
from perdure.data_verbs import When
from perdure.errors import PerdureError

app = typer.Typer(no_args_is_help=True, help="Keys and values, over the data door.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="A key, as UTF-8.")]
DataTarget = Annotated[
    str,
    typer.Option(
        "--data-target",
        metavar="HOST:PORT",
        envvar="PERDURE_DATA_TARGET",
        help="The server's data door.",
    ),
]
Database = Annotated[int, typer.Option("--database", "-n", min=0, help="Redis's number of it.")]
Fsynced = Annotated[
    bool, typer.Option("--fsynced", help="Return when it is on the disk, whatever the policy.")
]


@app.command("get")
def get_key(
    context: typer.Context, key: Key, data_target: DataTarget = DATA_TARGET, database: Database = 0
) -> None:
    """Print what a string key holds."""
    session = session_of(context)
    with DataClient(data_target) as client:
        value = client.get(key, database=database)
    if value is None:
        raise PerdureError(
            "NO_SUCH_KEY",
            f"there is no key {key!r}",
            status="NOT_FOUND",
            hint="perdure data scan shows what there is",
        )
    if session.is_json:
        session.print_json({"value": _shown(value)})
    else:
        _print_bytes(value)


@app.command("set")
def set_key(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="Its new value, as UTF-8.")],
    ttl: Annotated[float | None, typer.Option("--ttl", help="Seconds that it lives.")] = None,
    data_target: DataTarget = DATA_TARGET,
    database: Database = 0,
    *,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only a new key.")] = False,
    if_present: Annotated[bool, typer.Option("--if-present", help="Only a known key.")] = False,
    fsynced: Fsynced = False,
) -> None:
    """Give a key a value."""
    session = session_of(context)
    if if_absent and if_present:
        raise typer.BadParameter("give one of --if-absent and --if-present")
    when = When.ABSENT if if_absent else When.PRESENT if if_present else When.ALWAYS
    with DataClient(data_target) as client:
        done = client.set(
            key, value, ttl=ttl, when=when, durability=_asked(fsynced), database=database
        )
    _print_write(session, done, "set" if done.applied else "not set", applied=done.applied)


@app.command("del")
def delete_keys(
    context: typer.Context,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys, as UTF-8.")],
    data_target: DataTarget = DATA_TARGET,
    database: Database = 0,
    *,
    fsynced: Fsynced = False,
) -> None:
    """Remove keys of any type."""
    session = session_of(context)
    with DataClient(data_target) as client:
        done = client.delete(*keys, durability=_asked(fsynced), database=database)
    _print_write(session, done, f"{done.deleted_count} deleted", deleted_count=done.deleted_count)


@app.command("scan")
def scan_keys(
    context: typer.Context,
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="A glob.")] = "",
    kind: Annotated[str, typer.Option("--type", help="Keys of one type, such as hash.")] = "",
    data_target: DataTarget = DATA_TARGET,
    database: Database = 0,
) -> None:
    """Print the keys, each once or, as in SCAN, now and then twice.

    With -o json, a document a line.
    """
    session = session_of(context)
    with DataClient(data_target) as client:
        for entry in client.scan(pattern, type=kind, database=database):
            if session.is_json:
                _print_bytes(json.dumps({"key": _shown(entry.key)}, ensure_ascii=False).encode())
            else:
                _print_bytes(entry.key)


@app.command("exec", context_settings={"ignore_unknown_options": True})
def execute(
    context: typer.Context,
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND...", help="Any command, as redis-cli takes it.")
    ],
    data_target: DataTarget = DATA_TARGET,
    database: Database = 0,
    *,
    fsynced: Fsynced = False,
) -> None:
    """Run a command and print its reply as JSON."""
    session = session_of(context)
    with DataClient(data_target) as client:
        done = client.execute(*command, durability=_asked(fsynced), database=database)
    session.print_json({"value": _shown(done.value)} if session.is_json else _shown(done.value))


def _asked(fsynced: bool) -> Durability | None:  # noqa: FBT001  # one flag, passed on
    return Durability.FSYNCED if fsynced else None


def _print_bytes(value: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(value + b"\n")
    sys.stdout.buffer.flush()


def _print_write(session: Session, done: WriteResult, words: str, **fields: object) -> None:
    if not session.is_json:
        session.say(f"{words} ({done.durability.name.lower()})")
        return
    position = done.position
    session.print_json(
        {
            **fields,
            "durability": f"DURABILITY_{done.durability.name}",
            "position": {"epoch": str(position.epoch), "offset": str(position.offset)}
            if position
            else None,
        }
    )


def _shown(value: Any) -> Any:
    """Return a reply as JSON has it; a map's keys are text."""
    match value:
        case bytes():
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {"base64": base64.b64encode(value).decode()}
        case list() | set() | tuple():
            return [_shown(item) for item in value]
        case dict():
            return {_as_name(key): _shown(item) for key, item in value.items()}
        case PerdureError():
            return {"error": value.code, "message": value.message}
        case _:
            return value


def _as_name(key: Any) -> str:
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)
