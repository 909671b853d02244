"""Runs' events in a JetStream stream: how they are written there, and how a follower reads them.

A message holds the events of one `publish`. Its place in the stream and theirs in it make their ids, so they rise along
a run whoever publishes. The stream sends on what it has stored on another subject, with its place and that of the run's
message before it: followers listen there, and fetch from the stream what they see that they have missed.
"""

import asyncio
import json
import logging
import zlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from nats.aio.client import NO_RESPONDERS_STATUS, Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from understudy.bus.base import EventId, FellBehind, LiveEvent
from understudy.protocol.events import Event

log = logging.getLogger(__name__)

EVENTS_PER_MESSAGE = 1000
BATCH = 256
ANSWER_S = 5.0
RESEND_S = 1.0
KEEP_UNSENT_S = 15.0
"""How long an event waits for NATS to come back; then followers have to read the rows. Below the stream's memory of
what it was sent (`nats_streams.DUPLICATES_S`), so that nothing sent again is stored twice."""
UNSENT_BYTES = 32 * 1024 * 1024
_HEAD_ROOM = 4096
_RUNS_COUNTED = 5000
READY_MOST = 5000
"""Events that lie ready for a client that reads slowly; the rest stays in the stream."""


def encoded(attempt: int, events: Sequence[Event], max_bytes: int) -> Iterator[tuple[bytes, int]]:
    """Yield messages with the number of events in each. An event that is too large for one is left out, and told."""
    waiting: list[Event] = []
    size = 0
    for event in events:
        if waiting and (size + len(event.data) > max_bytes // 2 or len(waiting) == EVENTS_PER_MESSAGE):
            yield from _message(attempt, waiting, max_bytes)
            waiting, size = [], 0
        waiting.append(event)
        size += len(event.data) + len(event.name)
    yield from _message(attempt, waiting, max_bytes)


def _message(attempt: int, events: Sequence[Event], max_bytes: int) -> Iterator[tuple[bytes, int]]:
    """One line for the attempt, then two for each event: JSON has no line breaks of its own."""
    text = "\n".join([str(attempt), *(line for event in events for line in (event.name, event.data))]).encode()
    content = text if len(text) <= max_bytes - _HEAD_ROOM else zlib.compress(text, 1)
    if len(content) <= max_bytes - _HEAD_ROOM:
        yield content, len(events)
    else:
        log.warning("an event of %d bytes is too large for NATS: its followers read the rows", len(text))


def decoded(sequence: int, content: bytes) -> list[LiveEvent]:
    """Read a message back; `sequence` is its place in the stream. One without content tells nothing."""
    if not content:
        return []
    attempt, *lines = (content if content[:1].isdigit() else zlib.decompress(content)).decode().split("\n")
    first = sequence * EVENTS_PER_MESSAGE
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return [
        LiveEvent(EventId(int(attempt), first + index), Event(name, data)) for index, (name, data) in enumerate(pairs)
    ]


# --- writing -----------------------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Unsent:
    subject: str
    attempt: int
    content: bytes
    stored: "asyncio.Future[int | None]"
    made_at: float
    sent_at: float


class Outbox:
    """Messages on their way into the stream. What is not confirmed is sent again for a while.

    Those of a run go one after the other, each once that before it is stored: else what is new would overtake what was
    lost on its way. The stream knows a message that it was sent before by its id.
    """

    def __init__(self, name: str) -> None:
        """`name` tells this process from all others."""
        self._name = name
        self._unsent: OrderedDict[str, _Unsent] = OrderedDict()
        self._lines: dict[str, deque[str]] = {}
        """By subject, the numbers of its messages: the first is on its way, the others wait for it."""
        self._broken: OrderedDict[tuple[str, int], None] = OrderedDict()
        """Subjects and attempts of which something was given up."""
        self._bytes = 0
        self._count = 0
        self._client: Client | None = None
        self._answers = ""

    @property
    def is_stuck(self) -> bool:
        """Tell whether waiting for a confirmation is of no use now."""
        oldest = next(iter(self._unsent.values()), None)
        return oldest is not None and monotonic() - oldest.made_at > RESEND_S

    async def open(self, client: Client) -> None:
        """Begin to listen for confirmations."""
        self._client = client
        self._answers = client.new_inbox()
        await client.subscribe(f"{self._answers}.*", cb=self._confirmed)

    async def send(self, subject: str, attempt: int, content: bytes) -> "asyncio.Future[int | None]":
        """Send; the future brings the message's place in the stream, or None once it was given up.

        So is what follows one that was given up, in the same attempt: its followers have to read the rows anyhow.
        """
        now = monotonic()
        message = _Unsent(subject, attempt, content, asyncio.get_running_loop().create_future(), now, now)
        if (subject, attempt) in self._broken:
            message.stored.set_result(None)
            return message.stored
        self._count += 1
        number = f"{self._count:x}"
        self._unsent[number] = message
        self._bytes += len(content)
        line = self._lines.setdefault(subject, deque())
        line.append(number)
        while self._bytes > UNSENT_BYTES:
            self._give_up(next(iter(self._unsent)))
        if number in self._unsent and line[0] == number:
            await self._put(number, message)
        return message.stored

    async def send_again(self, waited_s: float = RESEND_S) -> None:
        """Send once more what stayed unconfirmed for so long; let go of what is too old."""
        now = monotonic()
        while (oldest := next(iter(self._unsent), None)) and now - self._unsent[oldest].made_at > KEEP_UNSENT_S:
            self._give_up(oldest)
        for number in [line[0] for line in self._lines.values()]:
            message = self._unsent.get(number)  # it may be confirmed while others are sent
            if message is not None and now - message.sent_at >= waited_s:
                await self._put(number, message)

    async def _put(self, number: str, message: _Unsent) -> None:
        message.sent_at = monotonic()
        if self._client is None or not self._client.is_connected:
            return
        headers = {"Nats-Msg-Id": f"{self._name}-{number}"}
        try:
            await self._client.publish(message.subject, message.content, f"{self._answers}.{number}", headers)
        except (NatsError, OSError):
            return  # it is sent again

    async def _confirmed(self, answer: Msg) -> None:
        number = answer.subject.rpartition(".")[2]
        told: dict[str, Any] = json.loads(answer.data) if answer.data else {}
        if "error" in told:  # it has a place, too, which is 0
            log.warning("NATS does not take events: %s", told["error"].get("description"))
            return  # it is sent again, as it is where there is no stream yet
        if number not in self._unsent or "seq" not in told:
            return
        message = self._let_go(number, told["seq"])
        line = self._lines[message.subject]
        line.popleft()
        if line:
            await self._put(line[0], self._unsent[line[0]])
        else:
            del self._lines[message.subject]

    def _give_up(self, number: str) -> None:
        """Give up a message and those that wait for it."""
        subject = self._unsent[number].subject
        log.warning("events could not be told: NATS did not take them; their followers read the rows")
        for waiting in self._lines.pop(subject):
            message = self._let_go(waiting, None)
            self._broken[subject, message.attempt] = None
        while len(self._broken) > _RUNS_COUNTED:
            self._broken.popitem(last=False)

    def _let_go(self, number: str, place: int | None) -> _Unsent:
        message = self._unsent.pop(number)
        self._bytes -= len(message.content)
        if not message.stored.done():
            message.stored.set_result(place)
        return message


class Sizes:
    """How much this process has told of each run: what is beyond `most` bytes is to be let go, oldest first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._of_runs: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def added(self, run_id: str, size: int) -> int | None:
        """Note a message; return how many of the run's are to be kept, if it has too many now."""
        known, count = self._of_runs.pop(run_id, (0, 0))
        known, count = known + size, count + 1
        keep = None if known <= self._most or count == 1 else count // 2
        self._of_runs[run_id] = (known, count) if keep is None else (known // 2, keep)
        while len(self._of_runs) > _RUNS_COUNTED:
            self._of_runs.popitem(last=False)
        return keep


# --- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stored:
    """A message of the stream."""

    sequence: int
    subject: str
    content: bytes


class LogReader:
    """Reads one stream by JetStream's direct requests. Raises TimeoutError and NatsError where NATS is not there."""

    def __init__(self, stream: str) -> None:
        self._request = f"$JS.API.DIRECT.GET.{stream}"
        self._client: Client | None = None

    def open(self, client: Client) -> None:
        self._client = client

    async def last(self, subject: str) -> int:
        """Return the place of a run's newest message; 0 if there is none."""
        found = await self._one({"last_by_subj": subject})
        return 0 if found is None else found.sequence

    async def first(self, subject: str) -> Stored | None:
        """Return a run's oldest message that is kept."""
        return await self._one({"seq": 1, "next_by_subj": subject})

    async def at(self, sequence: int) -> Stored | None:
        """Return the message at a place."""
        return await self._one({"seq": sequence})

    async def since(self, subject: str, sequence: int) -> list[Stored]:
        """Return a run's messages from a place on."""
        found: list[Stored] = []
        while True:
            batch, more = await self._batch(subject, found[-1].sequence + 1 if found else sequence)
            found += batch
            if not more or not batch:
                return found

    async def _one(self, wanted: dict[str, Any]) -> Stored | None:
        assert self._client
        return _stored(await self._client.request(self._request, json.dumps(wanted).encode(), timeout=ANSWER_S))

    async def _batch(self, subject: str, sequence: int) -> tuple[list[Stored], bool]:
        assert self._client
        inbox, found = self._client.new_inbox(), []
        answers: asyncio.Queue[Msg] = asyncio.Queue()
        listening = await self._client.subscribe(inbox, cb=answers.put)
        wanted = {"seq": sequence, "next_by_subj": subject, "batch": BATCH}
        try:
            await self._client.publish(self._request, json.dumps(wanted).encode(), inbox)
            async with asyncio.timeout(ANSWER_S):
                while (stored := _stored(answer := await answers.get())) is not None:
                    found.append(stored)
        finally:
            await listening.unsubscribe()
        return found, int((answer.headers or {}).get("Nats-Num-Pending", 0)) > 0


def _stored(answer: Msg) -> Stored | None:
    """Read an answer; one with a status is the end of a batch, or says that there is nothing.

    Raises NoRespondersError where there is no stream (yet).
    """
    headers = answer.headers or {}
    if headers.get("Status") == NO_RESPONDERS_STATUS:
        raise NoRespondersError
    if "Nats-Sequence" not in headers or "Status" in headers:
        return None
    return Stored(int(headers["Nats-Sequence"]), headers["Nats-Subject"], answer.data)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Follower:
    """A place in a run's events. `last` is the place of the newest message that was taken in."""

    subject: str
    reader: LogReader
    generation: Callable[[], int]
    """Counts how often the connection was lost: after each time there may be something to fetch."""
    last: int = 0
    ready: deque[LiveEvent] = field(default_factory=deque)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False
    knows_place: bool = True
    """Whether `last` is where it begins: else that is just before the first message that it hears."""
    _heard_of: int = 0
    """The newest place that was heard of: beyond `last` while there is something to fetch."""
    _next: int = 0
    """The place that comes after `last`, where that is known and was too much to take in."""
    _seen_generation: int = 0

    def __post_init__(self) -> None:
        self._seen_generation = self.generation()

    async def next(self, timeout_s: float) -> LiveEvent | None:
        await self._catch_up()
        if not self.ready and not self.ended:
            self.woken.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self.woken.wait()
            except TimeoutError:
                pass
            await self._catch_up()
        return self.ready.popleft() if self.ready else None

    def begin(self, place: tuple[int, list[LiveEvent]]) -> None:
        """Begin with a message, whatever was heard of by now: it is fetched, with all that follows."""
        self.last, events = place
        self.ready.clear()
        self.ready.extend(events)

    def begin_after(self, place: int) -> None:
        """Begin after a message, unless something was heard of by now."""
        if not self.knows_place:
            self.last, self.knows_place = place, True

    def take(self, stored: Stored, before: int | None = None) -> None:
        """Take a message in; `before` is the place of the run's message before it, where that is known."""
        if before is not None:
            self.begin_after(before)
        if stored.sequence <= self.last:
            return
        self._heard_of = max(self._heard_of, stored.sequence)
        if before is None or (before <= self.last and len(self.ready) < READY_MOST):
            self.last = stored.sequence
            self.ready.extend(decoded(stored.sequence, stored.content))
        elif before <= self.last:  # it is fetched when there is room, and what was missed before it, in order
            self._next = stored.sequence
        self.woken.set()  # also by what holds no event: the log is let go

    def end(self) -> None:
        """End the waiting for good: the bus is closed."""
        self.ended = True
        self.woken.set()

    async def _catch_up(self) -> None:
        """Fetch what was missed, and what was told while it was fetched."""
        while (
            self.knows_place
            and not self.ready
            and (self._heard_of > self.last or self._seen_generation != self.generation())
        ):
            generation, following = self.generation(), self._next
            try:
                missed = await self.reader.since(self.subject, self.last + 1)
            except (NatsError, OSError, TimeoutError):
                return  # tried again at the next look
            self._seen_generation = generation
            if following:
                if [stored.sequence for stored in missed][:1] != [following]:
                    raise FellBehind
                self._next = 0
            if not missed:
                return
            for stored in missed:
                self.take(stored)
