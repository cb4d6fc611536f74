"""What the server is told: TOML, environment and command line, merged and checked.

Layers, low to high: TOML < redis.conf < environment < arguments after `--` < command line. Those
of redis.conf and after `--` are Redis directives and go to the engine unread; the rest is here.
Every key is also `PERDURE_<TABLE>__<KEY>` (`__` between tables; `_` stands for `-` in names).
Unknown keys are errors with a hint. Nothing is opened or created here.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sidecar.errors import AddressRefusedError, ConfigError
from sidecar.layout import is_server_name, is_snapshot_id
from sidecar.model import AtLimit, Compression, Preset, Retention, ScheduleSpec

ENV_PREFIX = "PERDURE_"
SECTIONS = ("server", "snapshots", "spool", "clones", "audit", "backends", "schedules", "redis")
_SPAN = re.compile(r"(\d+)\s*(s|m|h|d|w)\Z")
_SPAN_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_SECRET = re.compile(
    r"secret|pass|token|credential|auth|(access|account|api|private|shared)_?key|connection_string",
    re.IGNORECASE,
)
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_TRUE_FALSE = {"true": True, "false": False}
# Of the embedded server. Whoever brings a redis.conf gets Redis's own: its log is off unless said.
_EMBEDDED_DIRECTIVES = {"appendonly": "yes", "appendfsync": "everysec"}


def is_secret_name(name: str) -> bool:
    """Say whether a key or directive by this name holds a secret."""
    return _SECRET.search(name) is not None


def parse_span(value: object) -> object:
    """Return seconds for `"90s"`, `"15m"`, `"12h"`, `"30d"`, `"2w"`; else the value itself."""
    if isinstance(value, str) and (match := _SPAN.match(value.strip())):
        return int(match[1]) * _SPAN_SECONDS[match[2]]
    return value


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerTable(_Table):
    """`[server]`: who it is and where it listens."""

    name: str = "default"
    data_dir: Path = Path("data")
    bind: tuple[str, ...] = Field(default=("127.0.0.1",), min_length=1)
    port: int = Field(default=6379, ge=0, le=65535)
    data_port: int = Field(default=6380, ge=0, le=65535)
    control_port: int = Field(default=6381, ge=0, le=65535)
    http_port: int = Field(default=6382, ge=0, le=65535)
    insecure: bool = False
    boot_source: str = "auto"
    redis_conf: Path | None = None
    ready_file: Path | None = None
    clone_folder: Path | None = None  # set by the server that makes a clone: this one is it

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not is_server_name(name):
            message = "use 1 to 128 of a-z, 0-9, '.', '_' and '-', a letter or digit at both ends"
            raise ValueError(message)
        return name

    @field_validator("bind", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    @field_validator("boot_source")
    @classmethod
    def _check_source(cls, source: str) -> str:
        word, _, snapshot_id = source.partition(":")
        is_named = word == "snapshot" and is_snapshot_id(snapshot_id)
        if source not in {"auto", "require-existing", "empty", "latest"} and not is_named:
            message = "use auto, require-existing, empty, latest or snapshot:<id>"
            raise ValueError(message)
        return source


class SnapshotsTable(_Table):
    """`[snapshots]`: defaults of all snapshots."""

    compression: Compression = Compression.NONE  # a stored payload is what redis-server reads
    zstd_level: int = Field(default=3, ge=1, le=19)
    deletion_grace: int = Field(default=86400, ge=0)
    keep_last_boot: int = Field(default=3, ge=1)  # of an RDB that a stop left
    keep_last_safety: int = Field(default=10, ge=1)  # of what restores replaced

    _spans = field_validator("deletion_grace", mode="before")(parse_span)


class SpoolTable(_Table):
    """`[spool]`: what waits for a backend."""

    size_bytes_max: int = Field(default=16 << 30, ge=1 << 20)
    at_limit: AtLimit = AtLimit.REFUSE_NEW

    @field_validator("at_limit", mode="before")
    @classmethod
    def _check_at_limit(cls, word: object) -> object:
        old = {"refuse": AtLimit.REFUSE_NEW, "drop-oldest": AtLimit.KEEP_NEWEST}
        if isinstance(word, str) and word in old:
            raise ValueError(f"{word!r} is called {old[word].value!r} now")
        return word


class AuditTable(_Table):
    """`[audit]`: the log of mutations; unset, its path is in the data directory."""

    enabled: bool = True
    path: Path | None = None
    size_bytes_max: int = Field(default=16 << 20, ge=64 << 10)
    files_max: int = Field(default=8, ge=1, le=1000)


class ClonesTable(_Table):
    """`[clones]`: other servers on this host, made of this one's data."""

    folder: Path | None = None  # None: `clones` in the data dir
    count_max: int = Field(default=32, ge=0)
    start_timeout: float = Field(default=600.0, gt=0)
    stop_timeout: float = Field(default=10.0, ge=0)
    lease_grace: int = Field(default=60, ge=0)  # then a clone whose lease is over ends by itself

    _spans = field_validator("start_timeout", "stop_timeout", "lease_grace", mode="before")(
        parse_span
    )


