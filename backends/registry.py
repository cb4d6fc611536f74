"""Which types of backend there are, and how a configuration table becomes an open backend.

Built-in types are listed here; others come from installed packages, under the entry-point group
`perdure.backends`: the entry's name is the type, its object a `BackendPlugin`. A plugin that cannot
be loaded is an error only for those who ask for it. Names, schedules and retention of configured
backends are not here.
"""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ValidationError

from backends.errors import BackendConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic_core import ErrorDetails

    from backends.base import Backend

ENTRY_POINT_GROUP: Final = "perdure.backends"

# Type to module; the module has a `PLUGIN`. Imported when asked for: some bring a vendor's SDK.
_BUILT_IN: Final = {"local": "backends.local", "s3": "backends.s3"}


@dataclass(frozen=True, slots=True)
class BackendPlugin:
    """One type of backend.

    Attributes:
        type_name: What the configuration calls it.
        options: The pydantic model of its table, without `type`; should forbid unknown names.
        open: Opens a backend from checked options. May block; raises BackendError.
    """

    type_name: str
    options: type[BaseModel]
    open: Callable[[BaseModel], Backend]


def list_types() -> list[str]:
    """Return the names of all types, built in and installed, in order."""
    return sorted({*_BUILT_IN, *(entry.name for entry in _find_entry_points())})


def load_plugin(type_name: str) -> BackendPlugin:
    """Load one type; a built-in one comes before an installed one of the same name.

    Raises:
        BackendConfigError: There is no such type, it is there twice, or it cannot be loaded.
    """
    if type_name in _BUILT_IN:
        found: object = importlib.import_module(_BUILT_IN[type_name]).PLUGIN
    else:
        entries = [entry for entry in _find_entry_points() if entry.name == type_name]
        if not entries:
            message = f"unknown backend type {type_name!r}; known are {', '.join(list_types())}"
            raise BackendConfigError(message, type=type_name)
        if len(entries) > 1:
            places = ", ".join(entry.value for entry in entries)
            message = f"backend type {type_name!r} is installed more than once: {places}"
            raise BackendConfigError(message, type=type_name)
        try:
            found = entries[0].load()
        except Exception as exc:  # whatever a stranger's module raises
            message = f"the plugin for backend type {type_name!r} cannot be loaded: {exc}"
            raise BackendConfigError(message, type=type_name) from exc
    if not isinstance(found, BackendPlugin):
        message = f"the plugin for backend type {type_name!r} is not a BackendPlugin"
        raise BackendConfigError(message, type=type_name)
    return found


def check_options(plugin: BackendPlugin, options: Mapping[str, object]) -> BaseModel:
    """Check a configuration table, without `type`, against the type's options.

    Raises:
        BackendConfigError: One line for all that is wrong; values are not shown.
    """
    try:
        return plugin.options.model_validate(dict(options))
    except ValidationError as exc:
        lines = [
            f"{'.'.join(str(part) for part in error['loc']) or 'options'}: {error['msg']}"
            f"{_guess(plugin, error)}"
            for error in exc.errors(include_url=False, include_input=False)
        ]
        message = f"wrong options for backend type {plugin.type_name!r}: {'; '.join(lines)}"
        raise BackendConfigError(message, type=plugin.type_name) from None


def _guess(plugin: BackendPlugin, error: ErrorDetails) -> str:
    """Name the option that a misspelt one may mean."""
    known = list(plugin.options.model_fields)
    if error["type"] != "extra_forbidden":
        return ""
    close = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    return f" (did you mean {close[0]}?)" if close else f" (known are {', '.join(known)})"


def open_backend(type_name: str, options: Mapping[str, object]) -> Backend:
    """Open a backend of a type. May block.

    Raises:
        BackendConfigError: The type or the options are wrong; nothing was touched.
        BackendError: The storage does not answer, or refuses.
    """
    plugin = load_plugin(type_name)
    return plugin.open(check_options(plugin, options))


def _find_entry_points() -> list[metadata.EntryPoint]:
    return list(metadata.entry_points(group=ENTRY_POINT_GROUP))
