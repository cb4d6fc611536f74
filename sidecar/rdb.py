"""`perdure rdb`: look at RDB files, of whichever server, without one running.

Registered under the entry-point group `perdure.commands`. The engine reads the file (its
`inspect_rdb`); here stand the words and the tables. Nothing is written, and no server is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sidecar.file_verbs import (
    EXIT_CORRUPT,
    Screen,
    complain,
    show_instant,
    show_size,
    shown_progress,
    told_errors,
)

TOP_DEFAULT = 10
TOP_MAX = 10_000
KEY_CHARS_MAX = 60

Found = Mapping[str, Any]
app = typer.Typer(no_args_is_help=True, help="Look at RDB files, without a server.")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="An RDB file of any server.")]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as -o json.")]


@app.command("check")
def check(context: typer.Context, file: FileArgument, *, as_json: JsonOption = False) -> None:
    """Read all of a file: is it sound, and does Perdure load it?

    Checksum, framing and every collection are looked at. Ends with 0 if a restore would load it, 3
    if there is no such file, 6 if it is damaged or holds what Perdure does not load.
    """
    screen: Screen = context.obj
    is_json = screen.is_json or as_json

    def tell(error: dict[str, Any]) -> None:
        # Of what Perdure does not read nobody can say that it is damaged.
        is_sound = None if error["code"].endswith("_UNSUPPORTED") else False
        screen.print_json({"is_sound": is_sound, "is_loadable": False, "error": error})

    found = _inspect(file, top=0, is_strict=True, tell_damage=tell if is_json else None)
    if is_json:
        screen.print_json(_verdict(found))
    else:
        screen.print_fields([("file", str(file)), *_facts(found), ("sha256", found["sha256"])])
    if found["unsupported"]:
        complain(*_unsupported(found))
        raise typer.Exit(EXIT_CORRUPT)
    if not is_json:
        screen.say(_soundness(found))


@app.command("inspect")
def inspect(
    context: typer.Context,
    file: FileArgument,
    *,
    top: Annotated[
        int, typer.Option(min=0, max=TOP_MAX, metavar="N", help="How many of the biggest keys.")
    ] = TOP_DEFAULT,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a file, and its biggest keys.

    Its version, counts and bytes by database, type and encoding, what expires and when.
    """
    screen: Screen = context.obj
    found = _inspect(file, top=top, is_strict=False)
    if screen.is_json or as_json:
        screen.print_json(found)
        return
    screen.print_fields([("file", str(file)), *_facts(found)])
    if found["encodings"]:
        screen.say("")
        _print_encodings(screen, found)
    for title, keys in (
        ("largest keys, by bytes of the file", found["largest"]),
        ("longest collections, by elements", found["longest"]),
    ):
        if keys:
            screen.say(f"\n{title}")
            _print_keys(screen, keys)
    aux = [(str(name), str(value)) for name, value in found["aux"].items()]
    if aux:
        screen.say("\naux fields")
        screen.print_fields(aux)


# ------------------------------------------------------------------------------------- the file


def _inspect(
    file: Path,
    *,
    top: int,
    is_strict: bool,
    tell_damage: Callable[[dict[str, Any]], None] | None = None,
) -> Found:
    """Read a file, or end the process with what is wrong with it."""
    from sidecar._engine import inspect_rdb  # noqa: PLC0415  # not for --help

    with told_errors(tell_damage), shown_progress(file) as progress:
        text = inspect_rdb(file, top=top, strict=is_strict, progress=progress)
    found: Found = json.loads(text)
    return found


# ------------------------------------------------------------------------------------ the words


def _facts(found: Found) -> list[tuple[str, str]]:
    databases = found["databases"]
    where = f" in {len(databases)} databases" if len(databases) > 1 else ""
    saved = found["created_unix_s"]
    memory = found["used_memory_bytes"]
    functions = found["functions"]
    return [
        ("version", _version(found)),
        ("saved", show_instant(saved * 1000) if saved else ""),
        ("size", _exact_size(found["size_bytes"])),
        ("memory then", show_size(memory) if memory else ""),
        ("checksum", "right" if found["is_checksummed"] else "none"),
        ("keys", f"{found['keys']:,}{where}"),
        ("expiring", _expiring(found)),
        (
            "functions",
            f"{functions}  ({show_size(found['functions_bytes'])})" if functions else "",
        ),
        ("not loaded", _unsupported_keys(found) if found["unsupported"] else ""),
        ("left out", f"{found['empty_skipped']:,} empty" if found["empty_skipped"] else ""),
        ("after the end", _trailing(found["trailing_bytes"])),
    ]


