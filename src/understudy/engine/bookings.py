"""What is used by calls of a model that break off: no upstream says it, so it is counted here.

It stands on the project's day alone, which limits hold to. A run's usage stays what was recorded.
"""

import asyncio
import logging
from collections.abc import Sequence

from understudy.engine.prompt import CountTokens
from understudy.errors import UnderstudyError
from understudy.inference.base import CompletionRequest
from understudy.storage import daily_tokens, runs
from understudy.storage.base import Store
from understudy.storage.model_calls import ModelCall

log = logging.getLogger(__name__)


class Bookings:
    """Counts and books beside the event loop; nobody waits for it, least of all a cancellation."""

    def __init__(self, store: Store, count: CountTokens) -> None:
        self._store = store
        self._count = count
        self._under_way: set[asyncio.Task[None]] = set()

    def begin(self, call: ModelCall, request: CompletionRequest, said: Sequence[str], *, called_off: bool) -> None:
        """Book the prompt, and what the model has said so far.

        Nothing is booked of a call that was called off since its server stops: the run is not at its end, the model is
        asked anew, and what it uses then counts.
        """
        booking = asyncio.create_task(self._book(call, request, "".join(said), called_off), name="booking")
        self._under_way.add(booking)
        booking.add_done_callback(self._under_way.discard)

    async def _book(self, call: ModelCall, request: CompletionRequest, said: str, called_off: bool) -> None:
        try:
            if called_off and await self._goes_on(call):
                return
            tokens = await asyncio.to_thread(self._tokens, request, said)
            day = daily_tokens.day_of(call.started_at)
            await self._store.write(lambda connection: daily_tokens.add(connection, call.project, day, tokens))
        except UnderstudyError as fault:
            log.info("what the call %s used is booked nowhere. %s", call.id, fault)
        except Exception:
            log.exception("what the call %s used could not be booked", call.id)

    async def _goes_on(self, call: ModelCall) -> bool:
        run = await self._store.read(lambda connection: runs.find(connection, call.run_id))
        return run is not None and run.status == "in_progress" and run.attempt == call.attempt

    def _tokens(self, request: CompletionRequest, said: str) -> int:
        answer = self._count([{"role": "assistant", "content": said}], ()) if said else 0
        return self._count(request.messages, request.tools) + answer
