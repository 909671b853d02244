"""What every Bus must do. Each adapter's tests collect these classes with a `bus` fixture of their own.

The fixture's bus is fresh, and closed after the test.
"""

import asyncio
from collections import Counter

from understudy.bus.base import Bus, EventId, LiveEvent, Subscription, Work
from understudy.protocol.events import Event

SOON_S = 5.0
AT_ONCE_S = 0.05
RUN = "run_contract"
FILE = "vs_contract/file-contract"
CREATED = Event("thread.run.created", '{"id":"run_contract"}')


def told(number: int) -> Event:
    return Event("thread.message.delta", f'{{"n":{number}}}')


async def read(place: Subscription | None, count: int) -> list[LiveEvent]:
    assert place is not None
    found = [await place.next(SOON_S) for _ in range(count)]
    assert None not in found
    assert await place.next(0) is None
    return [live for live in found if live is not None]


async def _take(bus: Bus, taken: asyncio.Queue[str], work: Work = "runs") -> None:
    async for job in bus.jobs(work):
        await bus.taken(job, work)
        taken.put_nowait(job)
        await asyncio.sleep(0)


async def _first(taken: asyncio.Queue[str], count: int) -> list[str]:
    return [await asyncio.wait_for(taken.get(), SOON_S) for _ in range(count)]


class JobsGoToOneConsumerEach:
    async def test_each_job_once_whoever_takes_it(self, bus: Bus) -> None:
        taken: asyncio.Queue[str] = asyncio.Queue()
        consumers = [asyncio.ensure_future(_take(bus, taken)) for _ in range(3)]
        jobs = [f"run_{number}" for number in range(50)]
        for job in jobs:
            await bus.enqueue(job)
        first = await _first(taken, len(jobs))
        await bus.close()
        await asyncio.wait_for(asyncio.gather(*consumers), SOON_S)
        assert Counter(first) == Counter(jobs)
        assert taken.empty()

    async def test_a_job_that_waits_already_is_not_put_there_twice(self, bus: Bus) -> None:
        for _ in range(3):
            await bus.enqueue(RUN)
        await bus.enqueue("run_other")
        jobs = bus.jobs()
        assert [await anext(jobs), await anext(jobs)] == [RUN, "run_other"]
        await jobs.aclose()

    async def test_a_job_that_was_taken_may_come_again(self, bus: Bus) -> None:
        jobs = bus.jobs()
        for _ in range(2):
            await bus.enqueue(RUN)
            assert await asyncio.wait_for(anext(jobs), SOON_S) == RUN
            await bus.taken(RUN)
        await jobs.aclose()

    async def test_a_job_wakes_who_waits_for_it(self, bus: Bus) -> None:
        taken: asyncio.Queue[str] = asyncio.Queue()
        consumer = asyncio.ensure_future(_take(bus, taken))
        await asyncio.sleep(0)
        await bus.enqueue(RUN)
        assert await _first(taken, 1) == [RUN]
        await bus.close()
        await asyncio.wait_for(consumer, SOON_S)


class NobodyWaitsForAll:
    """Two lanes that take turns: whoever has many jobs waiting has the further ones behind."""

    async def test_of_a_crowd(self, bus: Bus) -> None:
        crowd = [f"run_crowd{number}" for number in range(200)]
        for job in crowd:
            await bus.enqueue(job, behind=True)
        others = [f"run_other{number}" for number in range(5)]
        jobs, order = bus.jobs(), []
        for taken in range(len(crowd) + len(others)):
            if taken == 50:
                for job in others:
                    await bus.enqueue(job)
            order.append(await asyncio.wait_for(anext(jobs), SOON_S))
            await bus.taken(order[-1])
        await jobs.aclose()
        assert [job for job in order if job in crowd] == crowd, "each lane in its order"
        assert [job for job in order if job in others] == others
        assert order.index(others[-1]) < 50 + 2 * len(others) + 2, "in turn with the crowd, not after it"

    async def test_nor_the_crowd_for_the_others(self, bus: Bus) -> None:
        jobs = bus.jobs()
        for number in range(3):
            await bus.enqueue(f"run_crowd{number}", behind=True)
        order = []
        for number in range(20):
            await bus.enqueue(f"run_other{number}")
            await bus.enqueue(f"run_more{number}")
            order.append(await asyncio.wait_for(anext(jobs), SOON_S))
            await bus.taken(order[-1])
        await jobs.aclose()
        assert {job for job in order[:8] if "crowd" in job} == {f"run_crowd{number}" for number in range(3)}

    async def test_a_worker_without_room_keeps_no_job_from_others(self, bus: Bus) -> None:
        """Both lanes were asked while there was nothing: what the second one answers must go to who has room."""
        full, free = bus.jobs(), bus.jobs()
        waiting = asyncio.ensure_future(anext(full))
        await asyncio.sleep(AT_ONCE_S)
        await bus.enqueue("run_1")
        assert await asyncio.wait_for(waiting, SOON_S) == "run_1"
        await bus.taken("run_1")
        await bus.enqueue("run_2", behind=True)
        await asyncio.sleep(AT_ONCE_S)
        assert await asyncio.wait_for(anext(free), 1.0) == "run_2"
        await bus.taken("run_2")
        assert await bus.depth() == 0
        await full.aclose()
        await free.aclose()

    async def test_all_are_counted(self, bus: Bus) -> None:
        await bus.enqueue("run_1")
        for number in range(4):
            await bus.enqueue(f"run_crowd{number}", behind=True)
        assert await bus.depth() == 5


