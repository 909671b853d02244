"""What calls that broke off have used: booked on the day, and on nothing else. A token is a character here."""

import asyncio
import threading

import pytest
from tests.engine.house import SOON_S, House, count_characters, function, speaking_run
from tests.storage.builders import PROJECT

from understudy.errors import UpstreamError
from understudy.inference.base import TextDelta
from understudy.protocol.runs import usage
from understudy.storage import daily_tokens, threads
from understudy.testing import USAGE, call, say

PROMPT = len("Be kind.") + len("hi")


async def booked(house: House) -> int:
    day = daily_tokens.day_of(house.clock.now())
    return await house.store.read(lambda connection: daily_tokens.used(connection, PROJECT, day))


async def will_be_booked(house: House, tokens: int) -> None:
    """Nobody waits for a booking, and no event tells of it."""
    async with asyncio.timeout(SOON_S):
        while (found := await booked(house)) == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    assert found == tokens


async def test_a_cancelled_call_is_booked_on_the_day_alone(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.cancel(started.run)
    run = await house.rest(started)
    assert (run.status, run.usage) == ("cancelled", usage())
    await will_be_booked(house, PROMPT + len("Hello"))


async def test_all_that_was_said_is_counted(house: House) -> None:
    """A narration that has ended, and the call after it, as far as it came."""
    gate = asyncio.Event()
    house.model.turns = [[*call(narration="Let me see.", get_weather={"city": "Busan"})[:-1], gate]]
    house.work()
    started = await house.start(tools=[function()])
    stream = house.follow(started)
    async for live in stream:
        if live and "Busan" in live.event.data:
            break
    await stream.aclose()
    await house.cancel(started.run)
    said = "Let me see." + "get_weather" + '{"city": "Busan"}'
    await will_be_booked(house, PROMPT + len("get_weather") + len(said))


async def test_a_call_that_its_upstream_broke_off_is_booked(house: House) -> None:
    house.model.turns = [[TextDelta("Hel"), UpstreamError("It is down.")]]
    house.work()
    await house.rest(await house.start())
    await will_be_booked(house, PROMPT + len("Hel"))


async def test_a_call_that_its_upstream_refused_is_not(house: House) -> None:
    house.model.turns = [[UpstreamError("It is down.")], [TextDelta("Hel"), UpstreamError("Again.")]]
    house.work()
    failed = await house.rest(await house.start())
    await house.rest(await house.start_on(failed.thread_id))
    await will_be_booked(house, PROMPT + len("Hel"))


async def test_a_thread_that_is_deleted_under_way_has_used_what_it_has(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.runs.delete_thread(PROJECT, started.run.thread_id)
    await will_be_booked(house, PROMPT + len("Hello"))


async def test_an_answer_that_ends_in_a_thread_that_is_deleted_is_booked_as_its_upstream_says(house: House) -> None:
    gate = asyncio.Event()
    house.work()
    started = await speaking_run(house, gate)
    run = started.run
    await house.store.write(lambda connection: threads.delete(connection, PROJECT, run.thread_id))  # nobody is told yet
    gate.set()
    await will_be_booked(house, USAGE.prompt_tokens + USAGE.completion_tokens)


async def test_a_call_that_a_stop_calls_off_is_made_anew_and_counts_then(house: House) -> None:
    worker = house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.bus.close()
    await worker.stop()
    await asyncio.gather(*worker._loop._bookings._under_way)
    assert (await house.run(started.run.id)).status == "in_progress"
    assert await booked(house) == 0


async def test_counting_holds_up_neither_the_cancellation_nor_anything_else(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, enough = threading.Event(), threading.Event()

    def count_slowly(*of: object) -> int:
        counting.set()
        enough.wait(SOON_S)
        return count_characters(*of)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr("tests.engine.house.count_characters", count_slowly)
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.cancel(started.run)
    assert (await house.rest(started)).status == "cancelled"
    house.model.turns = [say("Go on.")]
    assert (await house.rest(await house.start_on(started.run.thread_id))).status == "completed"
    assert await asyncio.to_thread(counting.wait, SOON_S)
    assert await booked(house) == USAGE.prompt_tokens + USAGE.completion_tokens
    enough.set()
    async with asyncio.timeout(SOON_S):
        while await booked(house) != USAGE.prompt_tokens + USAGE.completion_tokens + PROMPT + len("Hello"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_count_that_fails_is_told_in_the_log(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("tests.engine.house.count_characters", fail)
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.cancel(started.run)
    assert (await house.rest(started)).status == "cancelled"
    async with asyncio.timeout(SOON_S):
        while "could not be booked" not in caplog.text:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
