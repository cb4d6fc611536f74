"""Generate the Go stubs of this example again from `proto/`: `python examples/go/generate.py`.

Only the files that the example needs. Needs grpcio-tools (protoc) and a Go toolchain; the two
plugins of protoc are tools of `go.mod`, so their versions are pinned there. Run
`python proto/generate.py` first: it leaves Google's own protos beside ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROTO_ROOT = HERE.parent.parent / "proto"
MODULE = "example.com/perdure-client"
PACKAGES = {
    "perdure/data/v1": ("data_messages", "data_service", "durability", "value"),
    "perdure/control/v1": (
        "compression",
        "operation_metadata",
        "restore",
        "snapshot",
        "snapshot_service",
        "transfer",
    ),
    # Google's own Go package of it would bring in its whole cloud library.
    "google/longrunning": ("operations",),
}
PLUGINS = {
    "protoc-gen-go": "google.golang.org/protobuf/cmd/protoc-gen-go",
    "protoc-gen-go-grpc": "google.golang.org/grpc/cmd/protoc-gen-go-grpc",
}


def main() -> None:
    """Build the plugins into a temporary folder and run protoc with them."""
    # The toolchain of the virtual environment stands beside its interpreter.
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    os.environ["PATH"] = os.pathsep.join(places)
    files = [f"{folder}/{name}.proto" for folder, names in PACKAGES.items() for name in names]
    mapping = [
        f"M{file}={MODULE}/{folder}" for folder in PACKAGES for file in files if folder in file
    ]
    with tempfile.TemporaryDirectory() as plugins:
        for name, package in PLUGINS.items():
            build = ["go", "build", "-o", f"{plugins}/{name}", package]
            subprocess.run(build, check=True, cwd=HERE)
        command = [sys.executable, "-m", "grpc_tools.protoc"]
        command += [f"--proto_path={PROTO_ROOT}", f"--proto_path={PROTO_ROOT / '.googleapis'}"]
        for kind in ("go", "go-grpc"):
            options = ",".join([f"module={MODULE}", *mapping])
            command.append(f"--{kind}_out={options}:{HERE}")
        path = os.pathsep.join([plugins, os.environ["PATH"]])
        subprocess.run(command + files, check=True, env={**os.environ, "PATH": path})


if __name__ == "__main__":
    main()
