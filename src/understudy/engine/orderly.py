"""A place in a run's events that gives out one legal sequence, whoever tells what, and when."""

from collections.abc import Sequence
from time import monotonic

from understudy.bus.base import EventId, LiveEvent, Subscription
from understudy.protocol.events import ENDS, PAUSE, RUN_ENDS, Event

_BEFORE_A_PAUSE = (PAUSE, ".created", ".delta")
_PARTS = ("thread.message.", "thread.run.step.")
_ID = '{"id":"'


class Orderly:
    """A place in a run's events that leaves out what comes too late.

    A worker that was cut off tells what it had said when it is back, and others have gone on. Events of an attempt
    older than one already seen are left out, and those of an object after its end. So are those of an object whose
    beginning was not heard: NATS was away as this place was taken, say. The object's end then tells all of it.
    """

    def __init__(
        self,
        place: Subscription,
        *,
        after: EventId | None = None,
        passed: int = -1,
        finished: frozenset[str] | None = None,
        unfinished: frozenset[str] = frozenset(),
    ) -> None:
        """`after`: what the place comes after. `passed`: the last attempt whose pause lies back; what led to it may be
        told late, amid what comes after. `finished`, `unfinished`: objects that rows have told of, if rows have.
        """
        self._place = place
        self._passed = passed
        self._attempt = 0 if after is None else after.attempt
        self._last = after
        self._is_over = False
        self.resumed = after is not None
        self.follows_rows = finished is not None
        self._begun = set(unfinished)
        self._ended = set(finished or ())
        self.heard: list[Event] = []
        """What was heard of the message that is being written, from its beginning on. A log may be gone by its end."""
        self.waits_since: float | None = None
        """Since when the run rests and the bus, which might tell it, is away."""

    async def next(self, timeout_s: float) -> LiveEvent | None:
        """Return the next event that says something, or None if none came in time."""
        until = monotonic() + timeout_s
        while (live := await self._place.next(timeout_s)) is not None:
            self._last, self.waits_since = live.id, None
            of = about(live.event)
            if not self._is_left_out(of, live):
                self._attempt = live.id.attempt
                self._note(of, live)
                return live
            if timeout_s and monotonic() > until:
                return None  # whoever waits for this has other things to do now and then
        return None

    def go_on_in(self, place: Subscription) -> None:
        """Go on in another place, which comes just after what was heard in this one."""
        self._place = place

    def _is_left_out(self, of: str, live: LiveEvent) -> bool:
        name, attempt = live.event.name, live.id.attempt
        if self._is_over or attempt < self._attempt or of in self._ended:
            return True
        if attempt <= self._passed and name.endswith(_BEFORE_A_PAUSE):
            return True
        known = self.resumed or of in self._begun or name in ENDS or name.endswith(".created")
        return not known and name.startswith(_PARTS)

    def _note(self, of: str, live: LiveEvent) -> None:
        name = live.event.name
        if name.endswith(".created"):
            self._begun |= {of} if name.startswith(_PARTS) else set()
            self.heard = [live.event] if name == "thread.message.created" else self.heard
        elif name == "thread.message.delta" and self.heard:
            self.heard.append(live.event)
        elif name in RUN_ENDS:
            self._is_over = True
        elif name in ENDS:
            self.heard = [] if name.startswith("thread.message.") else self.heard
            if of:
                self._ended.add(of)

    def learn(self, logged: Sequence[LiveEvent]) -> None:
        """Note what was begun before this place, of a log's events, and not ended."""
        ended = {about(live.event) for live in logged if live.event.name in ENDS}
        begun = {about(live.event) for live in logged if live.event.name.startswith(_PARTS)}
        self._begun |= begun - ended

    # --- what it has heard -------------------------------------------------------------------------------------------

    def heard_up_to(self, logged: Sequence[LiveEvent]) -> int:
        """Return how many of a log's events lie before this place."""
        if self._last is not None:
            return sum(live.id.n <= self._last.n for live in logged)
        before = [at for at, live in enumerate(logged, 1) if live.id.attempt <= self._passed]
        pauses = [at for at in before if logged[at - 1].event.name == PAUSE]
        return max(pauses or before, default=0)

    @property
    def has_open(self) -> bool:
        """Whether a message or a step was begun whose end was not heard."""
        return not self._begun <= self._ended

    def lacks_beginning(self, end: Event, attempt: int | None = None) -> bool:
        """Tell whether it is the end of an object whose beginning should have been heard here.

        `attempt` is that which told it. A row does not say of which it is: there may be a pause in between.
        """
        lies_back = self._passed >= 0 if attempt is None else attempt <= self._passed
        if self.resumed or self.follows_rows or lies_back:
            return False
        return end.name in ENDS and end.name.startswith(_PARTS) and about(end) not in self._begun

    def misses(self, end: Event) -> bool:
        """Tell whether the end of an object was not heard, which was begun here or, after rows, at any time."""
        of = about(end)
        return end.name in ENDS and of not in self._ended and (self.follows_rows or of in self._begun)


def about(told_event: Event) -> str:
    """Return the id of an event's object: its JSON begins with it. Read off, since this is done for every delta."""
    data = told_event.data
    return data[len(_ID) : data.find('"', len(_ID))] if data.startswith(_ID) else ""
