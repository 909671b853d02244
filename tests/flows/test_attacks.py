"""Hostile code, run through the HTTP API as a model would be made to run it: nothing breaks, nothing leaks.

One server; each attack has a thread of its own. The canary stands in the server's environment, in a file that all can
read, and among the server's own data. The network attacks aim at a listener of this test's own.
"""

import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from tests.harness.jail import insist_on_jail
from tests.harness.replies import Call, Reply
from tests.harness.server import MODEL_KEY, Server
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, Json, Wire
from tests.sandbox.attacks import ATTACKS, BREACH, Attack

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.slow,  # minutes together; tests/sandbox/test_attacks.py has them all, in sessions of the sandbox
]

PATIENCE_S = 120.0
SETTINGS = {
    "UNDERSTUDY_SANDBOX": "auto",
    "UNDERSTUDY_SANDBOX_TIMEOUT_S": "20",  # what the attacks were written for: a busy machine is slow at some
    "UNDERSTUDY_SANDBOX_MEMORY": "512MiB",
    "UNDERSTUDY_SANDBOX_DISK": "256MiB",
    "UNDERSTUDY_SANDBOX_SESSIONS": "3",  # the sessions of past attacks make room
}
CODE_TOOL = {"type": "code_interpreter"}


@dataclass
class Ground:
    """Where attacks are tried, and what they are after."""

    url: str
    wire: Wire
    coder: Json
    bystander: Json
    canary: Path
    secret: str
    port: int
    abstract: str

    def code_of(self, attack: Attack) -> str:
        return attack.of(str(self.canary), self.port, self.abstract)


@pytest.fixture(scope="module")
def _ground(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    secret = secrets.token_hex()
    canary = Path("/var/tmp") / f"understudy-canary-{secrets.token_hex(4)}"  # where any user of the machine can read it
    abstract = f"understudy-{secrets.token_hex(8)}"
    data = tmp_path_factory.mktemp("attacked") / "data"
    with socket.socket() as loopback, socket.socket(socket.AF_UNIX) as unix:
        canary.write_text(secret)
        canary.chmod(0o644)
        loopback.bind(("127.0.0.1", 0))
        unix.bind(f"\0{abstract}")
        for listener in (loopback, unix):
            listener.listen()
            listener.setblocking(False)
        server = Server(data, _upstream.url, SETTINGS)
        server.environment["OPENAI_CANARY"] = secret
        server.start()
        try:
            insist_on_jail(server)
            (data / "canary.txt").write_text(secret)
            wire = server.wire()
            coder = wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL]})
            yield Ground(server.url, wire, coder, wire.thread(), canary, secret, loopback.getsockname()[1], abstract)
        finally:
            server.close()
            canary.unlink()
        assert "Traceback" not in server.stderr, server.stderr
        for listener in (loopback, unix):
            with pytest.raises(BlockingIOError):  # nobody has come
                listener.accept()


@pytest.fixture
def ground(_ground: Ground, upstream: Upstream) -> Ground:
    """Return the attacked server, its model with no script."""
    return _ground


@pytest.fixture(autouse=True)
def _not_as_root() -> Iterator[None]:
    mask = os.umask(0o022)
    yield
    os.umask(mask)


def ran(ground: Ground, upstream: Upstream, thread: Json, code: str) -> Json:
    """Have the model run code; return the call as the step shows it."""
    upstream.script(Reply(calls=[Call("code_interpreter", json.dumps({"code": code}))]), Reply("I have run it."))
    run = ground.wire.until(ground.wire.run(ground.coder, thread), FINAL, PATIENCE_S)
    assert run["status"] == "completed", run["last_error"]
    tool, _ = ground.wire.steps(run)
    [call] = tool["step_details"]["tool_calls"]
    shown: Json = call["code_interpreter"]
    return shown


def logs(call: Json) -> str:
    return "".join(output.get("logs", "") for output in call["outputs"])


def everything(ground: Ground, thread: Json, upstream: Upstream) -> bytes:
    """Return all that came out of a thread: its messages, what the model read of it, and every made file's bytes."""
    path = f"/threads/{thread['id']}/messages"
    seen = [ground.wire.get(path).content]
    seen += [message["content"].encode() for message in upstream.bodies[-1]["messages"] if message["role"] == "tool"]
    while made := ground.wire.read("/files", purpose="assistants_output", limit=100)["data"]:
        for file in made:
            seen.append(file["filename"].encode() + b"\n" + ground.wire.get(f"/files/{file['id']}/content").content)
            ground.wire.delete(f"/files/{file['id']}")
    return b"\n".join(seen)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_it_is_held(ground: Ground, upstream: Upstream, attack: Attack) -> None:
    assert logs(ran(ground, upstream, ground.bystander, "mine = 41")) == ""
    thread = ground.wire.thread()
    call = ran(ground, upstream, thread, ground.code_of(attack))
    assert re.search(attack.shows, logs(call)), call
    assert not re.search(f"(?m)^{BREACH}", logs(call)), call
    out = everything(ground, thread, upstream) + logs(call).encode()
    assert ground.secret.encode() not in out
    assert MODEL_KEY.encode() not in out
    assert httpx2.get(ground.url + "/health").json()["parts"]["code_interpreter"]["state"] == "ok"
    assert logs(ran(ground, upstream, ground.bystander, "mine + 1")) == "42\n"
    own = (logs(ran(ground, upstream, thread, "40 + 2")).splitlines() for _ in range(5))
    assert any("42" in lines for lines in own), "it goes on, once what the attack left has had its say"
    ground.wire.delete(f"/threads/{thread['id']}")
