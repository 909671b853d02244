"""When the server dies, by -9 too, no jail outlives it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tests.sandbox.conftest import MakeSandbox, settings

from understudy.sandbox.bubblewrap import BubblewrapSandbox

SOON_S = 15.0
STOP_S = 10.0  # on a busy machine: a worker takes a moment to start, and to find that it is not wanted
SERVER = """
import asyncio, sys
from tests.sandbox.conftest import settings
from understudy.sandbox.bubblewrap import BubblewrapSandbox

HOSTILE = '''
import os, signal, time
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for _ in range(3):
    if not os.fork():
        os.setsid()
        while True:
            time.sleep(0.1)
'''

async def main():
    sandbox = BubblewrapSandbox(settings(warm=1))
    assert await sandbox.tried() is None
    async with sandbox.session("a") as session:
        await session.run(HOSTILE)
        print(session.jail.init_id, flush=True)
        await session.run("while True: time.sleep(1)", 600)

asyncio.run(main())
"""


def below(process: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [process]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_jail_outlives_its_server(make_sandbox: MakeSandbox, number: signal.Signals) -> None:
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True, cwd=root) as server:
        assert server.stdout
        init = int(server.stdout.readline())
        time.sleep(0.5)
        processes = below(server.pid)[1:]
        assert init in processes
        assert len(processes) >= 6  # bubblewrap, the jail's first, the worker and its three children
        server.send_signal(number)
        server.wait()
    end = time.monotonic() + SOON_S
    while any(map(is_running, processes)) and time.monotonic() < end:
        time.sleep(0.05)
    assert [process for process in processes if is_running(process)] == []


async def test_a_stop_does_not_wait_for_a_jail_that_is_being_made(make_sandbox: MakeSandbox) -> None:
    """`begin` starts the self-test; the server is stopped at each moment of it, and nothing is left of a jail."""
    uid = 61_101 + os.getpid() % 80  # nobody else's, to know orphans by
    for after_s in (0, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2):
        sandbox = BubblewrapSandbox(settings(uid=uid))
        sandbox.begin()
        await asyncio.sleep(after_s)
        begun = time.monotonic()
        await sandbox.aclose()
        await asyncio.to_thread(sandbox._launchers.shutdown, wait=True)
        assert time.monotonic() - begun < STOP_S
    if os.geteuid() == 0:
        assert [process for process in map(int, filter(str.isdigit, os.listdir("/proc"))) if is_of(process, uid)] == []


def is_of(process: int, uid: int) -> bool:
    try:
        return Path(f"/proc/{process}").stat().st_uid == uid and is_running(process)
    except FileNotFoundError:
        return False