class BackendTable(BaseModel):
    """`[backends.<name>]`: every other key is an option of its type."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str = "local"
    timeout: float = Field(default=30.0, gt=0)
    transfer_timeout: float = Field(default=3600.0, gt=0)
    stall_timeout: float = Field(default=600.0, gt=0)  # of a payload of which no byte moves

    _spans = field_validator("timeout", "transfer_timeout", "stall_timeout", mode="before")(
        parse_span
    )

    @property
    def options(self) -> dict[str, object]:
        """Return the options of the type."""
        return dict(self.model_extra or {})


class RetentionTable(_Table):
    """`[schedules.<name>.retention.<backend>]`: what is kept there, instead."""

    keep_last: int | None = Field(default=None, ge=0)
    keep_within: int | None = Field(default=None, ge=0)

    _spans = field_validator("keep_within", mode="before")(parse_span)


class ScheduleTable(_Table):
    """`[schedules.<name>]`."""

    preset: Preset | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    backends: tuple[str, ...] = ()
    keep_last: int | None = Field(default=None, ge=0)
    keep_within: int | None = Field(default=None, ge=0)
    retention: dict[str, RetentionTable] = Field(default_factory=dict)
    compression: Compression | None = None
    paused: bool = False

    _spans = field_validator("keep_within", mode="before")(parse_span)

    @field_validator("backends", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return value.replace(",", " ").split() if isinstance(value, str) else value

    def spec(self) -> ScheduleSpec:
        """Return it in the words of the domain."""
        return ScheduleSpec(
            preset=self.preset,
            cron=self.cron,
            time_zone=self.time_zone,
            backends=self.backends,
            retention=Retention(self.keep_last, self.keep_within),
            backend_retention={
                name: Retention(table.keep_last, table.keep_within)
                for name, table in self.retention.items()
            },
            compression=self.compression,
            is_paused=self.paused,
        )


class Settings(_Table):
    """The whole configuration; the defaults are the embedded server of design.md section 2."""

    server: ServerTable = ServerTable()
    snapshots: SnapshotsTable = SnapshotsTable()
    spool: SpoolTable = SpoolTable()
    audit: AuditTable = AuditTable()
    clones: ClonesTable = ClonesTable()
    backends: dict[str, BackendTable] = Field(default_factory=dict)
    schedules: dict[str, ScheduleTable] = Field(default_factory=dict)
    redis: dict[str, str] = Field(default_factory=dict)

    @field_validator("redis", mode="before")
    @classmethod
    def _directives(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {str(name): _directive_text(item) for name, item in value.items()}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and the directives that the environment gave (they outrank redis.conf)."""

    settings: Settings
    redis_environment: dict[str, str] = field(default_factory=dict)


def load_settings(
    toml_path: Path | None, environ: Mapping[str, str], command_line: Mapping[str, object]
) -> Loaded:
    """Merge the layers and check them; ConfigError names every wrong key, with a hint.

    `command_line` has dotted names, such as `server.port`; None values are not there.
    """
    merged = _read_toml(toml_path) if toml_path else {}
    redis_environment: dict[str, str] = {}
    named: set[str] = set()
    for path, text in _environment(environ, merged):
        if path[0] == "redis":
            redis_environment[path[-1]] = text
        else:
            _set(merged, path, _env_value(text))
            named.add(".".join(path))
    for name, value in command_line.items():
        if value is not None:
            _set(merged, tuple(name.split(".")), value)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as exc:
        raise _config_error(exc) from None
    settings = _with_defaults(settings)
    check_addresses(settings.server)
    return Loaded(settings, _as_directives(settings.server, named) | redis_environment)


def _as_directives(server: ServerTable, named: set[str]) -> dict[str, str]:
    """Return the environment's keys that are also directives: they outrank redis.conf."""
    directives = {
        "port": ("server.port", str(server.port)),
        "bind": ("server.bind", " ".join(server.bind)),
        "dir": ("server.data_dir", json.dumps(str(server.data_dir), ensure_ascii=False)),
    }
    return {name: value for name, (key, value) in directives.items() if key in named}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        message = f"cannot read {path}: {exc.strerror}"
        raise ConfigError(message, hint="Check the path given to --config.") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {exc}", hint="Correct the file.") from exc


def _environment(
    environ: Mapping[str, str], merged: Mapping[str, Any]
) -> list[tuple[tuple[str, ...], str]]:
    """Return path and text of every variable that names a key; others of the prefix are not ours.

    A key has a table, so its variable has `__`: PERDURE_TARGET, PERDURE_FAILPOINTS and what
    Kubernetes sets for a service named perdure have none.
    """
    found = []
    for name in sorted(environ):
        section, *rest = name.removeprefix(ENV_PREFIX).lower().split("__")
        if not name.startswith(ENV_PREFIX) or not rest:
            continue
        if section not in SECTIONS:
            raise ConfigError(
                f"{name}: there is no table [{section}]", hint=_guess(section, SECTIONS)
            )
        if section == "redis":
            rest = ["__".join(rest).replace("_", "-")]
        elif section in {"backends", "schedules"}:
            rest[0] = _known_name(rest[0], merged.get(section, {}), section)
        found.append(((section, *rest), environ[name]))
    return found


