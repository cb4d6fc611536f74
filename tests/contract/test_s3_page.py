"""docs/operations/backends-s3.md says what the program has: settings, stores, errors."""

from __future__ import annotations

import re
from pathlib import Path

from backends import errors
from backends.s3.options import S3Options
from backends.s3.stores import PROFILES, Checksum, Store

PAGE = (Path(__file__).parents[2] / "docs" / "operations" / "backends-s3.md").read_text()
CONFIGURED_FOR_ALL = {"timeout", "transfer_timeout"}


def rows(heading: str) -> list[list[str]]:
    """Give the cells of the table below a heading, its head left out."""
    section = PAGE.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[2:]]


def test_every_setting_is_on_the_page_with_its_default() -> None:
    listed = {name: row[1] for row in rows("Settings") for name in re.findall(r"`(\w+)`", row[0])}
    assert set(listed) - CONFIGURED_FOR_ALL == set(S3Options.model_fields)
    for name in ("part_size_bytes", "parts_in_flight", "connect_timeout_seconds"):
        assert float(listed[name]) == S3Options.model_fields[name].default
    assert listed["encryption"] == f"`{S3Options.model_fields['encryption'].default}`"


def test_every_store_is_on_the_page_as_its_profile_says() -> None:
    listed = {Store(row[0].strip("`")): row for row in rows("What each store can")}
    assert set(listed) == set(Store) == set(PROFILES)
    for store, row in listed.items():
        profile = PROFILES[store]
        assert row[1] == ("yes" if profile.has_conditional_create else "no"), store
        assert row[2] == ("yes" if profile.is_path_style else "no"), store
        assert Checksum(row[3].strip("`")) is profile.checksum, store


def test_every_error_of_a_backend_itself_is_on_the_page() -> None:
    """Those that speak of the backend, not of one blob."""
    listed = {row[0].strip("`") for row in rows("Errors")}
    kinds = [kind for parent in errors.BackendError.__subclasses__() for kind in _family(parent)]
    assert listed == {kind.code for kind in kinds if kind.code.startswith("BACKEND_")}


def _family(kind: type[errors.BackendError]) -> list[type[errors.BackendError]]:
    return [kind, *(grand for child in kind.__subclasses__() for grand in _family(child))]
