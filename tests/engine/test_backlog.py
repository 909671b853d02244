"""A queue that is full: new runs are refused with a time to wait, on every server alike."""

from pathlib import Path

import pytest
from tests.engine.house import House, open_house
from tests.storage.builders import PROJECT

from understudy.engine import limits
from understudy.engine.limits import Backlog
from understudy.engine.service import RunService
from understudy.errors import TooManyRequests
from understudy.protocol.runs import CreateRun


async def test_beyond_its_bound_the_queue_takes_no_more(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK_EVERY_S", 0)
    backlog = Backlog(house.store, house.bus, 2)
    for _ in range(2):
        await backlog.refuse_if_full()
        await house.start()
    with pytest.raises(TooManyRequests) as refused:
        await backlog.refuse_if_full()
    assert (refused.value.retry_after, refused.value.code) == (5, "rate_limit_exceeded")
    assert refused.value.message == (
        "The server is currently overloaded: 2 runs wait to be worked on. Please try again in 5s."
    )


async def test_a_run_that_is_refused_leaves_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LOOK_EVERY_S", 0)
    service = RunService(house.store, house.bus, house.routes, house.clock, run_expiry_s=600, most_queued=1)
    assistant_id, first, second = await house.assistant(), await house.thread("a"), await house.thread("b")
    request = CreateRun(assistant_id=assistant_id)
    await service.start(PROJECT, first, request)
    with pytest.raises(TooManyRequests):
        await service.start(PROJECT, second, request)
    assert await house.texts(second) == ["b"]


async def test_it_is_not_counted_for_every_run(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        backlog = Backlog(house.store, house.bus, 1)
        await backlog.refuse_if_full()
        await house.start()
        await backlog.refuse_if_full()


async def test_a_projects_further_runs_go_behind_as_long_as_many_wait(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "LOOK_EVERY_S", 0)
    backlog = Backlog(house.store, house.bus, 1000)
    waiting = []
    for _ in range(limits.AHEAD + 1):
        assert not await backlog.goes_behind("proj_other")
        waiting.append(await house.start())
    assert await backlog.goes_behind(PROJECT)
    assert not await backlog.goes_behind("proj_other")
    house.work()
    for started in waiting:
        await house.rest(started)
    assert not await backlog.goes_behind(PROJECT)


async def test_what_began_since_the_last_look_counts_too(house: House) -> None:
    backlog = Backlog(house.store, house.bus, 1000)
    assert [await backlog.goes_behind(PROJECT) for _ in range(limits.AHEAD + 2)] == [False] * limits.AHEAD + [True] * 2
    assert not await backlog.goes_behind("proj_other")
