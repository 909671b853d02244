"""What a client may do with runs: start, answer, cancel; and what is refused, in the hosted API's words."""

import asyncio

import pytest
from sqlalchemy import update
from tests.engine.house import (
    HAPPY_PATH,
    SOON_S,
    House,
    bodies,
    function,
    names,
    open_calls,
    speaking_run,
    waiting_run,
)
from tests.storage.builders import NOW, PROJECT

from understudy.engine.service import Started
from understudy.errors import InvalidRequest, NotFound
from understudy.protocol.messages import CreateMessage
from understudy.protocol.runs import CreateRun, CreateThreadAndRun, RunStatus, ToolOutput
from understudy.storage import messages
from understudy.storage.schema import runs as table
from understudy.testing import call, say

HI = CreateMessage(role="user", content="hi")


# --- starting ----------------------------------------------------------------------------------------------------


async def test_a_new_run_is_queued(house: House) -> None:
    started = await house.start()
    run = started.run
    assert (run.status, run.created_at, run.expires_at, run.started_at) == ("queued", NOW, NOW + 600, None)
    shown = run.shown()
    assert (shown.temperature, shown.top_p, shown.tool_choice, shown.response_format) == (1.0, 1.0, "auto", "auto")
    assert (shown.parallel_tool_calls, shown.usage, shown.required_action) == (True, None, None)


async def test_a_thread_takes_one_run_at_a_time(house: House) -> None:
    run = (await house.start()).run
    with pytest.raises(InvalidRequest) as refused:
        await house.start_on(run.thread_id)
    assert refused.value.message == f"Thread {run.thread_id} already has an active run {run.id}."


async def test_of_many_starts_at_once_one_wins(house: House) -> None:
    thread_id = await house.thread("hi")
    outcomes = await asyncio.gather(*[house.start_on(thread_id) for _ in range(10)], return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, Started)]
    assert len(won) == 1
    text = f"Thread {thread_id} already has an active run {won[0].run.id}."
    assert [str(outcome) for outcome in outcomes if not isinstance(outcome, Started)] == [text] * 9


async def test_a_busy_thread_takes_no_messages(house: House) -> None:
    run = (await house.start()).run
    with pytest.raises(InvalidRequest) as refused:
        await house.conversations.add_message(PROJECT, run.thread_id, HI)
    assert refused.value.message == f"Can't add messages to {run.thread_id} while a run {run.id} is active."


async def test_messages_of_a_refused_run_are_not_kept(house: House) -> None:
    thread_id = await house.thread("hi")
    extra = CreateRun(assistant_id="asst_none", additional_messages=[HI])
    with pytest.raises(NotFound, match="No assistant found with id 'asst_none'"):
        await house.runs.start(PROJECT, thread_id, extra)
    assert await house.texts(thread_id) == ["hi"]


async def test_nothing_to_answer_is_refused(house: House) -> None:
    thread_id = await house.thread("hi")
    [message] = await house.messages(thread_id)
    await house.store.write(lambda connection: messages.delete(connection, message.id))
    assistant_id = await house.assistant(instructions=None)
    with pytest.raises(InvalidRequest, match="requires a Thread with a user message") as refused:
        await house.runs.start(PROJECT, thread_id, CreateRun(assistant_id=assistant_id))
    assert (refused.value.code, refused.value.param) == ("invalid_thread", None)
    assert (await house.runs.start(PROJECT, thread_id, CreateRun(assistant_id=assistant_id, instructions="x"))).run


async def test_a_thread_and_its_run_at_once(house: House) -> None:
    house.model.turns = [say("Hello there.")]
    house.work()
    request = {"assistant_id": await house.assistant(), "thread": {"messages": [{"role": "user", "content": "hi"}]}}
    started = await house.runs.start_with_thread(PROJECT, CreateThreadAndRun.model_validate(request))
    events = await house.events(started)
    assert names(events) == ["thread.created", *HAPPY_PATH]
    assert bodies(events, "thread.created")[0]["id"] == started.run.thread_id
    assert await house.texts(started.run.thread_id) == ["hi", "Hello there."]


async def test_another_projects_thread_is_not_found(house: House) -> None:
    started = await house.start()
    request = CreateRun(assistant_id=await house.assistant())
    for attempt in (
        house.runs.start("proj_other", started.run.thread_id, request),
        house.runs.cancel("proj_other", started.run.thread_id, started.run.id),
        house.runs.submit("proj_other", started.run.thread_id, started.run.id, []),
        house.runs.delete_thread("proj_other", started.run.thread_id),
        house.conversations.add_message("proj_other", started.run.thread_id, HI),
    ):
        with pytest.raises(NotFound, match="No thread found"):
            await attempt


# --- answering ---------------------------------------------------------------------------------------------------


async def test_all_calls_must_be_answered_at_once(house: House) -> None:
    house.work()
    run = (await waiting_run(house, get_weather={}, get_time={})).run
    one, other = [asked["id"] for asked in open_calls(await house.run(run.id))]
    for got in ([one], [], [one, other, "call_x"], [one, one], ["call_x", "call_y"]):
        with pytest.raises(InvalidRequest) as refused:
            await house.runs.submit(PROJECT, run.thread_id, run.id, [ToolOutput(tool_call_id=each) for each in got])
        assert refused.value.message == f"Expected tool outputs for call_ids ['{one}', '{other}'], got {got}"
    assert (await house.run(run.id)).status == "requires_action"


async def test_the_order_of_answers_does_not_matter(house: House) -> None:
    house.model.turns = [say("ok")]
    house.work()
    run = (await waiting_run(house, get_weather={}, get_time={})).run
    ids = [asked["id"] for asked in open_calls(await house.run(run.id))]
    given = [ToolOutput(tool_call_id=each, output=each) for each in reversed(ids)]
    assert (await house.rest(await house.runs.submit(PROJECT, run.thread_id, run.id, given))).status == "completed"


