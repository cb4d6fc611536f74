"""Configuration: layers, defaults, unknown keys, addresses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sidecar.config import engine_options, flatten_settings, load_settings
from sidecar.directives import find_data_set
from sidecar.errors import AddressRefusedError, ConfigError
from sidecar.model import Compression, Retention
from sidecar.serve import ServeOptions


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "perdure.toml"
    path.write_text(text)
    return path


def test_nothing_at_all_is_the_embedded_server() -> None:
    settings = load_settings(None, {}, {}).settings
    assert settings.server.name == "default"
    assert settings.backends["local"].options == {"path": "data/snapshots"}
    assert sorted(settings.schedules) == ["daily", "every-12h", "hourly"]


def test_command_line_beats_environment_beats_toml(tmp_path: Path) -> None:
    path = write(tmp_path, '[server]\nport = 1\ndata_port = 1\nname = "toml"\n')
    environ = {"PERDURE_SERVER__PORT": "2", "PERDURE_SERVER__DATA_PORT": "2"}
    server = load_settings(path, environ, {"server.port": 3, "server.name": None}).settings.server
    assert (server.port, server.data_port, server.name) == (3, 2, "toml")


def test_every_key_is_in_the_environment_too(tmp_path: Path) -> None:
    path = write(tmp_path, '[schedules.every-6h]\ncron = "0 */6 * * *"\n')
    loaded = load_settings(
        path,
        {
            "PERDURE_SCHEDULES__EVERY_6H__KEEP_WITHIN": "30d",
            "PERDURE_BACKENDS__NAS__TYPE": "local",
            "PERDURE_BACKENDS__NAS__PATH": "/mnt/nas",
            "PERDURE_SNAPSHOTS__COMPRESSION": "none",
            "PERDURE_SERVER__INSECURE": "true",
            "PERDURE_REDIS__MAXMEMORY_POLICY": "noeviction",
            "PERDURE_TARGET": "the client's own",
            "PERDURE_PORT_6379_TCP": "tcp://10.0.0.1:6379",
        },
        {},
    )
    settings = loaded.settings
    assert settings.schedules["every-6h"].spec().retention == Retention(None, 30 * 86400)
    assert settings.backends["nas"].options == {"path": "/mnt/nas"}
    assert settings.snapshots.compression is Compression.NONE
    assert loaded.redis_environment == {"maxmemory-policy": "noeviction"}


@pytest.mark.parametrize(
    ("text", "environ", "guess"),
    [
        ("[server]\nprot = 1", {}, "port"),
        ("[sever]\nport = 1", {}, "server"),
        ('[schedules.x]\npresett = "daily"', {}, "preset"),
        ("", {"PERDURE_SERVER__NMAE": "x"}, "name"),
        ("", {"PERDURE_SEVER__NAME": "x"}, "server"),
    ],
)
def test_unknown_key_is_an_error_with_a_guess(
    tmp_path: Path, text: str, environ: dict[str, str], guess: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(write(tmp_path, text), environ, {})
    assert f"Did you mean {guess}?" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "[server",
        "[server]\nport = 70000",
        '[server]\nname = "../up"',
        '[server]\nboot_source = "newest"',
        '[schedules.x]\npreset = "yearly"',
    ],
)
def test_bad_value_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(write(tmp_path, text), {}, {})


def test_address_beyond_loopback_needs_insecure() -> None:
    for address in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(AddressRefusedError):
            load_settings(None, {}, {"server.bind": address})
        load_settings(None, {}, {"server.bind": address, "server.insecure": True})
    for address in ("127.0.0.1", "::1", "localhost", "127.0.0.1 ::1"):
        load_settings(None, {}, {"server.bind": address})


def test_engine_gets_each_layer_apart(tmp_path: Path) -> None:
    path = write(tmp_path, '[redis]\nsave = "60 1"\nrdbcompression = false\nAppendOnly = "no"\n')
    loaded = load_settings(path, {"PERDURE_REDIS__SAVE": "30 1"}, {"server.port": 0})
    document = json.loads(engine_options(loaded, ["--save", ""], {"port": "0"}))
    toml = {"save": "60 1", "rdbcompression": "no", "AppendOnly": "no"}
    assert document["defaults"] == {"appendfsync": "everysec"} | toml
    assert document["environment"] == {"save": "30 1"}
    assert document["redis_args"] == ["--save", ""]
    assert document["resp_port"] == 0


def test_log_is_on_unless_a_redis_conf_or_anybody_says_otherwise(tmp_path: Path) -> None:
    """The embedded default; a redis.conf brings Redis's own defaults, its words or not."""
    conf = tmp_path / "redis.conf"
    conf.write_text("save 20 3\n")
    toml = write(tmp_path, '[redis]\nappendonly = "no"\n')

    def is_logging(
        options: ServeOptions, environ: dict[str, str] | None = None, path: Path | None = None
    ) -> bool:
        loaded = load_settings(path, environ or {}, options.settings())
        return find_data_set(loaded, options).is_logging

    nothing = load_settings(None, {}, {})
    assert nothing.settings.redis == {"appendonly": "yes", "appendfsync": "everysec"}
    assert is_logging(ServeOptions())
    assert not is_logging(ServeOptions(), path=toml)
    assert not is_logging(ServeOptions(), {"PERDURE_REDIS__APPENDONLY": "no"})
    assert not is_logging(ServeOptions(redis_args=("--appendonly", "no")))
    assert not is_logging(ServeOptions(redis_conf=conf))
    assert not is_logging(ServeOptions(), {"PERDURE_SERVER__REDIS_CONF": str(conf)})
    assert is_logging(ServeOptions(redis_conf=conf), {"PERDURE_REDIS__APPENDONLY": "yes"})


