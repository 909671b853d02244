"""What tests of the code interpreter need of a server: that its jail works, and what runs below it."""

import time
from pathlib import Path

import httpx2
import pytest
from tests.harness.server import Server

_OUR_FAULT = ("Traceback", "does not hold", "the probes", "the setting")  # all is there, and still it does not work
_TRIED_S = 60.0
_POLL_S = 0.05


def insist_on_jail(server: Server) -> None:
    """Wait for the self-test; skip where this machine cannot have a jail, fail where that is our own fault."""
    deadline = time.monotonic() + _TRIED_S
    while (part := httpx2.get(server.url + "/health").json()["parts"]["code_interpreter"])["state"] == "starting":
        assert time.monotonic() < deadline, "the sandbox's self-test did not end"
        time.sleep(_POLL_S)
    if part["state"] != "ok":
        why = f"no jail here: GET /health says {part}"
        (pytest.fail if any(words in part.get("why", "") for words in _OUR_FAULT) else pytest.skip)(why)


def below(process: int) -> list[int]:
    """Return all descendants of a process."""
    found = [process]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found[1:]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