def _known_name(name: str, known: Mapping[str, Any], section: str) -> str:
    """Return the configured name that a variable means: `every_12h` is `every-12h`."""
    for candidate in known:
        if candidate.replace("-", "_").lower() == name:
            return str(candidate)
    return name.replace("_", "-") if section == "schedules" else name


def _env_value(text: str) -> object:
    if text.startswith(("[", "{")):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return _TRUE_FALSE.get(text.lower(), text)


def _set(merged: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    table = merged
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{'.'.join(path)}: {part} is not a table", hint="Correct the name.")
        table = inner
    table[path[-1]] = value


def _directive_text(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value) if isinstance(value, int) else value


def _config_error(exc: ValidationError) -> ConfigError:
    lines, hints = [], []
    for error in exc.errors(include_url=False, include_input=False):
        path = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown key")
            hints.append(_guess(str(error["loc"][-1]), _siblings(error["loc"])))
        else:
            lines.append(f"{path}: {error['msg'].removeprefix('Value error, ')}")
    hint = " ".join(filter(None, hints)) or "Correct the configuration; nothing was started."
    return ConfigError("; ".join(lines), hint=hint, context={"keys": len(lines)})


def _siblings(place: tuple[int | str, ...]) -> list[str]:
    tables: dict[str, type[BaseModel]] = {
        "server": ServerTable,
        "snapshots": SnapshotsTable,
        "spool": SpoolTable,
        "audit": AuditTable,
        "clones": ClonesTable,
        "schedules": ScheduleTable,
    }
    if len(place) == 1:
        return list(SECTIONS)
    return list(tables[str(place[0])].model_fields) if place[0] in tables else []


def _guess(name: str, known: list[str] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}."


def _with_defaults(settings: Settings) -> Settings:
    """Add the embedded log, backend and schedules where none are configured."""
    changes: dict[str, object] = {}
    if settings.server.redis_conf is None:
        said = {name.lower() for name in settings.redis}
        embedded = {n: v for n, v in _EMBEDDED_DIRECTIVES.items() if n not in said}
        changes["redis"] = embedded | settings.redis
    if not settings.backends:
        path = str(settings.server.data_dir / "snapshots")
        changes["backends"] = {
            "local": BackendTable.model_validate({"type": "local", "path": path})
        }
    if not settings.schedules:
        changes["schedules"] = {preset.value: ScheduleTable(preset=preset) for preset in Preset}
    return settings.model_copy(update=changes)


def check_addresses(server: ServerTable) -> None:
    """Refuse to listen beyond loopback until doors have keys, unless told `insecure`."""
    for address in server.bind:
        try:
            is_loopback = ipaddress.ip_address(address.strip("[]")).is_loopback
        except ValueError:
            is_loopback = address == "localhost"
        if not is_loopback and not server.insecure:
            raise AddressRefusedError(
                f"{address} is not a loopback address, and no door has a key yet",
                context={"address": address},
            )


def engine_options(
    loaded: Loaded, redis_args: list[str], overrides: Mapping[str, str], uid: str | None = None
) -> str:
    """Return the options document of the engine's border."""
    server = loaded.settings.server
    return json.dumps(
        {
            "bind": list(server.bind),
            "resp_port": server.port,
            "data_port": server.data_port,
            "data_dir": str(server.data_dir),
            "redis_conf": str(server.redis_conf) if server.redis_conf else None,
            "redis_args": redis_args,
            "defaults": dict(loaded.settings.redis),
            "environment": dict(loaded.redis_environment),
            "overrides": dict(overrides),
            "databases": 16,
            "insecure": server.insecure,
            "server_uid": uid or "",
            "is_boot_source_told": server.boot_source not in {"auto", "require-existing"},
        }
    )


def flatten_settings(settings: Settings) -> dict[str, str]:
    """Return dotted names and values as text, secrets as `***`."""
    flat: dict[str, str] = {}

    def walk(path: str, value: object) -> None:
        if isinstance(value, dict):
            for name, item in value.items():
                walk(f"{path}.{name}" if path else str(name), item)
        elif value is not None:
            section, *rest = path.split(".")
            parts = rest[1:] if section in {"backends", "schedules"} else rest  # a name is none
            text = value if isinstance(value, str) else json.dumps(value)
            in_list = isinstance(value, list) and _SECRET.search(text) is not None
            is_secret = in_list or any(map(_SECRET.search, parts))
            flat[path] = "***" if is_secret else _URL_LOGIN.sub("***", text)

    walk("", settings.model_dump(mode="json"))
    return flat
