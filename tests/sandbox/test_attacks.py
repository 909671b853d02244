"""Every attack against a real session: it is held, the bystander notices nothing, and the attacker's key works on."""

import os
import re
import secrets
import socket
import time
import unicodedata
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from tests.sandbox.attacks import ATTACKS, BREACH, Attack
from tests.sandbox.conftest import MakeSandbox

from understudy.errors import SessionEnded
from understudy.sandbox.base import Result
from understudy.sandbox.bubblewrap import BubblewrapSandbox

pytestmark = pytest.mark.asyncio(loop_scope="module")
MiB = 1024 * 1024
BYSTANDER = "a bystander"
GRACE_S = 1.0
SLACK_S = 20.0  # on a busy machine


@dataclass
class Ground:
    """Where attacks are tried, and what they are after."""

    sandbox: BubblewrapSandbox
    canary: Path
    secret: str
    port: int
    abstract: str

    async def suffer(self, attack: Attack) -> Result:
        code = attack.of(str(self.canary), self.port, self.abstract)
        async with self.sandbox.session(attack.name) as session:
            begun = time.monotonic()
            result = await session.run(code, attack.timeout_s)
            assert time.monotonic() - begun < attack.timeout_s + GRACE_S + SLACK_S
            assert result.outcome == "ended" or session.alive
            with suppress(SessionEnded):  # it may only have said that it is done
                for file in result.files:
                    content = b"".join([piece async for piece in session.fetch(file.name)])
                    assert self.secret.encode() not in content
                    assert len(content) == file.size
        return result


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def ground(make_sandbox: MakeSandbox, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    secret = secrets.token_hex()
    canary = Path("/var/tmp") / f"understudy-canary-{secrets.token_hex(4)}"  # where any user of the machine can read it
    abstract = f"understudy-{secrets.token_hex(8)}"
    with socket.socket() as loopback, socket.socket(socket.AF_UNIX) as unix, pytest.MonkeyPatch.context() as patch:
        canary.write_text(secret)
        canary.chmod(0o644)
        patch.setenv("UNDERSTUDY_CANARY", secret)
        loopback.bind(("127.0.0.1", 0))
        unix.bind(f"\0{abstract}")
        for listener in (loopback, unix):
            listener.listen()
            listener.setblocking(False)
        limits = {"memory": 512 * MiB, "disk": 256 * MiB, "grace_s": GRACE_S, "files": 20_000, "answer_s": 3.0}
        async with make_sandbox(**limits, sessions=3) as sandbox:
            yield Ground(sandbox, canary, secret, loopback.getsockname()[1], abstract)
        canary.unlink()
        for listener in (loopback, unix):
            with pytest.raises(BlockingIOError):  # nobody has come
                listener.accept()


@pytest.fixture(autouse=True)
def _not_as_root() -> Iterator[None]:
    mask = os.umask(0o022)
    yield
    os.umask(mask)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name.replace(" ", "-"))
async def test_it_is_held(ground: Ground, attack: Attack) -> None:
    async with ground.sandbox.session(BYSTANDER) as bystander:
        await bystander.run("mine = 41" if bystander.is_new else "mine = mine")
        result = await ground.suffer(attack)
        assert re.search(attack.shows, result.logs), result
        assert not re.search(f"(?m)^{BREACH}", result.logs), result
        assert ground.secret not in result.logs
        if attack.ends is not None:
            assert (result.outcome == "ended") == attack.ends, result
        assert (await bystander.run("mine + 1")).logs == "42\n"
        assert not bystander.restarted
    async with ground.sandbox.session(attack.name) as session:
        assert "42\n" in (await session.run("40 + 2")).logs  # processes left behind may have their say
    assert ground.sandbox.status()["state"] == "ok"
    await ground.sandbox.end(attack.name)


async def test_names_of_output_files_are_clean(ground: Ground) -> None:
    result = await ground.suffer(next(attack for attack in ATTACKS if attack.name == "give files names that hurt"))
    names = [file.name for file in result.files]
    assert len(names) >= 7
    for name in names:
        assert not [sign for sign in name if unicodedata.category(sign) in ("Cc", "Cf", "Cs")]
        assert "\\" not in name
        assert len(name.encode()) <= 255


async def test_only_regular_files_come_out(ground: Ground) -> None:
    attack = next(attack for attack in ATTACKS if attack.name.startswith("leave links"))
    result = await ground.suffer(attack)
    assert result.files == ()
    async with ground.sandbox.session(attack.name) as session:
        for name in ("endless.bin", "pipe.csv", "folder.csv", "socket.csv", "canary.txt", "../../etc/passwd2", ""):
            with pytest.raises(FileNotFoundError):
                async for _ in session.fetch(name):
                    pass


async def test_only_so_many_files_are_told_of(ground: Ground) -> None:
    result = await ground.suffer(next(attack for attack in ATTACKS if attack.name == "leave ten thousand files"))
    assert len(result.files) == 200
    assert result.truncated
