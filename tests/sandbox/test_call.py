"""When code that was interrupted is killed: by a clock that knows whether it could have stopped."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import pytest_asyncio

from understudy.sandbox.call import Call
from understudy.sandbox.limits import Limits

LIMITS = Limits(grace_s=0.2)


@dataclass
class Held:
    """A jail whose worker has had so much processor time, and wants some or not; it heeds nothing."""

    output: int
    used_s: float = 5.0
    waits: bool = True
    interrupts: int = 0
    killed: asyncio.Event = field(default_factory=asyncio.Event)

    def worker_time(self) -> tuple[float, bool]:
        return self.used_s, self.waits

    def interrupt(self) -> None:
        self.interrupts += 1

    def kill(self) -> None:
        self.killed.set()


@pytest_asyncio.fixture
async def jail() -> AsyncIterator[Held]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield Held(read)
    os.close(read)
    os.close(write)


async def killed_after(jail: Held, used_s: float = 0.0) -> float:
    """Stop a call, let the worker use some time, and return how long it was left alive."""
    call = Call(cast("Any", jail), LIMITS, 60.0, None)
    call.begin()
    begun = asyncio.get_running_loop().time()
    call.stop("cancelled")
    jail.used_s += used_s
    async with asyncio.timeout(10):
        await jail.killed.wait()
    call.end()
    assert call.killed
    return asyncio.get_running_loop().time() - begun


async def test_code_that_had_its_time_is_killed_after_the_grace(jail: Held) -> None:
    assert LIMITS.grace_s <= await killed_after(jail, used_s=2.0) < 3 * LIMITS.grace_s
    assert jail.interrupts >= 1


async def test_code_that_sleeps_is_killed_after_the_grace(jail: Held) -> None:
    jail.waits = False
    assert LIMITS.grace_s <= await killed_after(jail) < 3 * LIMITS.grace_s


async def test_code_that_waits_for_a_processor_is_given_longer_but_not_for_ever(jail: Held) -> None:
    assert await killed_after(jail) >= 4 * LIMITS.grace_s
    assert jail.interrupts > 1
