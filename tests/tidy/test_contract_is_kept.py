"""`buf breaking` guards the wire contract: it passes as it is, and a break ends with 100.

On a copy of proto/ outside of any repository, as a clone without tags has it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BREAK = 100


@pytest.fixture
def proto(tmp_path: Path) -> Path:
    """Copy the protos, with Google's beside them."""
    folder = tmp_path / "proto"
    shutil.copytree(ROOT / "proto", folder, ignore=shutil.ignore_patterns(".googleapis"))
    # Brings Google's protos; that the copy has no stubs beside it is none of our matter.
    generate = [sys.executable, str(folder / "generate.py"), "--check"]
    subprocess.run(generate, capture_output=True, check=False)
    return folder


def _breaks(proto: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(proto / "breaking.py")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_contract_is_what_was_promised(proto: Path) -> None:
    """No message of the last release changed its meaning."""
    done = _breaks(proto)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_break_is_named_and_ends_with_its_code(proto: Path) -> None:
    """Another type under a number that clients use."""
    path = proto / "perdure/control/v1/backend_service.proto"
    text = path.read_text()
    assert "int32 page_size = 1" in text
    path.write_text(text.replace("int32 page_size = 1", "int64 page_size = 1"))
    done = _breaks(proto)
    assert done.returncode == BREAK
    assert "page_size" in done.stdout


def test_a_field_that_went_away_is_a_break(proto: Path) -> None:
    """An rpc's request loses its request_id."""
    path = proto / "perdure/control/v1/backend_service.proto"
    kept = [line for line in path.read_text().splitlines() if "string request_id = 2" not in line]
    path.write_text("\n".join(kept))
    assert _breaks(proto).returncode == BREAK


def test_what_is_new_is_no_break(proto: Path) -> None:
    """A field more, and a package that no release had."""
    path = proto / "perdure/control/v1/compression.proto"
    path.write_text(path.read_text() + "\n// Added is new.\nmessage Added {}\n")
    assert _breaks(proto).returncode == 0
