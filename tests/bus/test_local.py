"""The bus of one process: the contract of a Bus, and what is this adapter's own."""

import gc
from collections.abc import AsyncIterator

import pytest
from tests.bus import bus_contract
from tests.bus.bus_contract import CREATED, RUN, read, told
from tests.contracts import contract

from understudy.bus import local
from understudy.bus.base import FellBehind
from understudy.bus.local import LINGER_S, LocalBus
from understudy.protocol.events import Event
from understudy.testing import FakeClock


@pytest.fixture
async def bus() -> AsyncIterator[LocalBus]:
    bus = LocalBus(FakeClock())
    yield bus
    await bus.close()


globals().update(contract(bus_contract))


# --- its own -----------------------------------------------------------------------------------------------------


async def test_ids_rise_across_restarts() -> None:
    clock = FakeClock()
    before = await LocalBus(clock).publish(RUN, 1, [told(number) for number in range(500)])
    clock.advance(1)
    restarted = LocalBus(clock)
    after = await restarted.publish(RUN, 1, [told(0)])
    assert before[-1] < after[0]
    for known in before:
        assert await restarted.subscribe(RUN, known) is None


async def test_a_log_is_bounded_in_bytes(bus: LocalBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_BYTES", 1000 + 10 * local.EVENT_BYTES)
    ids = await bus.publish(RUN, 1, [CREATED])
    for _ in range(50):
        ids += await bus.publish(RUN, 1, [Event("thread.message.delta", "x" * 100)])
    assert await bus.subscribe(RUN) is None
    assert await bus.subscribe(RUN, ids[0]) is None
    kept = [known for known in ids if await bus.subscribe(RUN, known) is not None]
    assert kept == ids[-10:]


async def test_an_event_larger_than_the_bound_still_arrives(bus: LocalBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_BYTES", 10)
    place = await bus.subscribe_live(RUN)
    large = Event("thread.message.completed", "x" * 100)
    await bus.publish(RUN, 1, [large])
    assert [live.event for live in await read(place, 1)] == [large]


async def test_events_larger_than_the_bound_together_still_arrive(
    bus: LocalBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "LOG_BYTES", 10)
    place = await bus.subscribe_live(RUN)
    await bus.publish(RUN, 1, [CREATED, told(1), told(2)])
    assert [live.event for live in await read(place, 3)] == [CREATED, told(1), told(2)]


async def test_who_fell_behind_what_is_kept_is_told_so(bus: LocalBus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "LOG_BYTES", 300 + 3 * local.EVENT_BYTES)
    slow, slower = await bus.subscribe_live(RUN), await bus.subscribe_live(RUN)
    events = [Event("thread.message.delta", f"{number:0100}") for number in range(10)]
    await bus.publish(RUN, 1, events[:3])
    assert await slow.next(0)
    await bus.publish(RUN, 1, events[3:4])
    with pytest.raises(FellBehind):
        await slower.next(0)
    assert [live.event for live in await read(slow, 3)] == events[1:4]


async def test_a_log_is_let_go_a_while_after_its_last_event() -> None:
    clock = FakeClock()
    bus = LocalBus(clock)
    ids = await bus.publish(RUN, 1, [CREATED])
    clock.advance(LINGER_S)
    await bus.publish("run_new", 1, [CREATED])
    assert await bus.subscribe(RUN, ids[0]) is not None
    gc.collect()
    clock.advance(local.SWEEP_EVERY_S)
    await bus.publish("run_newer", 1, [CREATED])
    assert await bus.subscribe(RUN, ids[0]) is None


async def test_a_log_that_only_was_looked_for_goes_with_who_looked(bus: LocalBus) -> None:
    places = [await bus.subscribe_live(f"run_{number}") for number in range(100)]
    assert len(bus._awaited) == 100
    assert bus._logs == {}
    del places
    gc.collect()
    assert len(bus._awaited) == 0


async def test_all_logs_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "ALL_LOGS_BYTES", 100_000)
    bus = LocalBus(FakeClock())
    place = await bus.subscribe_live("run_0")
    for number in range(100):
        await bus.publish(f"run_{number}", 1, [CREATED, Event("thread.message.delta", "x" * 5000)])
    kept = [number for number in range(100) if await bus.subscribe(f"run_{number}") is not None]
    assert kept[0] == 0, "somebody follows it"
    assert kept[1:] == list(range(100 - len(kept) + 1, 100)), "the newest"
    assert 10 < len(kept) < 20
    assert sum(log.size for log in bus._logs.values()) == bus._size <= 100_000
    assert len(await read(place, 2)) == 2
    for number in kept:
        await bus.forget(f"run_{number}")
    assert bus._size == 0


async def test_a_log_that_somebody_follows_is_kept() -> None:
    clock = FakeClock()
    bus = LocalBus(clock)
    place = await bus.subscribe_live(RUN)
    clock.advance(LINGER_S + 1)
    await bus.publish("run_new", 1, [CREATED])
    await bus.publish(RUN, 1, [told(1)])
    assert [live.event for live in await read(place, 1)] == [told(1)]
