"""NATS: the contract of a Bus, and what is this adapter's own. Each test has a prefix of its own."""

import asyncio
import gc
import json
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from nats.errors import NoRespondersError
from tests.bus import bus_contract
from tests.bus.bus_contract import CREATED, RUN, SOON_S, read, told
from tests.contracts import contract
from tests.harness.cable import Cable
from tests.harness.nats import Nats

from understudy.bus import nats, nats_log, nats_streams
from understudy.bus.base import FellBehind, LiveEvent, Subscription
from understudy.bus.nats import NatsBus
from understudy.errors import ConfigurationError
from understudy.protocol.events import Event

# the client forgets a connection that broke without closing it
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*(StreamWriter.__del__|SelectorTransport.__del__|socket.socket):pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
def prefix() -> str:
    return f"test_{secrets.token_hex(4)}"


@pytest.fixture
async def bus(nats_server: Nats, prefix: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(nats_server.url, prefix)
    await bus.open()
    yield bus
    await bus.close()


globals().update(contract(bus_contract))


# --- NATS's own --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def opened(url: str, prefix: str, **given: Any) -> AsyncIterator[NatsBus]:
    bus = NatsBus(url, prefix, **given)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.close()


async def numbers(place: Subscription | None, count: int, within_s: float = 20.0) -> list[int]:
    """Read so many of the events that `told` makes, and make sure that no further one comes."""
    assert place is not None
    found: list[int] = []
    async with asyncio.timeout(within_s):
        while len(found) < count:
            live = await place.next(1.0)
            if live is not None:
                found.append(json.loads(live.event.data)["n"])
    assert await place.next(0.2) is None
    return found


async def test_one_process_follows_what_another_tells(nats_server: Nats, bus: NatsBus, prefix: str) -> None:
    async with opened(nats_server.url, prefix) as other:
        place = await other.subscribe_live(RUN)
        ids = await bus.publish(RUN, 1, [CREATED, told(1)])
        ids += await other.publish(RUN, 2, [told(2)])
        ids += await bus.publish(RUN, 2, [told(3)])
        assert ids == sorted(set(ids))
        assert [live.id for live in await read(place, 4)] == ids
        for bus_of_either in (bus, other):
            assert [live.id for live in await read(await bus_of_either.subscribe(RUN, ids[1]), 2)] == ids[2:]


async def test_a_signal_crosses(nats_server: Nats, bus: NatsBus, prefix: str) -> None:
    async with opened(nats_server.url, prefix) as other, other.signalled(RUN) as signal:
        await bus.signal(RUN)
        await asyncio.wait_for(signal.wait(), SOON_S)


async def test_a_run_is_offered_to_who_keeps_its_thread(nats_server: Nats, bus: NatsBus, prefix: str) -> None:
    asked: list[str] = []

    async def take(job: str) -> bool:
        asked.append(job)
        return job == RUN

    async with opened(nats_server.url, prefix) as other, other.offered("thread_1", take):
        assert await bus.offer("thread_1", RUN)
        assert not await bus.offer("thread_1", "run_other")
        assert not await bus.offer("thread_2", RUN)
    assert asked == [RUN, "run_other"]


async def test_nobody_is_waited_for_who_is_not_there_any_more(nats_server: Nats, bus: NatsBus, prefix: str) -> None:
    async def take(_: str) -> bool:
        return True

    async with opened(nats_server.url, prefix) as other:
        for _ in range(30):  # a PING that overtakes the end of the subscription does so in one of ten
            async with other.offered("thread_1", take):
                assert await bus.offer("thread_1", RUN)
            await nats.reached(other._client)
            began = time.monotonic()
            assert not await bus.offer("thread_1", RUN)
            assert time.monotonic() - began < nats.OFFER_S / 2


async def test_a_worker_that_hangs_is_not_waited_for(
    nats_server: Nats, bus: NatsBus, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats, "OFFER_S", 0.1)
    waiting = asyncio.Event()

    async def hang(_: str) -> bool:
        return await waiting.wait()

    async with opened(nats_server.url, prefix) as other, other.offered("thread_1", hang):
        assert not await bus.offer("thread_1", RUN)
        waiting.set()


async def test_clusters_on_one_nats_are_kept_apart(nats_server: Nats, bus: NatsBus) -> None:
    async with opened(nats_server.url, "another") as other:
        place = await other.subscribe_live(RUN)
        await bus.publish(RUN, 1, [CREATED])
        await bus.enqueue(RUN)
        assert await place.next(0.2) is None
        assert (await bus.depth(), await other.depth()) == (1, 0)


async def test_a_job_whose_taker_dies_goes_to_another(
    nats_server: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_streams, "TAKE_S", 0.5)
    async with opened(nats_server.url, prefix) as other:
        async with opened(nats_server.url, prefix) as dying:
            await dying.enqueue(RUN)
            assert await anext(dying.jobs()) == RUN
        jobs = other.jobs()
        assert await asyncio.wait_for(anext(jobs), SOON_S) == RUN
        await other.taken(RUN)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(jobs), 1.5)


