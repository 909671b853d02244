"""Going round: complained of once, ended by nothing but a cancellation."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from understudy.errors import Unavailable
from understudy.rounds import go_round

log = logging.getLogger("understudy.rounds.test")
OFF = Unavailable("the disk is full")


async def said(caplog: pytest.LogCaptureFixture, *rounds: Exception | None) -> list[str]:
    """Go round once for each of `rounds`, which is what it meets; return what was logged meanwhile."""
    ahead = list(rounds)
    through = asyncio.Event()

    async def look() -> None:
        if not ahead:
            through.set()
            return
        if (met := ahead.pop(0)) is not None:
            raise met

    await until(through, look)
    return [record.getMessage() for record in caplog.records if record.name == log.name]


async def until(through: asyncio.Event, look: Callable[[], Awaitable[object]]) -> None:
    going = asyncio.create_task(go_round(look, 0, log, "could not look"))
    await asyncio.wait_for(through.wait(), 5)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going


async def test_what_stays_off_is_complained_of_once(caplog: pytest.LogCaptureFixture) -> None:
    assert await said(caplog, OFF, OFF, OFF) == ["could not look. the disk is full"]


async def test_another_fault_is_another_complaint(caplog: pytest.LogCaptureFixture) -> None:
    other = Unavailable("the disk may only be read")
    assert await said(caplog, OFF, other, OFF) == [
        "could not look. the disk is full",
        "could not look. the disk may only be read",
        "could not look. the disk is full",
    ]


async def test_what_is_off_again_after_a_good_round_is_complained_of_again(caplog: pytest.LogCaptureFixture) -> None:
    assert len(await said(caplog, OFF, None, OFF)) == 2


async def test_a_defect_does_not_end_the_rounds_and_is_told_whole(caplog: pytest.LogCaptureFixture) -> None:
    assert await said(caplog, KeyError("x"), None, KeyError("y")) == ["could not look", "could not look"]
    assert all(record.exc_info for record in caplog.records if record.name == log.name)


async def test_it_waits_between_two_rounds() -> None:
    looked: list[float] = []
    clock = asyncio.get_running_loop().time

    async def look() -> None:
        looked.append(clock())
        if len(looked) == 3:
            third.set()

    third = asyncio.Event()
    going = asyncio.create_task(go_round(look, 0.02, log, "could not look"))
    await asyncio.wait_for(third.wait(), 5)
    going.cancel()
    assert all(later - earlier >= 0.019 for earlier, later in pairwise(looked))
