"""Compare the wire contract with what was promised, by `buf breaking`.

Lives here: the rules, and against what. `contract.binpb` is what was promised last, committed, so
that a fresh clone without tags or network has something to fail against; `--promise` writes it anew
when a release is made. The newest tag `v*` is compared with too. What neither knows, a package that
is not released yet, may change.

Usage: `python proto/breaking.py [--against REF]`; ends with buf's own code, 100 for a break.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PROTO_ROOT = Path(__file__).resolve().parent
REPO_ROOT = PROTO_ROOT.parent
PROMISE = PROTO_ROOT / "contract.binpb"
GOOGLE = ".googleapis"
# buf compares images: of our two modules as a workspace it would make two. FILE is the strictest
# set of rules; Google's own files are not ours to promise.
RULES = '{"version": "v2", "breaking": {"use": ["FILE"], "ignore": ["google"]}}'


def buf(*args: str, at: Path = PROTO_ROOT) -> int:
    """Run buf, which stands beside the interpreter, and return its exit code."""
    program = Path(sys.executable).parent / "buf"
    return subprocess.run([str(program), *args], cwd=at, check=False).returncode


def newest_release() -> str | None:
    """Return the newest tag `v*` that this commit descends from; None without one, or git."""
    describe = ["git", "describe", "--tags", "--abbrev=0", "--match", "v*"]
    try:
        found = subprocess.run(describe, cwd=REPO_ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return found.stdout.strip() or None


def compare_with_commit(ref: str) -> int:
    """Compare with the protos of a commit; Google's, which git has not, are today's."""
    archive = ["git", "archive", ref, "proto"]
    packed = subprocess.run(archive, cwd=REPO_ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="data")
        then = Path(folder) / "proto"
        shutil.copytree(PROTO_ROOT / GOOGLE, then / GOOGLE)
        image = Path(folder) / "then.binpb"
        return buf("build", "-o", str(image), at=then) or compare_with(image)


def compare_with(then: Path) -> int:
    """Compare today's protos with an image; 100 when something is broken, which buf names."""
    with tempfile.TemporaryDirectory() as folder:
        now = Path(folder) / "now.binpb"
        rules = ("--config", RULES)
        return buf("build", "-o", str(now)) or buf(
            "breaking", str(now), "--against", str(then), *rules
        )


def main() -> int:
    """Compare, or with `--promise` write down today's contract; return the exit code."""
    parser = argparse.ArgumentParser(description="Look for breaks of the wire contract.")
    parser.add_argument("--against", metavar="REF", help="a commit, instead of the newest tag")
    parser.add_argument("--promise", action="store_true", help="promise today's contract")
    asked = parser.parse_args()
    if asked.promise:
        return buf("build", "--exclude-source-info", "-o", str(PROMISE))
    code = compare_with(PROMISE)
    ref = asked.against or newest_release()
    return code or (compare_with_commit(ref) if ref else 0)


if __name__ == "__main__":
    raise SystemExit(main())
