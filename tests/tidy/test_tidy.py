"""The rules of the house that no linter knows: sizes, headers, names, tables that match code."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
TEST_FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


@cache
def tracked(*suffixes: str) -> tuple[Path, ...]:
    """Give the tracked source files with one of these suffixes, generated ones excepted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    found = (ROOT / name for name in listed.split("\0") if name)
    return tuple(
        path
        for path in found
        if path.suffix in suffixes
        and "_pb2" not in path.name
        and "generated" not in path.parts
        and path.exists()
    )


def is_test(path: Path) -> bool:
    """Tell whether a file is a test (ours in `tests`, Rust's in a crate's `tests`)."""
    return "tests" in path.relative_to(ROOT).parts or path.stem.startswith(("test_", "tests"))


def test_files_have_one_job_and_a_bounded_length() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}: {lines}"
        for path in tracked(".py", ".rs")
        for lines in [len(path.read_text().splitlines())]
        if lines > (TEST_FILE_LINES_MAX if is_test(path) else FILE_LINES_MAX)
    ]
    assert not too_long


def test_python_functions_are_short() -> None:
    too_long = []
    for path in tracked(".py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.name}: {length}")
    assert not too_long


def test_rust_functions_are_short() -> None:
    """The closing brace of a function stands at the indentation of its `fn` (rustfmt)."""
    too_long = []
    begins = re.compile(r"^( *)(?:pub(?:\([a-z]+\))? )?(?:const |unsafe |extern \"C\" )*fn (\w+)")
    for path in tracked(".rs"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            found = begins.match(line)
            if not found or _is_closed(lines, number):
                continue
            close = found.group(1) + "}"
            end = next((n for n in range(number, len(lines)) if lines[n] == close), number)
            if end - number + 1 > FUNCTION_LINES_MAX:
                too_long.append(f"{path.relative_to(ROOT)}:{found.group(2)}: {end - number + 1}")
    assert not too_long


def _is_closed(lines: list[str], number: int) -> bool:
    """Tell whether a function ends where its signature ends: a declaration, or one line."""
    for line in lines[number:]:
        if line.endswith((";", "}", "{")):
            return not line.endswith("{")
    return True


def test_every_file_opens_with_what_it_is_for() -> None:
    bare = []
    for path in tracked(".py", ".rs", ".proto"):
        text = path.read_text()
        if not text.strip():
            continue
        first = text.lstrip().splitlines()[0]
        if not first.startswith(('"""', "//", "#")):
            bare.append(str(path.relative_to(ROOT)))
    assert not bare


def test_rooms_have_names() -> None:
    badly_named = [
        str(path.relative_to(ROOT))
        for path in tracked(".py", ".rs")
        if path.stem in FORBIDDEN_NAMES
    ]
    assert not badly_named


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(?:todo!|unimplemented!|TODO|FIXME|XXX|NotImplementedError)\b")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked(".py", ".rs", ".proto")
        if path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line)
    ]
    assert not left


def test_every_unsafe_module_says_why() -> None:
    silent = []
    for path in tracked(".rs"):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if "allow(unsafe_code)" in line and "//" not in line:
                silent.append(f"{path.relative_to(ROOT)}:{number}")
    assert not silent


def test_tests_neither_sleep_nor_skip_in_silence() -> None:
    # An ignored Rust test that another test runs in a process of its own says so.
    sleeps = r"\btime\.sleep\((?!0\.0)|asyncio\.sleep\([1-9]"
    pattern = re.compile(sleeps + r"|#\[ignore(?! = .run by)|mark\.xfail")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in tracked(".py", ".rs")
        if is_test(path) and path != Path(__file__)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def documented(page: str) -> set[str]:
    """Give the names in the first column of every table of a page under docs/."""
    rows = (ROOT / "docs" / page).read_text().splitlines()
    return set(re.findall(r"^\| `([^`]+)`", "\n".join(rows), re.MULTILINE))


def test_failpoints_are_documented() -> None:
    """Every name that the code can hit stands in the table, and no other."""
    rooms = "aof|boot|clone|commit|durable|import|local|restore|rotate|snapshot|verify"
    quoted = re.compile(rf'(?:hit|step|pass|\bfail_here|point)\(\s*"((?:{rooms})\.[a-z_]+)"')
    names = {
        name
        for path in tracked(".py", ".rs")
        if not is_test(path)
        for name in quoted.findall(path.read_text())
    }
    # The fetch of a payload has the same steps whoever asked for it.
    names |= {
        f"{who}.{step}"
        for step in re.findall(
            r'step\(f"\{steps\}\.([a-z_]+)"', (ROOT / "sidecar/verify.py").read_text()
        )
        for who in ("boot", "clone", "download", "restore", "verify")
    }
    page = (ROOT / "docs/operations/failpoints.md").read_text()
    rows = re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)
    assert sorted(names) == sorted(rows), "each has one row"


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_pages_name_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    named = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert not [name for name in named if not (ROOT / name).exists()]


def test_pages_have_no_wide_gaps() -> None:
    """Two blank lines in a row are where something was cut out without a second look."""
    gaps = [
        str(path.relative_to(ROOT))
        for path in tracked(".md")
        for first, second in pairwise(path.read_text().splitlines())
        if not first.strip() and not second.strip()
    ]
    assert not gaps
