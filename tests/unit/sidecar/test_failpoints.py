"""Failpoints of the control plane: what a text arms, and at which hit a kill comes."""

import os
import signal
import subprocess
import sys

import pytest

from sidecar.failpoints import parse_failpoints

_HITS = """
from sidecar import failpoints
for number in range(5):
    failpoints.hit("there")
    print(number, flush=True)
"""


@pytest.mark.parametrize(("action", "survived"), [("kill", 0), ("kill@1", 0), ("kill@3", 2)])
def test_a_kill_comes_at_its_hit(action: str, survived: int) -> None:
    environment = {**os.environ, "PERDURE_FAILPOINTS": f"there={action}"}
    command = [sys.executable, "-c", _HITS]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert len(ended.stdout.splitlines()) == survived


@pytest.mark.parametrize("text", ["there", "there=", "=kill", "there=kill@0", "there=error:EHM"])
def test_a_text_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="bad failpoint"):
        parse_failpoints(text)