async def test_a_run_that_does_not_wait_takes_no_outputs(house: House) -> None:
    run = (await house.start()).run
    with pytest.raises(InvalidRequest) as refused:
        await house.runs.submit(PROJECT, run.thread_id, run.id, [])
    assert refused.value.message == 'Runs in status "queued" do not accept tool outputs.'


async def test_of_two_submissions_one_wins(house: House) -> None:
    house.model.turns = [say("ok")]
    house.work()
    run = (await waiting_run(house)).run
    [asked] = open_calls(await house.run(run.id))
    given = [ToolOutput(tool_call_id=asked["id"], output="rain")]
    submits = [house.runs.submit(PROJECT, run.thread_id, run.id, given) for _ in range(2)]
    outcomes = await asyncio.gather(*submits, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["InvalidRequest", "Started"]


async def test_outputs_that_come_too_late_expire_the_run(house: House) -> None:
    house.work()
    run = (await waiting_run(house)).run
    waiting = await house.run(run.id)
    house.clock.advance(600)
    follower = await house.bus.subscribe_live(run.id)
    with pytest.raises(InvalidRequest) as refused:
        await house.submit(waiting, get_weather="rain")
    assert refused.value.message == 'Runs in status "expired" do not accept tool outputs.'
    live = [await follower.next(SOON_S), await follower.next(SOON_S)]
    assert [each.event.name for each in live if each] == ["thread.run.step.expired", "thread.run.expired"]


async def test_two_streams_of_one_run_at_once(house: House) -> None:
    """The SDKs open the second inside the first's handler, before they have read the first to its end."""
    house.model.turns = [call(get_weather={}), say("Rain.")]
    house.work()
    started = await house.start(tools=[function()])
    first, second = [], []
    async for live in house.follow(started):
        if live is None:
            continue
        first.append(live)
        if live.event.name == "thread.run.requires_action":
            second = await house.events(await house.submit(started.run, get_weather="rain"))
    assert names(first)[-1] == "thread.run.requires_action"
    assert names(second) == ["thread.run.step.completed", *HAPPY_PATH[1:]]


# --- cancelling --------------------------------------------------------------------------------------------------


async def test_a_queued_run_is_cancelled(house: House) -> None:
    started = await house.start()
    shown = await house.cancel(started.run)
    assert (shown.status, shown.cancelled_at, shown.expires_at) == ("cancelling", None, NOW + 600)
    house.work()
    assert names(await house.events(started))[2:] == ["thread.run.cancelling", "thread.run.cancelled"]
    run = await house.run(started.run.id)
    assert (run.status, run.cancelled_at, run.expires_at) == ("cancelled", NOW, None)
    assert house.model.requests == []


async def test_a_run_in_the_midst_of_its_answer_is_cancelled(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.cancel(started.run)
    events = await house.events(started)
    cut = ["thread.run.cancelling", "thread.message.incomplete", "thread.run.step.cancelled", "thread.run.cancelled"]
    assert names(events) == [*HAPPY_PATH[:8], *cut]
    assert house.model.aborted == 1
    [message] = bodies(events, "thread.message.incomplete")
    assert message["content"][0]["text"]["value"] == "Hello", "the SDKs look for every part that had a delta"
    assert message["incomplete_details"] == {"reason": "run_cancelled"}
    assert await house.texts(started.run.thread_id) == ["hi", "Hello"]


async def test_a_run_that_waits_is_cancelled(house: House) -> None:
    house.work()
    started = await waiting_run(house)
    follower = await house.bus.subscribe_live(started.run.id)
    await house.cancel(started.run)
    told = [await follower.next(SOON_S) for _ in range(3)]
    expected = ["thread.run.cancelling", "thread.run.step.cancelled", "thread.run.cancelled"]
    assert [live.event.name for live in told if live] == expected
    [step] = await house.steps(started.run.id)
    assert (step.status, step.usage is not None, step.expires_at) == ("cancelled", True, None)
    assert (await house.run(started.run.id)).required_action is None


@pytest.mark.parametrize("status", ["completed", "cancelling", "cancelled", "expired", "failed", "incomplete"])
async def test_what_has_ended_cannot_be_cancelled(house: House, status: RunStatus) -> None:
    run = (await house.start()).run
    await house.store.write(
        lambda connection: connection.execute(update(table).where(table.c.id == run.id).values(status=status))
    )
    with pytest.raises(InvalidRequest) as refused:
        await house.cancel(run)
    assert refused.value.message == f"Cannot cancel run with status '{status}'."


async def test_a_cancelled_run_frees_its_thread(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    await house.cancel(started.run)
    await house.events(started)
    house.model.turns = [say("ok")]
    assert (await house.rest(await house.start_on(started.run.thread_id))).status == "completed"


# --- deleting ----------------------------------------------------------------------------------------------------


async def test_a_thread_deleted_in_mid_run(house: House) -> None:
    house.work()
    started = await speaking_run(house, asyncio.Event())
    reading = asyncio.ensure_future(house.events(started))
    await asyncio.sleep(0)
    await house.runs.delete_thread(PROJECT, started.run.thread_id)
    assert names(await reading) == HAPPY_PATH[:8]
    assert house.model.aborted == 1
    with pytest.raises(NotFound):
        await house.cancel(started.run)


async def test_a_thread_deleted_while_its_run_is_queued(house: House) -> None:
    started = await house.start()
    await house.runs.delete_thread(PROJECT, started.run.thread_id)
    house.model.turns = [say("ok")]
    house.work()
    assert (await house.rest(await house.start())).status == "completed"
