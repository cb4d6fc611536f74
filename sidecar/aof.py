"""`perdure aof`: look at an append-only file, of whichever server, without one running.

Registered under the entry-point group `perdure.commands`. The engine reads and cuts (its
`check_log`); here stand the words and the table. Nothing is changed without `--fix`, and nothing is
ever deleted: what is cut off stays beside the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from sidecar.file_verbs import (
    EXIT_CONFLICT,
    EXIT_CORRUPT,
    Screen,
    complain,
    exit_code,
    show_instant,
    show_size,
    shown_progress,
    told_errors,
)

LOCK_FILE = "perdure.lock"  # sidecar.boot has it; importing that would import the server
COMMANDS_SHOWN = 3
COMMAND_HINT = (
    "on the server that wrote it, delete what that command made, then BGREWRITEAOF; or restore a "
    "snapshot: perdure snapshot list"
)

Found = Mapping[str, Any]
app = typer.Typer(no_args_is_help=True, help="Look at append-only files, without a server.")


@app.callback()
def group() -> None:
    """Look at append-only files, without a server."""


@app.command("check")
def check(
    context: typer.Context,
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A manifest, its directory, or one file of a log."),
    ],
    *,
    fix: Annotated[
        bool, typer.Option("--fix", help="Cut what is damaged, and keep it beside the log.")
    ] = False,
    truncate_to_time: Annotated[
        str | None,
        typer.Option(metavar="T", help="With --fix, cut what is later: Unix seconds or ISO 8601."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False,
) -> None:
    """Read all of a log: is it whole, and does Perdure load it?

    Structure, checksums and the names of all commands are looked at; nothing is executed. What a
    power cut left in the commit ring only is told, and filled in by --fix first. Without --fix
    nothing is changed, and --truncate-to-time says where it would cut. No server may use the
    files while they are cut. Ends with 0 if a start would load all of it, 3 if there is no such
    log, 4 if a server uses it, 6 if it is damaged or holds what Perdure does not load.
    """
    screen: Screen = context.obj
    until = None if truncate_to_time is None else _unix_ms(truncate_to_time)
    with _kept_from_servers(path) if fix else ExitStack():
        found = _check(path, is_fixing=fix, until_unix_ms=until)
    if screen.is_json or as_json:
        screen.print_json(found)
    else:
        _print_files(screen, found)
    if fix:
        if not as_json:
            screen.say(_done(found))
    elif not found["is_sound"]:
        complain(*_flaw(found))
        raise typer.Exit(_worst(found))
    elif not as_json:
        screen.say(_sound(found, is_cut_asked=until is not None))


# -------------------------------------------------------------------------------------- the log


def _check(path: Path, *, is_fixing: bool, until_unix_ms: int | None) -> Found:
    """Read a log, or end the process with what keeps it from being read or cut."""
    from sidecar._engine import check_log  # noqa: PLC0415  # not for --help

    with told_errors(), shown_progress(path) as progress:
        text = check_log(path, fix=is_fixing, until_unix_ms=until_unix_ms, progress=progress)
    found: Found = json.loads(text)
    return found


@contextmanager
def _kept_from_servers(path: Path) -> Iterator[None]:
    """Hold the locks of the data dirs that the files may belong to, or end the process."""
    from sidecar.boot import DataDirLock  # noqa: PLC0415  # heavy
    from sidecar.errors import DataDirLockedError  # noqa: PLC0415

    folders = [path.resolve(), *path.resolve().parents][:3]
    with ExitStack() as stack:
        for folder in folders:
            if (folder / LOCK_FILE).is_file():
                try:
                    lock = DataDirLock.acquire(folder)
                except DataDirLockedError as error:
                    complain(error.message, "stop that server first, then run this again")
                    raise typer.Exit(EXIT_CONFLICT) from None
                stack.callback(lock.release)
        yield


def _unix_ms(text: str) -> int:
    """Read an instant; a whole second means all of it, as redis-check-aof has it."""
    try:
        if text.isdigit():
            return int(text) * 1000 + 999
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither Unix seconds nor ISO 8601") from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    unix_ms = round(instant.timestamp() * 1000)
    return unix_ms if instant.microsecond else unix_ms + 999


# ------------------------------------------------------------------------------------ the words


def _print_files(screen: Screen, found: Found) -> None:
    if found["manifest"]:
        screen.print_fields([("manifest", found["manifest"])])
    columns = ("FILE", "ROLE", "SIZE", "HOLDS", "WRITTEN UNTIL", "STATE")
    screen.print_table(columns, map(_cells, found["files"]))


def _cells(file: Found) -> tuple[str, ...]:
    log = file["log"]
    until = log["last_unix_ms"] if log else None
    return (
        Path(file["path"]).name,
        "" if file["role"] == "alone" else file["role"],
        show_size(file["size_bytes"]),
        _contents(file),
        show_instant(until) if until is not None else "",
        _state(file),
    )


def _contents(file: Found) -> str:
    parts = []
    if file["rdb"]:
        parts.append(f"{file['rdb']['keys']:,} keys")
    if file["commands"]:
        total = sum(file["commands"].values())
        most = sorted(file["commands"].items(), key=lambda item: -item[1])
        names = ", ".join(name for name, _ in most[:COMMANDS_SHOWN])
        more = ", ..." if len(most) > COMMANDS_SHOWN else ""
        parts.append(f"{total:,} commands ({names}{more})")
    return " and ".join(parts)


def _state(file: Found) -> str:
    if file["error"]:
        return "cannot be loaded"
    damage = file["log"] and file["log"]["damage"]
    if damage:
        return f"whole up to {file['log']['whole_bytes']}, wrong at {damage['offset']}"
    return "sound"


def _first_wrong(found: Found) -> Found:
    wrong: Found = next(
        file for file in found["files"] if file["error"] or (file["log"] and file["log"]["damage"])
    )
    return wrong


def _worst(found: Found) -> int:
    error = (found["ring"] or _first_wrong(found))["error"]
    return exit_code(error["code"]) if error else EXIT_CORRUPT


def _flaw(found: Found) -> tuple[str, str]:
    """Say what is wrong first, and what to do about it."""
    if found["ring"]:
        return _ring_flaw(found)
    file = _first_wrong(found)
    if file["error"]:
        error = file["error"]
        is_refused = error["code"] == "AOF_COMMAND_REFUSED"
        return error["message"], COMMAND_HINT if is_refused else error["hint"]
    log, place = file["log"], found["place"]
    text = f"{file['path']}, offset {log['damage']['offset']}: {log['damage']['reason']}"
    if place is None:
        return text, "restore a snapshot: perdure snapshot list"
    dropped = f"{place['drops_bytes']:,} bytes"
    fix = f"perdure aof check {found['path']} --fix"
    if log["breaks_promise"]:
        return (
            f"{text}; it was fsynced up to offset {log['fsynced_bytes']}",
            f"restore a snapshot, or give up the {dropped} from offset {place['offset']} on: {fix}",
        )
    if found["is_sound_to_last"]:
        return (
            f"{text}; the {dropped} from offset {place['offset']} on are torn",
            f"start the server, which cuts them off and keeps them beside the log, or: {fix}",
        )
    return text, f"cut {dropped} from offset {place['offset']} on, and keep them beside it: {fix}"


def _ring_flaw(found: Found) -> tuple[str, str]:
    """Say how the log differs from its ring: before that is settled, the rest does not count."""
    ring = found["ring"]
    if ring["error"]:
        return ring["error"]["message"], ring["error"]["hint"]
    return (
        f"{ring['path']} holds {ring['bytes']:,} bytes that the log lacks",
        f"start the server, which fills them in, or: perdure aof check {found['path']} --fix",
    )


def _sound(found: Found, *, is_cut_asked: bool) -> str:
    place = found["place"]
    if place is not None:
        return (
            f"It is sound. Cut at offset {place['offset']} of {place['path']}, "
            f"{place['drops_bytes']:,} bytes would go and all up to {_kept(place)} stay: add --fix."
        )
    return "It is sound; nothing in it is later." if is_cut_asked else _SOUND


_SOUND = "It is sound, and Perdure loads it."


def _kept(place: Found) -> str:
    return show_instant(place["kept_until_unix_ms"])


def _ring_done(ring: Found) -> str:
    if ring["is_filled"]:
        return f"Filled in {ring['bytes']:,} bytes that {ring['path']} held and the log lacked."
    where = f", kept as {ring['kept_as']}" if ring["kept_as"] else ""
    return f"The log stays as it is, its ring does not fit{where}: {ring['error']['message']}"


def _done(found: Found) -> str:
    told = [_ring_done(found["ring"])] if found["ring"] else []
    lines = []
    if found["cut_bytes"]:
        where = f", kept as {found['kept_as']}" if found["kept_as"] else ", all of them zeros"
        lines.append(f"Cut {found['cut_bytes']:,} bytes off {found['place']['path']}{where}.")
    lines += [f"Set aside: {path}" for path in found["set_aside"]]
    return "\n".join([*told, *(lines or [f"Nothing to cut. {_SOUND}"])])
