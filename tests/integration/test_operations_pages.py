"""The commands on the pages for operators run as they stand, in order, against a fresh server.

What is replaced: ports (the page has the defaults), `ID` by the newest snapshot's, and the other
server's name. Blocks of the language `sh` are run; others are for reading.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import (
    RedisServer,
    Sidecar,
    clean_environment,
    free_port,
    redis_server_binary,
)

PAGES = Path(__file__).resolve().parents[2] / "docs" / "operations"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
PRELUDE = """
set -euo pipefail
trap 'command redis-cli -p "$NEW_PORT" SHUTDOWN NOSAVE >/dev/null 2>&1 || true' EXIT
redis-server() {
  command redis-server "$@"
  until [ "$(command redis-cli -p "$NEW_PORT" PING 2>/dev/null)" = PONG ]; do :; done
}
newest() {
  perdure -o json snapshot list | "$PYTHON" -c '
import json, sys
print(json.load(sys.stdin)["snapshots"][0]["name"].removeprefix("snapshots/"))'
}
redis-cli() {
  case " $* " in
    *" -p "*) command redis-cli "$@" ;;
    *) command redis-cli -p "$RESP_PORT" "$@" ;;
  esac
}
"""


def _script(page: str, ports: dict[str, int]) -> str:
    blocks = BLOCK.findall((PAGES / page).read_text())
    assert blocks, f"{page} has no commands"
    script = "".join(blocks)
    script = re.sub(r"\bID\b", '"$(newest)"', script)
    script = script.replace("-h old.example -p 6379", f"-h 127.0.0.1 -p {ports['old']}")
    return PRELUDE + script.replace("7000", str(ports["new"]))


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("back-up.md", "passed"),
        ("restore.md", "paid"),
        ("move-data.md", "house"),
    ],
)
def test_commands_of_a_page_run(tmp_path: Path, page: str, said: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    redis_server_binary(work)
    with (
        Sidecar(tmp_path / "s") as sidecar,
        RedisServer(tmp_path / "old", debug_args=()) as old,
    ):
        with old.client() as client:
            client.set("moved", "house")
        new_port = free_port()
        binaries = [str(Path(sys.executable).parent), str(work), os.environ["PATH"]]
        done = subprocess.run(
            ["bash", "-c", _script(page, {"old": old.port, "new": new_port})],
            capture_output=True,
            text=True,
            timeout=240,
            cwd=work,
            check=False,
            env={
                **clean_environment(),
                "PATH": os.pathsep.join(binaries),
                "PERDURE_TARGET": sidecar.target,
                "RESP_PORT": str(sidecar.ports["resp"]),
                "NEW_PORT": str(new_port),
                "PYTHON": sys.executable,
            },
        )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert said in done.stdout