async def test_over_a_crash_of_nats_all_is_told_once(own_nats: Nats, prefix: str) -> None:
    async with opened(own_nats.url, prefix) as bus, opened(own_nats.url, prefix) as other:
        place = await other.subscribe_live(RUN)
        await bus.publish(RUN, 1, [CREATED, told(0)])
        await bus.enqueue("run_before")
        own_nats.kill()
        for number in range(1, 6):
            began = time.monotonic()
            assert await bus.publish(RUN, 1, [told(number)]) == []
            assert time.monotonic() - began < 1.5
        assert await bus.trouble() is not None
        await asyncio.sleep(0.5)
        own_nats.start()
        await bus.publish(RUN, 1, [told(6)])
        assert [live.event for live in await read_all(place, 8)] == [CREATED, *[told(number) for number in range(7)]]
        assert await anext(other.jobs()) == "run_before"
        assert await bus.trouble() is None


async def test_what_is_told_as_nats_comes_back_overtakes_nothing(own_nats: Nats, prefix: str) -> None:
    async with opened(own_nats.url, prefix) as bus, opened(own_nats.url, prefix) as other:
        place = await other.subscribe_live(RUN)
        telling: list[asyncio.Task[Any]] = []
        for number in range(600):
            telling.append(asyncio.create_task(bus.publish(RUN, 1, [CREATED if number == 0 else told(number)])))
            await asyncio.sleep(0.003)
            if number == 100:
                own_nats.kill()
            elif number == 200:
                await asyncio.to_thread(own_nats.start)
        await asyncio.gather(*telling)
        expected = [CREATED, *[told(number) for number in range(1, 600)]]
        assert [live.event for live in await read_all(place, 600)] == expected
        assert [live.event for live in await read_all(await other.subscribe(RUN), 600)] == expected


async def read_all(place: Subscription | None, count: int) -> list[LiveEvent]:
    assert place is not None
    found: list[LiveEvent] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            if (live := await place.next(1.0)) is not None:
                found.append(live)
    assert await place.next(0.2) is None
    return found


async def test_who_was_cut_off_fetches_what_was_missed(nats_server: Nats, prefix: str) -> None:
    with Cable(nats_server.address) as cable:
        async with opened(nats_server.url, prefix) as bus, opened(cable.url, prefix) as cut_off:
            place = await cut_off.subscribe_live(RUN)
            await bus.publish(RUN, 1, [told(0)])
            assert await numbers(place, 1) == [0]
            cable.cut()
            for number in range(1, 4):
                await bus.publish(RUN, 1, [told(number)])
            await cut_off.publish(RUN, 1, [told(4)])
            assert await place.next(0.3) is None
            cable.mend()
            assert await numbers(place, 4) == [1, 2, 3, 4]
            assert await cut_off.publish(RUN, 1, [told(5)]) != []


async def test_a_nats_that_lost_everything_is_furnished_anew(own_nats: Nats, prefix: str) -> None:
    async with opened(own_nats.url, prefix) as bus:
        jobs = bus.jobs()
        waiting = asyncio.ensure_future(anext(jobs))
        await bus.publish(RUN, 1, [CREATED])
        own_nats.kill()
        own_nats.lose_all()
        own_nats.start()
        for _ in range(200):
            await bus.enqueue(RUN)
            if (await asyncio.wait({waiting}, timeout=0.1))[0]:
                break
        assert waiting.result() == RUN
        await bus.publish(RUN, 1, [CREATED, told(1)])
        assert len(await read(await bus.subscribe(RUN), 2)) == 2


