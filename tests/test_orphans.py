"""A child that asked for it dies with its parent, however that died."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")

CHILD = """
import time
from understudy.orphans import die_with_parent
die_with_parent()
print("up", flush=True)
time.sleep(60)
"""
PARENT = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {CHILD!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def test_a_killed_parent_takes_its_child_along() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert lives(child)
    parent.kill()
    await parent.communicate()
    async with asyncio.timeout(5):
        while lives(child):  # noqa: ASYNC110  # the kernel tells nobody but its parent
            await asyncio.sleep(0.01)


async def test_a_child_whose_parent_lives_on_lives_on() -> None:
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    assert await child.stdout.readline() == b"up\n"
    assert lives(child.pid)
    child.kill()
    await child.communicate()


LATE = """
import os, sys, time
from understudy.orphans import die_with_parent
parent = os.getpid()
if os.fork():
    os._exit(0)
while os.getppid() == parent:
    time.sleep(0.01)
die_with_parent(parent)
print("lives on", flush=True)
"""


async def test_a_child_whose_parent_was_gone_before_it_could_ask_dies_too() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", LATE, stdout=asyncio.subprocess.PIPE)
    said, _ = await parent.communicate()  # until the child has let go of it as well
    assert said == b""
