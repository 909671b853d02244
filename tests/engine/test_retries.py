"""What a request changes once: also where nobody can tell whether it was changed."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy import Connection
from tests.engine.house import House
from tests.storage.builders import PROJECT

from understudy.engine.conversation import Conversations
from understudy.engine.retries import AnsweredBefore, Once
from understudy.protocol.threads import CreateThread
from understudy.storage.base import Store
from understudy.storage.faults import InDoubt, StorageFault
from understudy.storage.posts import Post

FINGERPRINT = "0123456789abcdef" * 4


class Failing:
    """A store that makes a change, and then has this to say of it."""

    def __init__(self, store: Store, failure: BaseException) -> None:
        self._store = store
        self._failure = failure

    async def write(self, change: Callable[[Connection], Any]) -> Any:
        if not isinstance(self._failure, StorageFault) or isinstance(self._failure, InDoubt):
            await self._store.write(change)
        raise self._failure


async def create(house: House, once: Once, failure: BaseException | None = None) -> str:
    store = house.store if failure is None else cast("Store", Failing(house.store, failure))
    made = await Conversations(store, house.bus, house.clock).create_thread(PROJECT, CreateThread(), once)
    return made.id


@pytest.mark.parametrize("failure", [InDoubt(), asyncio.CancelledError()])
async def test_a_change_that_may_have_been_made_is_looked_for(house: House, failure: BaseException) -> None:
    """The commit got no answer, or the request ran out of time: its retry is not that of a refused one."""
    first = Once(house.clock, Post(PROJECT, FINGERPRINT))
    with pytest.raises(type(failure)):
        await create(house, first, failure)
    assert first.changed
    assert not first.unused
    with pytest.raises(AnsweredBefore):
        await create(house, Once(house.clock, Post(PROJECT, FINGERPRINT, 1, looks_back=True)))


async def test_a_change_that_was_not_made_is_not(house: House) -> None:
    first = Once(house.clock, Post(PROJECT, FINGERPRINT))
    with pytest.raises(StorageFault):
        await create(house, first, StorageFault("the disk is full"))
    assert first.unused


async def test_a_retry_that_looks_back_is_not_unused(house: House) -> None:
    assert not Once(house.clock, Post(PROJECT, FINGERPRINT, 1, looks_back=True)).unused
    assert Once(house.clock, Post(PROJECT, FINGERPRINT, 1)).unused
