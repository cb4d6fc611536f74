"""The page of errors lists the codes that the program can give, with the status it gives them."""

import re
from collections.abc import Iterator
from pathlib import Path

from backends import errors as theirs
from sidecar import errors
from sidecar.rpc.failures import STATUS_BY_CODE, status_of, status_of_code
from sidecar.storage import translate

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "operations" / "errors.md").read_text()
ROW = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \| .+ \|$", re.MULTILINE)
NAMED = set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE))


def _codes_of_classes(kind: type[errors.PerdureError]) -> set[str]:
    return {kind.default_code}.union(*map(_codes_of_classes, kind.__subclasses__()))


def _found(folder: str, suffix: str, pattern: str) -> set[str]:
    """Return the codes that a pattern finds in the sources of a room, tests left out."""
    compiled = re.compile(pattern)
    return {
        code
        for path in (ROOT / folder).rglob(f"*{suffix}")
        if "test" not in path.stem
        for code in compiled.findall(path.read_text())
    }


def test_every_code_of_the_control_plane_is_on_the_page() -> None:
    """Classes, codes given to instances, and the rows of the table."""
    codes = _codes_of_classes(errors.PerdureError) | set(STATUS_BY_CODE)
    codes |= _found("sidecar", ".py", r'\bcode="([A-Z_]+)"')
    assert codes - NAMED == set()


def test_every_code_of_the_backends_is_on_the_page_with_the_status_that_it_gets() -> None:
    """As it is told at once, and as it is told of an operation that failed before a restart."""
    for kind in _backend_classes(theirs.BackendError):
        told = translate(kind("x"), "main", "put", "a/b")
        assert told.code in NAMED, kind
        assert status_of(told) is status_of_code(told.code), kind
        assert told.is_retryable is kind.is_retryable, kind


def _backend_classes(kind: type[theirs.BackendError]) -> Iterator[type[theirs.BackendError]]:
    for child in kind.__subclasses__():
        yield child
        yield from _backend_classes(child)


def test_every_code_of_the_client_is_on_the_page() -> None:
    """Those that no server sends."""
    codes = _found("perdure", ".py", r'Error\(\s*"([A-Z_]+)"')
    assert len(codes) >= 5, "the pattern no longer finds them"
    assert codes - NAMED == set()


def test_every_code_of_the_engine_is_on_the_page() -> None:
    """Read the engine's sources; its codes are literals where its errors are made."""
    codes = _found("engine/core/src", ".rs", r'EngineError::new\(\s*"([A-Z_]+)"')
    assert len(codes) >= 10, "the pattern no longer finds them"
    assert codes - NAMED == set()


def test_page_says_the_status_that_the_table_gives() -> None:
    """One row, one status."""
    rows = ROW.findall(PAGE)
    assert len(rows) > 60
    assert [row for row in rows if status_of_code(row[0]).name != row[1]] == []
