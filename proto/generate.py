"""Regenerate the committed Python stubs of the wire contract, or check that they are current.

Lives here: how `.proto` files become `perdure/**/*_pb2*.py(i)`. Not here: linting, which is
`buf lint proto`; it needs the `.googleapis` folder that a run of this leaves beside this file
(Google's own protos, copied from the installed googleapis-common-protos, so that buf needs no
network; never committed).

Usage: `python proto/generate.py` writes the stubs; with `--check` it writes none and ends with 1
when a committed one differs from what would be generated. Needs grpcio-tools, mypy-protobuf and
googleapis-common-protos.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

PROTO_ROOT = Path(__file__).resolve().parent
REPO_ROOT = PROTO_ROOT.parent
GOOGLE_ROOT = PROTO_ROOT / ".googleapis"
# What our files import, and what that imports in turn; google.protobuf is built into protoc and
# buf. From the path in the package to the path that is imported: the package ships the long-running
# operations under an odd file name, while its own Python module registers them under the usual one.
GOOGLE_FILES = {
    "google/api/annotations.proto": "google/api/annotations.proto",
    "google/api/client.proto": "google/api/client.proto",
    "google/api/field_behavior.proto": "google/api/field_behavior.proto",
    "google/api/http.proto": "google/api/http.proto",
    "google/api/launch_stage.proto": "google/api/launch_stage.proto",
    "google/longrunning/operations_proto.proto": "google/longrunning/operations.proto",
    "google/rpc/status.proto": "google/rpc/status.proto",
}


def copy_google_protos() -> None:
    """Fill `.googleapis` afresh with the Google files that ours import."""
    shutil.rmtree(GOOGLE_ROOT, ignore_errors=True)
    package = metadata.distribution("googleapis-common-protos")
    for source, name in GOOGLE_FILES.items():
        target = GOOGLE_ROOT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(package.locate_file(source)), target)


def generate_stubs(out: Path) -> list[Path]:
    """Generate every stub below `out` and return the paths, relative to it, in order."""
    protos = sorted(
        str(path.relative_to(PROTO_ROOT)) for path in PROTO_ROOT.glob("perdure/**/*.proto")
    )
    command = [sys.executable, "-m", "grpc_tools.protoc"]
    command += [f"--proto_path={PROTO_ROOT}", f"--proto_path={GOOGLE_ROOT}"]
    command += [
        f"--python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--grpc_python_out={out}",
        f"--mypy_grpc_out=quiet:{out}",
    ]
    # The plugins stand beside the interpreter, which need not be on the PATH.
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    subprocess.run(
        command + protos,
        check=True,
        cwd=PROTO_ROOT,
        env={**os.environ, "PATH": os.pathsep.join(places)},
    )
    for path in out.glob("perdure/**/*_pb2_grpc.py*"):
        if not path.name.split("_pb2_grpc")[0].endswith("_service"):
            path.unlink()  # A file without a service yields an empty stub.
    return sorted(
        path.relative_to(out)
        for path in out.glob("perdure/**/*")
        if path.is_file() and "_pb2" in path.name and path.suffix in {".py", ".pyi"}
    )


def find_committed_stubs() -> list[Path]:
    """Find the stubs in the tree; the paths are relative to its top, in order."""
    found = REPO_ROOT.glob("perdure/**/*_pb2*.py*")
    return sorted(path.relative_to(REPO_ROOT) for path in found if path.suffix in {".py", ".pyi"})


def find_stale_stubs(out: Path, fresh: list[Path]) -> list[Path]:
    """Find the stubs that are missing, superfluous or different in the tree."""
    present = find_committed_stubs()
    is_same = {
        path: filecmp.cmp(out / path, REPO_ROOT / path, shallow=False)
        for path in set(fresh) & set(present)
    }
    return sorted(path for path in {*fresh, *present} if not is_same.get(path, False))


def main() -> int:
    """Write the stubs, or with `--check` compare them; return the exit code."""
    parser = argparse.ArgumentParser(description="Regenerate the Python stubs.")
    parser.add_argument("--check", action="store_true", help="compare, write no stub")
    is_check = parser.parse_args().check
    copy_google_protos()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        fresh = generate_stubs(out)
        stale = find_stale_stubs(out, fresh)
        if is_check:
            for path in stale:
                sys.stderr.write(f"stale: {path} (run `make proto`)\n")
            return 1 if stale else 0
        for path in stale:
            if path in fresh:
                (REPO_ROOT / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(out / path, REPO_ROOT / path)
            else:
                (REPO_ROOT / path).unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
