"""Waiting for pieces with a limit, beside the other ways in which a task is called off."""

import asyncio

import pytest

from understudy.inference.patience import Patience


async def piece(after_s: float) -> str:
    await asyncio.sleep(after_s)
    return "piece"


async def test_what_comes_in_time_is_returned_and_leaves_no_limit_behind() -> None:
    patience = Patience()
    assert await patience.wait(piece(0), 0.02) == "piece"
    await asyncio.sleep(0.05)  # whoever has the piece may take as long as they like


async def test_what_does_not_come_is_a_timeout_after_which_the_task_goes_on() -> None:
    patience = Patience()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await patience.wait(piece(5), 0.01)
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0
    assert await patience.wait(piece(0.01), 5) == "piece"


async def test_a_fault_of_the_piece_passes_through() -> None:
    async def broken() -> str:
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await Patience().wait(broken(), 5)


@pytest.mark.parametrize("limit_s", [5, 0])
async def test_a_task_that_others_call_off_ends_cancelled(limit_s: float) -> None:
    """Also where the limit is reached in the same moment."""

    async def waiting() -> None:
        await Patience().wait(piece(5), limit_s)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)  # now it waits
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