class KindsOfWorkAreApart:
    async def test_each_has_its_own_workers(self, bus: Bus) -> None:
        runs: asyncio.Queue[str] = asyncio.Queue()
        files: asyncio.Queue[str] = asyncio.Queue()
        consumers = [asyncio.ensure_future(_take(bus, runs)), asyncio.ensure_future(_take(bus, files, "files"))]
        for number in range(10):
            await bus.enqueue(f"{FILE}{number}", "files")
            await bus.enqueue(f"{RUN}{number}")
        assert await _first(files, 10) == [f"{FILE}{number}" for number in range(10)]
        assert await _first(runs, 10) == [f"{RUN}{number}" for number in range(10)]
        await bus.close()
        await asyncio.wait_for(asyncio.gather(*consumers), SOON_S)
        assert runs.empty()
        assert files.empty()

    async def test_the_same_name_may_wait_in_each(self, bus: Bus) -> None:
        for work in ("runs", "files"):
            await bus.enqueue(RUN, work)
            await bus.enqueue(RUN, work)
        for work in ("files", "runs"):
            jobs = bus.jobs(work)
            assert await asyncio.wait_for(anext(jobs), SOON_S) == RUN
            await jobs.aclose()

    async def test_a_files_signal_reaches_who_listens(self, bus: Bus) -> None:
        async with bus.signalled(FILE) as signal, bus.signalled(f"{FILE}0") as quiet:
            await bus.signal(FILE)
            await asyncio.wait_for(signal.wait(), SOON_S)
            waiting = asyncio.ensure_future(quiet.wait())
            assert (await asyncio.wait({waiting}, timeout=AT_ONCE_S))[0] == set()
            waiting.cancel()