def _version(found: Found) -> str:
    aux = found["aux"]
    server = next(
        (
            f"{title} {aux[name]}"
            for name, title in (
                ("perdure-version", "Perdure"),
                ("valkey-ver", "Valkey"),
                ("redis-ver", "Redis"),
            )
            if name in aux
        ),
        "",
    )
    return f"{found['rdb_version']}  ({server})" if server else str(found["rdb_version"])


def _expiring(found: Found) -> str:
    if not found["expires"]:
        return ""
    first, last = found["first_expire_unix_ms"], found["last_expire_unix_ms"]
    instants = list(dict.fromkeys((show_instant(first), show_instant(last))))
    return f"{found['expires']:,}, {' to '.join(instants)}"


def _trailing(size_bytes: int) -> str:
    return f"{size_bytes:,} bytes, which a load ignores" if size_bytes else ""


def _verdict(found: Found) -> dict[str, Any]:
    left_out = ("encodings", "largest", "longest")
    kept = {name: value for name, value in found.items() if name not in left_out}
    return {"is_sound": True, "is_loadable": not found["unsupported"], **kept}


def _soundness(found: Found) -> str:
    if found["is_checksummed"]:
        return "It is sound, and Perdure loads it."
    return (
        "Nothing is wrong with it, and Perdure loads it; it has no checksum that would tell more."
    )


def _unsupported(found: Found) -> tuple[str, str]:
    return (
        f"the file is sound, but Perdure does not load {_unsupported_keys(found)}",
        "delete or convert them on the server that saved it, then save again",
    )


def _unsupported_keys(found: Found) -> str:
    first, count = found["unsupported_first"], found["unsupported"]
    named = f"{_cut(first['key'])!r} in db {first['db']}, a {first['type']} ({first['encoding']})"
    return f"1 key: {named}" if count == 1 else f"{count:,} keys, first {named}"


# ----------------------------------------------------------------------------------- the tables


def _print_encodings(screen: Screen, found: Found) -> None:
    total = sum(row["bytes"] for row in found["encodings"]) or 1

    def cells(row: Found) -> tuple[str, ...]:
        return (
            str(row["db"]),
            row["type"],
            row["encoding"],
            f"{row['keys']:,}",
            f"{row['expires']:,}",
            show_size(row["bytes"]),
            f"{100 * row['bytes'] / total:.1f}%",
            _elements(row),
        )

    columns = ("DB", "TYPE", "ENCODING", "KEYS", "EXPIRING", "BYTES", "SHARE", "ELEMENTS")
    screen.print_table(columns, map(cells, found["encodings"]))


def _print_keys(screen: Screen, keys: Sequence[Found]) -> None:
    def cells(key: Found) -> tuple[str, ...]:
        ends = key["expire_unix_ms"]
        return (
            show_size(key["bytes"]),
            _elements(key),
            key["type"],
            key["encoding"],
            str(key["db"]),
            "" if ends is None else show_instant(ends),
            _cut(key["key"]),
        )

    columns = ("BYTES", "ELEMENTS", "TYPE", "ENCODING", "DB", "EXPIRES", "KEY")
    screen.print_table(columns, map(cells, keys))


def _elements(row: Found) -> str:
    """Return a number of elements; none of a string, and where the format does not tell it."""
    return f"{row['elements']:,}" if row["elements"] and row["type"] != "string" else ""


def _cut(name: str) -> str:
    return name if len(name) <= KEY_CHARS_MAX else f"{name[: KEY_CHARS_MAX - 3]}..."


def _exact_size(size_bytes: int) -> str:
    shown = show_size(size_bytes)
    return shown if shown.endswith(" B") else f"{shown}  ({size_bytes:,} bytes)"