async def test_what_nats_does_not_take_for_long_is_let_go(
    own_nats: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nats_log, "KEEP_UNSENT_S", 0.5)
    async with opened(own_nats.url, prefix) as bus:
        place = await bus.subscribe_live(RUN)
        own_nats.kill()
        await bus.publish(RUN, 1, [told(1)])
        await asyncio.sleep(1.0)
        own_nats.start()
        await bus.publish(RUN, 1, [told(2)])
        await bus.publish(RUN, 2, [told(3)])
        assert await numbers(place, 1) == [3], "what has a hole in it is worth nothing"
        assert await bus.publish("run_other", 1, [told(4)]) != []
    assert "events could not be told" in caplog.text


async def test_what_nats_refuses_is_sent_again(bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    """Its refusal has a place in the stream, too: 0."""
    place = await bus.subscribe_live(RUN, new=True)
    manager, stream = bus._jetstream(), bus._events_stream
    settings = (await manager.stream_info(stream)).config
    await manager.update_stream(replace(settings, max_msg_size=200))
    large = Event("thread.message.delta", json.dumps({"id": "msg_1", "text": "x" * 1000}))
    telling = [asyncio.create_task(bus.publish(RUN, 1, events)) for events in ([CREATED], [large], [told(1)])]
    await asyncio.wait(telling)
    assert [live.event for live in await read_all(place, 1)] == [CREATED]
    assert "message size exceeds maximum" in caplog.text
    await manager.update_stream(settings)
    assert [live.event for live in await read_all(place, 2)] == [large, told(1)]


async def test_a_nats_that_hangs_during_a_signal_is_heard_as_soon_as_it_goes_on(own_nats: Nats, prefix: str) -> None:
    async with opened(own_nats.url, prefix) as bus:
        place = await bus.subscribe_live(RUN, new=True)
        own_nats.signal(signal.SIGSTOP)
        await bus.signal(RUN)
        own_nats.signal(signal.SIGCONT)
        assert await bus.publish(RUN, 1, [CREATED]) != []
        assert [live.event for live in await read(place, 1)] == [CREATED]


async def test_what_is_told_as_somebody_begins_to_follow_is_told_once(
    bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = bus._reader.first

    async def first_of_three(subject: str) -> nats_log.Stored | None:
        for events in ([CREATED, told(0)], [told(1)], [told(2)]):
            await bus.publish(RUN, 1, events)
        await nats.reached(bus._client)
        return await first(subject)

    monkeypatch.setattr(bus._reader, "first", first_of_three)
    assert [live.event for live in await read_all(await bus.subscribe(RUN), 4)] == [CREATED, *map(told, range(3))]


async def test_who_follows_from_now_on_while_nats_hangs_hears_nothing_of_before(
    own_nats: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_log, "ANSWER_S", 0.2)
    async with opened(own_nats.url, prefix) as bus:
        await bus.publish(RUN, 1, [CREATED, told(1)])
        own_nats.signal(signal.SIGSTOP)
        place = await bus.subscribe_live(RUN)
        own_nats.signal(signal.SIGCONT)
        await bus.publish(RUN, 2, [told(2)])
        await bus.publish(RUN, 2, [told(3)])
        assert await numbers(place, 2) == [2, 3]


async def test_who_reads_slowly_has_little_lying_ready_and_misses_nothing(
    bus: NatsBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_log, "READY_MOST", 10)
    slow = await bus.subscribe_live(RUN)
    events = [CREATED, *map(told, range(50))]
    for each in events:
        await bus.publish(RUN, 1, [each])
    await nats.reached(bus._client)
    assert isinstance(slow, nats_log.Follower)
    assert len(slow.ready) == 10
    assert [live.event for live in await read_all(slow, 51)] == events


async def test_who_fell_behind_what_is_kept_is_told_so(bus: NatsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_log, "READY_MOST", 10)
    monkeypatch.setattr(nats, "LOG_BYTES", 1000)
    slow = await bus.subscribe_live(RUN)
    bus._sizes = nats_log.Sizes(1000)
    for each in [CREATED, *map(told, range(100))]:
        await bus.publish(RUN, 1, [each])
    assert all([await slow.next(SOON_S) for _ in range(10)])
    with pytest.raises(FellBehind):
        await slow.next(SOON_S)


async def test_where_there_is_no_stream_nothing_passes_for_an_empty_one(bus: NatsBus) -> None:
    await bus._jetstream().delete_stream(bus._events_stream)
    with pytest.raises(NoRespondersError):
        await bus._reader.since("any.subject", 1)


async def test_large_events_are_packed_and_larger_ones_left_out(bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    place = await bus.subscribe_live(RUN)
    large = Event("thread.message.completed", json.dumps({"id": "msg_1", "text": "가나다" * 300_000}))
    noise = Event("thread.message.completed", secrets.token_hex(2_000_000))
    ids = await bus.publish(RUN, 1, [CREATED, large, noise, told(1)])
    assert len(ids) == 3
    assert [live.event for live in await read(place, 3)] == [CREATED, large, told(1)]
    assert "too large for NATS" in caplog.text


async def test_many_events_at_once_keep_their_order_and_ids(bus: NatsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "PUBLISH_S", SOON_S)  # three messages, one after the other, on a busy machine
    place = await bus.subscribe_live(RUN)
    ids = await bus.publish(RUN, 1, [CREATED, *[told(number) for number in range(2500)]])
    assert len(set(ids)) == 2501
    assert [live.id for live in await read_all(place, 2501)] == ids == sorted(ids)
    assert [live.id for live in await read(await bus.subscribe(RUN, ids[1200]), 1300)] == ids[1201:]


async def test_a_long_log_is_read_in_batches(bus: NatsBus) -> None:
    for number in range(nats_log.BATCH * 2 + 10):
        await bus.publish(RUN, 1, [CREATED if number == 0 else told(number)])
    found = await read(await bus.subscribe(RUN), nats_log.BATCH * 2 + 10)
    assert found == sorted(found, key=lambda live: live.id)


async def test_a_log_is_bounded_in_bytes(nats_server: Nats, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "LOG_BYTES", 10_000)
    async with opened(nats_server.url, prefix) as bus:
        place = await bus.subscribe_live(RUN)
        ids = await bus.publish(RUN, 1, [CREATED])
        events = [Event("thread.message.delta", f'{{"n":{number},"x":"{"x" * 100}"}}') for number in range(300)]
        for event in events:
            ids += await bus.publish(RUN, 1, [event])
        await bus.publish("run_other", 1, [CREATED])
        assert await bus.subscribe(RUN) is None
        assert await bus.subscribe(RUN, ids[0]) is None
        assert await bus.subscribe(RUN, ids[-2]) is not None
        assert await bus.subscribe("run_other") is not None
        kept = await bus._reader.since(f"{prefix}.run.{RUN}", 1)
        assert 20 < len(kept) < 90, "between half of the bound and the bound"
        assert [live.event for live in await read_all(place, 301)] == [CREATED, *events], "who followed heard of all"


async def test_a_log_is_let_go_when_it_is_old(nats_server: Nats, prefix: str) -> None:
    async with opened(nats_server.url, prefix, log_s=1.0) as bus:
        [known] = await bus.publish(RUN, 1, [CREATED])
        assert await bus.subscribe(RUN) is not None
        for _ in range(25):
            if await bus.subscribe(RUN, known) is None:
                break
            await asyncio.sleep(0.2)
        assert await bus.subscribe(RUN) is None


async def test_who_does_not_follow_any_more_is_not_told(bus: NatsBus) -> None:
    before = len(bus._client._subs)
    places = [await bus.subscribe_live(f"run_{number}") for number in range(20)]
    assert len(bus._client._subs) == before + 20
    del places
    gc.collect()
    await asyncio.sleep(0.1)
    assert len(bus._client._subs) == before


@pytest.mark.parametrize("url", ["nats://127.0.0.1:1", "nats://no.such.host.invalid:4222"])
async def test_a_bus_that_is_not_there_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats, "CONNECT_S", 0.7)
    with pytest.raises(ConfigurationError, match="the bus at NATS cannot be used"):
        await NatsBus(url).open()
