"""What a turn starts from: how far back a thread is read."""

from typing import Any

import pytest
from tests.engine.house import House
from tests.storage import builders as make
from tests.storage.builders import PROJECT

from understudy.engine.situation import CHARACTERS_AROUND, CHARACTERS_PER_TOKEN, HISTORY_PAGE, Situation, situation
from understudy.protocol.runs import usage
from understudy.storage import messages, model_calls, runs
from understudy.storage.runs import RunRecord

TEXT = "x" * (100 - CHARACTERS_AROUND)
WHOLE = 2 * HISTORY_PAGE + 50


async def _run_on_a_long_thread(house: House, **given: Any) -> RunRecord:
    thread = await make.stored_thread(house.store)
    said = [make.message(thread.id, TEXT) for _ in range(WHOLE)]
    await house.store.write(lambda connection: messages.add(connection, PROJECT, thread.id, said))
    run = make.run(thread.id, **given)
    await house.store.write(lambda connection: runs.add(connection, run))
    return run


async def _situation(house: House, run: RunRecord, window: int) -> Situation:
    found = await house.store.read(lambda connection: situation(connection, run, window, lambda _, passage: passage))
    assert isinstance(found, Situation)
    return found


def _last(count: int) -> dict[str, Any]:
    return {"truncation_strategy": {"type": "last_messages", "last_messages": count}}


@pytest.mark.parametrize(("pages", "read"), [(0.5, HISTORY_PAGE), (1.5, 2 * HISTORY_PAGE), (9, WHOLE)])
async def test_no_further_back_than_could_fit(house: House, pages: float, read: int) -> None:
    run = await _run_on_a_long_thread(house)
    window = int(pages * HISTORY_PAGE * 100 / CHARACTERS_PER_TOKEN)
    assert len((await _situation(house, run, window)).history) == read


@pytest.mark.parametrize("wanted", [1, HISTORY_PAGE, HISTORY_PAGE + 1, WHOLE + 1])
async def test_the_last_messages_are_kept_over_pages(house: House, wanted: int) -> None:
    run = await _run_on_a_long_thread(house, **_last(wanted))
    history = (await _situation(house, run, 10**9)).history
    assert [place for place, _ in history] == list(range(max(1, WHOLE - wanted + 1), WHOLE + 1))


async def test_usage_of_calls_that_ended_is_summed(house: House) -> None:
    run = await _run_on_a_long_thread(house)
    calls = [make.model_call(run, used=used) for used in (usage(1, 2), None, usage(3, 4))]
    await house.store.write(lambda connection: [model_calls.add(connection, call) for call in calls])
    found = await _situation(house, run, 1000)
    assert (found.used, found.calls_made) == (usage(4, 6), 2)
