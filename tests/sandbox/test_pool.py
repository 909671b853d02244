"""Which sessions there are: spares, the limit, who is evicted. The sessions here hold no jail; real ones come last."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.sandbox.conftest import MakeSandbox

from understudy.errors import Unavailable
from understudy.sandbox import pool as pool_module
from understudy.sandbox.pool import Pool, PoolSize
from understudy.sandbox.session import JailSession

SOON_S = 5.0


class FakeSession:
    """What a pool sees of a session."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.why = ""
        self.restarted = False
        self.born = self.used = time.monotonic()
        self.code_runs = asyncio.Event()
        self.code_runs.set()

    @property
    def alive(self) -> bool:
        return not self.why

    @property
    def busy(self) -> bool:
        return not self.code_runs.is_set()

    async def settled(self) -> None:
        await self.code_runs.wait()

    async def end(self, why: str = "it was ended") -> None:
        self.why = self.why or why
        await asyncio.sleep(0)


class Maker:
    """Makes sessions, and remembers them."""

    def __init__(self) -> None:
        self.made: list[FakeSession] = []
        self.problem: Unavailable | None = None

    async def __call__(self) -> JailSession:
        await asyncio.sleep(0)
        if self.problem:
            raise self.problem
        self.made.append(FakeSession(len(self.made)))
        return cast("JailSession", self.made[-1])

    @property
    def alive(self) -> int:
        return sum(session.alive for session in self.made)


@asynccontextmanager
async def pool_of(maker: Maker, **size: Any) -> AsyncIterator[Pool]:
    pool = Pool(maker, PoolSize(**({"warm": 0} | size)))
    try:
        yield pool
    finally:
        await pool.aclose()
        assert maker.alive == 0


async def use(pool: Pool, key: str) -> FakeSession:
    async with pool.session(key) as session:
        return cast("FakeSession", session)


async def until(happened: Any) -> None:
    async with asyncio.timeout(SOON_S):
        while not happened():  # noqa: ASYNC110  # what happens, happens in a pool that tells nobody
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "_REFILL_S", 0.01)


async def test_nothing_is_there_before_it_is_asked_for() -> None:
    maker = Maker()
    async with pool_of(maker, warm=2) as pool:
        await asyncio.sleep(0.05)
        assert maker.made == []
        pool.warm()
        pool.warm()
        await until(lambda: pool.spares == 2)
        await asyncio.sleep(0.05)
        assert len(maker.made) == 2


async def test_a_new_key_takes_a_spare_and_another_is_made() -> None:
    maker = Maker()
    async with pool_of(maker, warm=1) as pool:
        pool.warm()
        await until(lambda: pool.spares == 1)
        assert (await use(pool, "a")).number == 0
        await until(lambda: pool.spares == 1)
        assert (len(maker.made), pool.live) == (2, 1)


async def test_a_dead_spare_is_not_handed_out() -> None:
    maker = Maker()
    async with pool_of(maker, warm=1) as pool:
        pool.warm()
        await until(lambda: pool.spares == 1)
        await maker.made[0].end("it crashed")
        assert (await use(pool, "a")).number == 1


async def test_a_key_keeps_its_session_and_a_dead_one_is_replaced() -> None:
    maker = Maker()
    async with pool_of(maker) as pool:
        first = await use(pool, "a")
        assert await use(pool, "a") is first
        assert not first.restarted
        await first.end("it crashed")
        assert (await use(pool, "a")).restarted
        assert not (await use(pool, "b")).restarted


async def test_the_one_used_longest_ago_makes_room() -> None:
    maker = Maker()
    async with pool_of(maker, sessions=2) as pool:
        old, young = await use(pool, "a"), await use(pool, "b")
        old.used += 100
        await use(pool, "c")
        assert (old.alive, young.alive) == (True, False)
        assert pool.live == 2
        assert (await use(pool, "b")).restarted


