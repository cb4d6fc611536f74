"""From a configuration table to an open backend: built-in types, plugins of others, bad options."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from backends import errors, registry
from backends.base import Backend
from backends.contract import CheckOutcome, run_contract
from backends.registry import BackendPlugin, list_types, load_plugin, open_backend
from tests.support.memory_backend import MemoryBackend


class MemoryOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    quota: int = 0


def open_memory(_options: BaseModel) -> Backend:
    return MemoryBackend()


PLUGIN = BackendPlugin(type_name="memory", options=MemoryOptions, open=open_memory)
NOT_A_PLUGIN = object()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Give a function that pretends packages with these entry points were installed."""

    def pretend(**objects: str) -> None:
        found = [
            metadata.EntryPoint(name.rstrip("_"), value, registry.ENTRY_POINT_GROUP)
            for name, value in objects.items()
        ]
        monkeypatch.setattr(registry, "_find_entry_points", lambda: found)

    return pretend


def test_plugin_of_others_opens_and_keeps_the_contract(install: Callable[..., None]) -> None:
    install(memory=f"{__name__}:PLUGIN")
    assert list_types() == ["local", "memory", "s3"]
    plugin = load_plugin("memory")
    assert plugin.type_name == "memory"
    results = run_contract(open_backend("memory", {"quota": 1}))
    assert {result.outcome for result in results} == {CheckOutcome.PASSED}


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({}, "unknown backend type 'x'; known are local, s3"),
        ({"x": "no_such_module_at_all:PLUGIN"}, "cannot be loaded"),
        ({"x": f"{__name__}:NOT_A_PLUGIN"}, "not a BackendPlugin"),
        ({"x": "a:P", "x_": "b:P"}, "installed more than once: a:P, b:P"),
    ],
)
def test_unusable_type_is_a_configuration_error(
    entries: dict[str, str], text: str, install: Callable[..., None]
) -> None:
    install(**entries)
    with pytest.raises(errors.BackendConfigError, match=text) as caught:
        open_backend("x", {})
    assert caught.value.code == "BACKEND_CONFIG_INVALID"
    assert load_plugin("local").type_name == "local"


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({}, ["path: Field required"]),
        ({"path": "x", "pth": "y"}, ["pth: Extra inputs are not permitted (did you mean path?)"]),
        ({"path": "x", "colour": "y"}, ["permitted (known are path, create)"]),
        ({"path": 7, "create": "perhaps"}, ["path: ", "create: "]),
    ],
)
def test_wrong_options_are_named_without_their_values(
    options: dict[str, object], texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.BackendConfigError) as caught:
        open_backend("local", options)
    for text in texts:
        assert text in caught.value.message
    assert "perhaps" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_importing_the_registry_loads_no_backend() -> None:
    """A vendor's SDK costs only those who use it."""
    code = "import sys, backends.registry; sys.exit('backends.local' in sys.modules)"
    root = Path(registry.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_every_error_has_a_code_and_a_hint_of_its_own() -> None:
    kinds = list(_classes(errors.BackendError))
    codes = {kind.code for kind in kinds}
    assert len(codes) == len(kinds) == 18
    assert all(kind.hint.endswith(".") and kind.code.isupper() for kind in kinds)
    retryable = ["BackendUnavailableError", "BackendThrottledError", "BackendChecksumError"]
    assert [kind.__name__ for kind in kinds if kind.is_retryable] == retryable
    drawn = errors.__doc__ or ""
    assert all(kind.__name__ in drawn for kind in kinds)


def _classes(kind: type[errors.BackendError]) -> Iterator[type[errors.BackendError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _classes(child)