class EventsComeInOrder:
    async def test_to_everyone_who_follows(self, bus: Bus) -> None:
        places = [await bus.subscribe_live(RUN) for _ in range(3)]
        for number in range(0, 30, 3):
            await bus.publish(RUN, 1, [told(number), told(number + 1), told(number + 2)])
        for place in places:
            assert [live.event for live in await read(place, 30)] == [told(number) for number in range(30)]

    async def test_with_ids_that_rise(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        first = await bus.publish(RUN, 1, [told(1), told(2)])
        second = await bus.publish(RUN, 2, [told(3)])
        ids = [*first, *second]
        assert [live.id for live in await read(place, 3)] == ids
        assert ids == sorted(set(ids))
        assert [known.attempt for known in ids] == [1, 1, 2]

    async def test_to_who_was_waiting(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        waiting = asyncio.ensure_future(place.next(SOON_S))
        await asyncio.sleep(0)
        await bus.publish(RUN, 1, [told(1)])
        live = await waiting
        assert live is not None
        assert live.event == told(1)

    async def test_none_when_nothing_comes_in_time(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        assert await place.next(0) is None
        assert await place.next(AT_ONCE_S) is None

    async def test_runs_are_kept_apart(self, bus: Bus) -> None:
        mine, other = await bus.subscribe_live(RUN), await bus.subscribe_live("run_other")
        await bus.publish(RUN, 1, [told(1)])
        assert len(await read(mine, 1)) == 1
        assert await other.next(AT_ONCE_S) is None

    async def test_publishing_nothing_tells_nothing(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        assert await bus.publish(RUN, 1, []) == []
        assert await place.next(AT_ONCE_S) is None


class FollowersMayBeginAnywhere:
    async def test_from_the_beginning(self, bus: Bus) -> None:
        await bus.publish(RUN, 0, [CREATED, told(1)])
        place = await bus.subscribe(RUN)
        await bus.publish(RUN, 1, [told(2)])
        assert [live.event for live in await read(place, 3)] == [CREATED, told(1), told(2)]

    async def test_from_just_after_any_known_id(self, bus: Bus) -> None:
        ids = await bus.publish(RUN, 0, [CREATED, *[told(number) for number in range(6)]])
        for index, known in enumerate(ids):
            place = await bus.subscribe(RUN, known)
            assert [live.id for live in await read(place, len(ids) - index - 1)] == ids[index + 1 :]

    async def test_from_now_on(self, bus: Bus) -> None:
        await bus.publish(RUN, 0, [CREATED, told(1)])
        place = await bus.subscribe_live(RUN)
        await bus.publish(RUN, 0, [told(2)])
        assert [live.event for live in await read(place, 1)] == [told(2)]

    async def test_not_after_an_id_that_is_not_known(self, bus: Bus) -> None:
        assert await bus.subscribe(RUN) is None
        ids = await bus.publish(RUN, 1, [CREATED, told(1)])
        for unknown in (EventId(1, 0), EventId(1, ids[-1].n + 1), EventId(2, ids[0].n), EventId(0, ids[0].n)):
            assert await bus.subscribe(RUN, unknown) is None

    async def test_not_from_a_beginning_that_was_not_seen(self, bus: Bus) -> None:
        [known] = await bus.publish(RUN, 1, [told(1)])
        assert await bus.subscribe(RUN) is None
        assert await bus.subscribe(RUN, known) is not None

    async def test_not_after_the_log_was_let_go(self, bus: Bus) -> None:
        ids = await bus.publish(RUN, 1, [CREATED, told(1)])
        await bus.forget(RUN)
        assert await bus.subscribe(RUN) is None
        assert await bus.subscribe(RUN, ids[0]) is None
        await bus.forget(RUN)

    async def test_who_waits_is_woken_when_the_log_is_let_go(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        waiting = asyncio.ensure_future(place.next(60.0))
        await asyncio.sleep(0)
        await bus.forget(RUN)
        assert await asyncio.wait_for(waiting, SOON_S) is None


class SignalsReachWhoListens:
    async def test_all_of_them(self, bus: Bus) -> None:
        async with bus.signalled(RUN) as one, bus.signalled(RUN) as other, bus.signalled("run_other") as quiet:
            await bus.signal(RUN)
            await asyncio.wait_for(asyncio.gather(one.wait(), other.wait()), SOON_S)
            waiting = asyncio.ensure_future(quiet.wait())
            assert (await asyncio.wait({waiting}, timeout=AT_ONCE_S))[0] == set()
            waiting.cancel()

    async def test_one_before_the_listening_is_not_heard(self, bus: Bus) -> None:
        await bus.signal(RUN)
        async with bus.signalled(RUN) as signal:
            waiting = asyncio.ensure_future(signal.wait())
            assert (await asyncio.wait({waiting}, timeout=AT_ONCE_S))[0] == set()
            waiting.cancel()

    async def test_one_given_between_listening_and_waiting_is_heard(self, bus: Bus) -> None:
        async with bus.signalled(RUN) as signal:
            await bus.signal(RUN)
            await asyncio.wait_for(signal.wait(), SOON_S)


class ClosingWakesEveryone:
    async def test_every_consumer_of_jobs(self, bus: Bus) -> None:
        kinds: list[Work] = ["runs", "files", "runs"]
        consumers = [asyncio.ensure_future(_take(bus, asyncio.Queue(), work)) for work in kinds]
        await asyncio.sleep(0)
        await bus.close()
        await asyncio.wait_for(asyncio.gather(*consumers), SOON_S)

    async def test_every_follower(self, bus: Bus) -> None:
        place = await bus.subscribe_live(RUN)
        waiting = asyncio.ensure_future(place.next(60.0))
        await asyncio.sleep(0)
        await bus.close()
        assert await asyncio.wait_for(waiting, SOON_S) is None

    async def test_it_may_be_closed_twice(self, bus: Bus) -> None:
        await bus.close()
        await bus.close()


class RunsAreOffered:
    async def test_to_nobody(self, bus: Bus) -> None:
        assert not await bus.offer("thread_1", RUN)