async def test_whoever_is_held_is_not_evicted_and_the_others_wait() -> None:
    maker = Maker()
    async with pool_of(maker, sessions=1, wait_s=SOON_S) as pool:
        async with pool.session("a") as held:
            waiting = asyncio.create_task(use(pool, "b"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert held.alive
        assert (await asyncio.wait_for(waiting, SOON_S)).alive
        assert not held.alive


async def test_too_long_a_wait_says_what_to_do() -> None:
    async with pool_of(Maker(), sessions=1, wait_s=0.05) as pool, pool.session("a"):
        with pytest.raises(Unavailable, match=r"all 1 sessions .* are busy.*sandbox_sessions"):
            await use(pool, "b")
        assert pool.live == 1


async def test_many_at_once_stay_below_the_limit() -> None:
    maker = Maker()
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        async with pool.session(f"key {number}"):
            most = max(most, maker.alive)
            await asyncio.sleep(0.005)

    async with pool_of(maker, sessions=3, wait_s=SOON_S) as pool:
        await asyncio.gather(*map(one, range(20)))
    assert most == 3


async def test_code_that_still_runs_keeps_the_next_holder_out() -> None:
    async with pool_of(Maker()) as pool:
        async with pool.session("a") as session:
            running = cast("FakeSession", session).code_runs
            running.clear()
        waiting = asyncio.create_task(use(pool, "a"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        running.set()
        assert await asyncio.wait_for(waiting, SOON_S) is session


async def test_idle_ones_and_old_ones_are_ended() -> None:
    maker = Maker()
    async with pool_of(maker, idle_s=0.2, warm=1) as pool:
        session = await use(pool, "a")
        await until(lambda: not session.alive)
        assert session.why == "it was idle for too long"
        await until(lambda: maker.alive == 0)  # nobody needs the spare either
        assert (await use(pool, "a")).restarted
    maker = Maker()
    async with pool_of(maker, max_age_s=0.2) as pool:
        async with pool.session("a") as held:
            await asyncio.sleep(0.4)
            assert held.alive
        await until(lambda: not held.alive)


async def test_an_end_on_purpose_is_forgotten() -> None:
    async with pool_of(Maker()) as pool:
        session = await use(pool, "a")
        await pool.end("a")
        await pool.end("nobody")
        assert not session.alive
        assert not (await use(pool, "a")).restarted


async def test_a_start_that_fails_is_told_and_the_next_may_work() -> None:
    maker = Maker()
    maker.problem = Unavailable("no jail today")
    async with pool_of(maker, warm=1) as pool:
        with pytest.raises(Unavailable, match="no jail today"):
            await use(pool, "a")
        pool.warm()
        await asyncio.sleep(0.05)
        maker.problem = None
        assert (await use(pool, "a")).alive


async def test_a_closed_pool_gives_none() -> None:
    async with pool_of(Maker()) as pool:
        pass
    with pytest.raises(Unavailable):
        await use(pool, "a")


async def test_a_session_that_no_key_has_any_more_is_waited_for() -> None:
    """Its jail may still be closing: when the event loop is gone, nobody closes it."""
    maker = Maker()
    async with pool_of(maker) as pool:
        closing = await use(pool, "a")
        closing.why = "it died"
        await use(pool, "a")
        ended: list[str] = []

        async def end(why: str = "") -> None:
            ended.append(why)

        closing.end = end  # type: ignore[method-assign]  # to see that it is asked
    assert ended == ["the server stops"]


async def test_a_dying_jail_is_closed_before_its_sandbox_is(make_sandbox: MakeSandbox) -> None:
    async with make_sandbox() as sandbox:
        async with sandbox.session("a") as session:
            result = await session.run("import os; os._exit(1)")
            assert result.outcome == "ended"
        async with sandbox.session("a") as another:
            assert another is not session
        jail = session.jail
    assert jail.process.returncode is not None
    assert jail.connection.fileno() == -1


async def test_real_spares_are_prepared_and_leave_with_the_pool(make_sandbox: MakeSandbox) -> None:
    async with make_sandbox(warm=1) as sandbox:
        sandbox.warm()
        await asyncio.sleep(0)
        async with sandbox.session("a") as session:
            assert (await session.run("1")).logs == "1\n"
            process = session.jail.init_id
    assert not Path(f"/proc/{process}").exists()  # noqa: ASYNC240