def test_shown_settings_hide_secrets() -> None:
    loaded = load_settings(None, {"PERDURE_BACKENDS__S__SECRET_KEY": "x"}, {})
    flat = flatten_settings(loaded.settings)
    assert flat["backends.s.secret_key"] == "***"
    assert flat["server.port"] == "6379"


def test_environment_outranks_redis_conf_for_what_both_can_say(tmp_path: Path) -> None:
    """The engine reads the environment's port, bind and dir after redis.conf's; TOML's before."""
    path = write(tmp_path, "[server]\nport = 1\n")
    assert load_settings(path, {}, {}).redis_environment == {}
    environ = {
        "PERDURE_SERVER__PORT": "7001",
        "PERDURE_SERVER__BIND": "127.0.0.1,::1",
        "PERDURE_SERVER__DATA_DIR": "a b",
        "PERDURE_SERVER__NAME": "x",
    }
    loaded = load_settings(path, environ, {})
    assert loaded.redis_environment == {"port": "7001", "bind": "127.0.0.1 ::1", "dir": '"a b"'}
    named = load_settings(path, {**environ, "PERDURE_REDIS__PORT": "7002"}, {})
    assert named.redis_environment["port"] == "7002"


@pytest.mark.parametrize("address", ["", " "])
def test_no_address_at_all_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        load_settings(None, {"PERDURE_SERVER__BIND": address}, {})


def test_secrets_are_masked_wherever_a_plugin_has_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        """
        [redis]
        requirepass = "hush-1"
        [backends.token-store]
        type = "local"
        path = "/visible"
        api_key = "hush-2"
        endpoint = "https://me:hush-3@host/visible"
        credentials = { id = "hush-4" }
        accounts = [{ password = "hush-5" }]
        """,
    )
    flat = flatten_settings(load_settings(path, {}, {}).settings)
    assert "hush" not in str(flat)
    assert flat["backends.token-store.path"] == "/visible"
    assert flat["backends.token-store.endpoint"] == "https://***@host/visible"
    assert flat["server.port"] == "6379"


def test_data_set_is_found_where_redis_conf_is_written_with_tabs(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text(f"# dir /no\n\n\tdir\t{tmp_path}\nDBFILENAME \t 'a b.rdb'\n")
    options = ServeOptions(redis_conf=conf)
    loaded = load_settings(None, {}, options.settings())
    assert find_data_set(loaded, options).rdb == tmp_path / "a b.rdb"


def test_data_set_is_found_through_included_files(tmp_path: Path) -> None:
    """A relative `dir` goes on from the one before it, as in redis-server."""
    (tmp_path / "a.inc").write_text(f"dir {tmp_path}\n")
    (tmp_path / "b.inc").write_text("dir inner\ndbfilename b.rdb\n")
    conf = tmp_path / "redis.conf"
    conf.write_text(f"dir /no\ninclude {tmp_path}/*.inc\ninclude /nonexistent*\n")
    options = ServeOptions(redis_conf=conf)
    loaded = load_settings(None, {}, options.settings())
    assert find_data_set(loaded, options).rdb == tmp_path / "inner" / "b.rdb"


def test_log_is_found_under_the_names_of_the_last_word(tmp_path: Path) -> None:
    conf = tmp_path / "redis.conf"
    conf.write_text('appendonly no\nappenddirname "logs"\nappendfilename "my log"\n')
    environment = {"PERDURE_REDIS__DIR": str(tmp_path)}
    options = ServeOptions(redis_conf=conf, redis_args=("--appendonly", "YES"))
    found = find_data_set(load_settings(None, environment, options.settings()), options)
    assert found.is_logging
    assert found.log == tmp_path / "logs" / "my log.manifest"
    assert found.old_log == tmp_path / "my log"
    plain = find_data_set(load_settings(None, {}, {}), ServeOptions())
    assert plain.below(tmp_path).log == tmp_path / "appendonlydir" / "appendonly.aof.manifest"
    assert plain.is_logging


def test_retention_by_backend_stands_in_a_table_and_in_the_environment(tmp_path: Path) -> None:
    text = '[schedules.h]\npreset = "hourly"\nkeep_last = 3\n'
    path = write(tmp_path, text + '[schedules.h.retention.s3]\nkeep_within = "90d"\n')
    environment = {"PERDURE_SCHEDULES__H__RETENTION__LOCAL__KEEP_LAST": "2"}
    spec = load_settings(path, environment, {}).settings.schedules["h"].spec()
    assert spec.retention_on("elsewhere") == Retention(3)
    assert spec.retention_on("s3") == Retention(None, 90 * 86400)
    assert spec.retention_on("local") == Retention(2)
