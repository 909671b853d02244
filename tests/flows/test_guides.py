"""The programs that README and guide show do what they say, as they stand there, but for the server's address."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.server import Server
from tests.harness.wire import Wire

ROOT = Path(__file__).parents[2]
SHOWN = {"README.md": "You said: ", "docs/guide.md": "The tools said: 21 °C, dry"}


@pytest.mark.parametrize("page", SHOWN)
def test_what_is_shown_runs(server: Server, wire: Wire, page: str) -> None:
    wire.assistant("get_weather", name="Weather")
    programs = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)
    assert programs
    for program in programs:
        here = program.replace("http://127.0.0.1:8000", server.url)
        assert here != program, "it should name the server"
        command = [sys.executable, "-W", "ignore", "-c", here]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(SHOWN[page])
