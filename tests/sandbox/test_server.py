"""The server with its sandbox: what /health says, and that it starts at once and leaves nothing behind."""

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.wire import FINAL
from tests.sandbox.conftest import MakeSandbox
from tests.sandbox.test_kill import below

SOON_S = 30.0


def code_interpreter(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(f"{server.url}/health", timeout=10) as answer:
        told: dict[str, Any] = json.load(answer)["parts"]["code_interpreter"]
    return told


def settled(server: Server) -> dict[str, Any]:
    end = time.monotonic() + SOON_S
    while (told := code_interpreter(server))["state"] == "starting" and time.monotonic() < end:
        time.sleep(0.05)
    return told


def test_health_says_that_the_jail_holds(make_sandbox: MakeSandbox, make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_SANDBOX="auto")
    assert settled(server) == {"state": "ok", "kind": "bubblewrap"}
    assert "code interpreter: ok" in server.stderr
    assert not [process for process in below(server.pid) if "bwrap" in command(process)]  # nobody has asked for code


def test_health_says_what_is_missing_and_the_rest_works(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(UNDERSTUDY_SANDBOX="auto", UNDERSTUDY_SANDBOX_DIR=str(tmp_path))
    told = settled(server)
    assert told["state"] == "off"
    assert "understudy sandbox setup" in told["why"] or "bubblewrap" in told["why"] or "Linux" in told["why"]
    assert server.wire().thread("hello")


def test_a_run_that_needs_it_fails_and_says_why(make_server: MakeServer, tmp_path: Path) -> None:
    server = make_server(UNDERSTUDY_SANDBOX="auto", UNDERSTUDY_SANDBOX_DIR=str(tmp_path))
    why = settled(server)["why"]
    wire = server.wire()
    coder = wire.make("/assistants", {"model": "gpt-4o", "tools": [{"type": "code_interpreter"}]})
    run = wire.until(wire.run(coder), FINAL)
    assert run["status"] == "failed"
    assert run["last_error"]["code"] == "server_error"
    assert run["last_error"]["message"].startswith("The tool 'code_interpreter' is off on this server.")
    assert why in run["last_error"]["message"]
    plain = wire.make("/assistants", {"model": "gpt-4o"})
    assert wire.until(wire.run(plain), FINAL)["status"] == "completed"


def test_it_can_be_turned_off(make_server: MakeServer) -> None:
    assert settled(make_server(UNDERSTUDY_SANDBOX="off"))["why"] == "the setting `sandbox` is off"


def command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""
