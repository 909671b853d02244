"""drive(): prompt, model, assemble, tools, next step; until the run rests.

State is committed first, then told. Every commit renews the worker's lease and fails if the run is no longer its own.
"""

import asyncio
from asyncio import CancelledError
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import assert_never

from sqlalchemy import Connection

from understudy import tracing
from understudy.bus.base import Bus
from understudy.engine import prompt as prompts
from understudy.engine.annotate import Quote, Reader
from understudy.engine.assemble import Draft, Folded, fold, with_calls
from understudy.engine.bookings import Bookings
from understudy.engine.endings import end, total_usage
from understudy.engine.leased import Leased, must_save
from understudy.engine.nextstep import AwaitToolOutputs, CallModelAgain, Finish, NextStep, Stop, UseTools, next_step
from understudy.engine.prompt import CountTokens, DoesNotFit, Prompt, Sizes
from understudy.engine.quotes import Support, ends_message, supported
from understudy.engine.situation import OpenCalls, Situation, situation
from understudy.engine.tooluse import Kit, ToolUse
from understudy.engine.transitions import end_step, move
from understudy.errors import LeaseLost, UpstreamError
from understudy.ids import Clock, new_id
from understudy.inference.base import Route, Routes
from understudy.protocol.base import JsonObject
from understudy.protocol.events import Event
from understudy.protocol.messages import Message
from understudy.protocol.runs import LastError
from understudy.protocol.steps import RunStep, ToolCall
from understudy.storage import messages, model_calls, runs, steps
from understudy.storage.base import Store
from understudy.storage.model_calls import ModelCall
from understudy.storage.runs import RunRecord
from understudy.tools.base import Toolbox

SAVE_EVERY_S = 2.0
BYTES_PER_CHARACTER = 4
MAX_MODEL_CALLS = 50

ENDLESS: LastError = {
    "code": "server_error",
    "message": f"The model was called {MAX_MODEL_CALLS} times and did not come to an end.",
}
TOO_LONG: LastError = {
    "code": "invalid_prompt",
    "message": "The instructions, tools and last message are longer than the model's context window.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the model, of which all is written but its end."""

    draft: Draft
    closing: Folded
    call: ModelCall


def _no_quote(_before: str, _passage: str) -> str:
    return ""


class Loop:
    """Drives runs for whoever claims them; holds no state of its own but what it has counted once."""

    def __init__(
        self,
        store: Store,
        bus: Bus,
        routes: Routes,
        count_tokens: CountTokens,
        clock: Clock,
        lease_s: float,
        toolbox: Toolbox | None = None,
        quote: Quote = _no_quote,
        support: Support | None = None,
    ) -> None:
        self._store = store
        self._routes = routes
        self._sizes = Sizes(count_tokens)
        self._bookings = Bookings(store, count_tokens)
        self._clock = clock
        self._quote = quote
        self._support = support
        self._leased = Leased(store, bus, clock, lease_s)
        self._tools = ToolUse(store, self._leased, toolbox or {}, clock)

    async def drive(self, run: RunRecord) -> None:
        """Work on a claimed run until it waits for its client or ends.

        Raises LeaseLost if it was taken away, UpstreamError if the model failed, ToolUnavailable if a tool is off.
        """
        kit = await self._tools.prepare(run, self._routes.find(run.model).context_window)
        while True:
            match await self._turn(run, kit):
                case CallModelAgain() | UseTools():
                    continue
                case AwaitToolOutputs() | Finish() | Stop():
                    return

    async def _turn(self, run: RunRecord, kit: Kit) -> NextStep:
        route = self._routes.find(run.model)
        found = await self._store.read(partial(situation, run=run, window=route.context_window, quote=self._quote))
        if isinstance(found, OpenCalls):
            return await self._tools.answer(run, kit, found)
        prompt = await self._prompt_in_thread(run, found, route, kit)
        if isinstance(prompt, Stop):
            await self._carry_out(run, None, prompt)
            return prompt
        draft = Draft(run, images=found.images, taken=found.call_ids, reader=Reader(found.marks))
        answer = await self._traced_answer(route, prompt, draft)
        step = next_step(answer.draft)
        await self._carry_out(run, answer, step)
        return step

    # --- asking the model --------------------------------------------------------------------------------------------

    async def _prompt_in_thread(self, run: RunRecord, found: Situation, route: Route, kit: Kit) -> Prompt | Stop:
        """Make a prompt; one that may need its tokens counted, which takes a while, is made beside the event loop."""
        if found.characters * BYTES_PER_CHARACTER < route.context_window:
            return self._prompt(run, found, route, kit)
        return await asyncio.to_thread(self._prompt, run, found, route, kit)

    def _prompt(self, run: RunRecord, found: Situation, route: Route, kit: Kit) -> Prompt | Stop:
        """Make the prompt, or say why there is none: a budget is spent, or nothing fits."""
        if found.calls_made >= MAX_MODEL_CALLS:
            return Stop(error=ENDLESS)
        answer_left = _left(run.max_completion_tokens, found.used["completion_tokens"])
        prompt_left = _left(run.max_prompt_tokens, found.used["prompt_tokens"])
        if answer_left is not None and answer_left <= 0:
            return Stop("max_completion_tokens")
        window = route.context_window - route.context_window // prompts.ANSWER_SHARE
        limit = window if prompt_left is None else min(window, prompt_left)
        first = found.calls_made == 0
        make = partial(prompts.build, run, model=route.model, tools=kit.specs, first_call=first, budget=answer_left)
        try:
            return prompts.fit(run, found.history, make, limit, self._sizes)
        except DoesNotFit:
            return Stop("max_prompt_tokens") if limit < window else Stop(error=TOO_LONG)

    async def _traced_answer(self, route: Route, prompt: Prompt, draft: Draft) -> Answer:
        run = draft.run
        about = {"gen_ai.request.model": route.model} | tracing.ids(run.id, run.thread_id, run.attempt)
        with tracing.span("chat", route.model, about) as span:
            answer = await self._answer(route, prompt, draft)
            if used := answer.call.usage:
                span.set_attribute("gen_ai.usage.input_tokens", used["prompt_tokens"])
                span.set_attribute("gen_ai.usage.output_tokens", used["completion_tokens"])
            span.set_attribute("gen_ai.response.finish_reasons", [answer.call.finish_reason or "stop"])
            return answer

    async def _answer(self, route: Route, prompt: Prompt, draft: Draft) -> Answer:
        """Stream one answer: rows are written and events told as it comes, but for its end.

        The end is written together with what follows from it; a call that broke off is recorded here.
        """
        run = draft.run
        call = _new_call(run, route, prompt, self._clock.now())
        saved_at, untold, narration = call.started_at, None, ""
        try:
            async with aclosing(route.provider.stream(prompt.request)) as deltas:
                async for delta in deltas:
                    now = self._clock.now()
                    if call.first_token_at is None:
                        call = replace(call, first_token_at=now)
                    if self._support is not None and ends_message(draft, delta):
                        draft = await supported(draft, self._support)
                    folded = fold(draft, delta, now)
                    narration = draft.text if folded.ended else narration
                    draft = folded.draft
                    if draft.reason is not None:
                        call = replace(call, finished_at=now, finish_reason=draft.reason, usage=draft.used)
                        return Answer(draft, folded, _booked(call, draft, folded))
                    untold = folded
                    await self._tell(run, folded)
                    untold = None
                    saved_at = await self._save_text(run, draft, saved_at, now)
            raise UpstreamError("The model's server ended its answer before it was complete.")
        except (UpstreamError, CancelledError, LeaseLost) as problem:
            broken_off = replace(call, finished_at=self._clock.now(), finish_reason="broken_off")
            if call.first_token_at is not None or not isinstance(problem, UpstreamError):
                said, called_off = [narration, *draft.said()], isinstance(problem, CancelledError)
                self._bookings.begin(call, prompt.request, said, called_off=called_off)
            await self._keep(run, broken_off, (isinstance(problem, LeaseLost) and untold) or Folded(draft))
            raise

    async def _tell(self, run: RunRecord, folded: Folded) -> None:
        if not (folded.new or folded.ended):
            await self._leased.publish(run, folded.events)
            return

        def write(connection: Connection) -> Sequence[Event]:
            _write(connection, run, folded)
            return folded.events

        await self._leased.tell(run, write)

    async def _keep(self, run: RunRecord, call: ModelCall, untold: Folded) -> None:
        """Write what there is of an answer that broke off or was called off, if the run is still this attempt's.

        `untold` is the last of it, which could not be written any more: a cancellation came before. What a whole answer
        has used is booked whosever the run is, be it deleted.
        """

        def write(connection: Connection) -> Sequence[Event]:
            if not runs.hold(connection, run):
                model_calls.book(connection, call)
                return ()
            model_calls.add(connection, call)
            _write(connection, run, untold)
            if (written := untold.draft.written()) is not None:
                messages.save(connection, written)
            return untold.events

        await self._leased.leave(run, write)

    async def _save_text(self, run: RunRecord, draft: Draft, saved_at: float, now: float) -> float:
        """Write the text so far, once in a while."""
        if now - saved_at < SAVE_EVERY_S or (written := draft.written()) is None:
            return saved_at
        await self._leased.commit(run, lambda connection: messages.save(connection, written))
        return now

    # --- what follows ------------------------------------------------------------------------------------------------

    async def _carry_out(self, run: RunRecord, answer: Answer | None, step: NextStep) -> None:
        """Write an answer's end and what follows from it, as one.

        Where a cancellation came before, the answer is whole all the same, and nothing follows from it.
        """
        draft = answer.draft if answer else Draft(run)

        def write(connection: Connection) -> list[Event]:
            now = self._clock.now()
            if answer:
                _write(connection, run, answer.closing)
                model_calls.add(connection, answer.call)
            match step:
                case CallModelAgain(calls):
                    followed = _close_calls(connection, draft, calls, now)
                case UseTools(calls):
                    assert draft.calls_step is not None
                    steps.save(connection, with_calls(draft.calls_step, calls))
                    followed = []
                case AwaitToolOutputs():
                    followed = _pause(connection, run, draft, step, now)
                case Finish():
                    followed = _finish(connection, run, now)
                case Stop():
                    followed = _stop(connection, run, step, now)
                case _:
                    assert_never(step)
            return [*(answer.closing.events if answer else ()), *followed]

        try:
            await self._leased.tell(run, write)
        except LeaseLost:
            if answer:
                await self._keep(run, answer.call, answer.closing)
            raise


def _left(limit: int | None, used: int) -> int | None:
    return None if limit is None else limit - used


def _new_call(run: RunRecord, route: Route, prompt: Prompt, now: float) -> ModelCall:
    return ModelCall(
        id=new_id("call"),
        project=run.project,
        run_id=run.id,
        thread_id=run.thread_id,
        attempt=run.attempt,
        model=route.model,
        started_at=now,
        instructions=run.instructions,
        message_ids=prompt.message_ids,
        built_in=_built_in(run, prompt) or None,
    )


def _built_in(run: RunRecord, prompt: Prompt) -> list[JsonObject]:
    kinds = {tool["type"] for tool in run.tools} - {"function"}
    return [asdict(spec) for spec in prompt.request.tools if spec.name in kinds]


def _booked(call: ModelCall, draft: Draft, folded: Folded) -> ModelCall:
    """Name the step on which the call's usage stands: the tool step if there is one, else the message's."""
    if draft.calls_step is not None:
        return replace(call, step_id=draft.calls_step.id)
    return replace(call, step_id=next((part.id for part in folded.ended if isinstance(part, RunStep)), None))


def _write(connection: Connection, run: RunRecord, folded: Folded) -> None:
    for new in folded.new:
        _add(connection, run, new)
    for ended in folded.ended:
        _save(connection, ended)


def _add(connection: Connection, run: RunRecord, part: Message | RunStep) -> None:
    if isinstance(part, Message):
        messages.add(connection, run.project, run.thread_id, [part])
    else:
        steps.add(connection, run.project, part)


def _save(connection: Connection, part: Message | RunStep) -> None:
    if isinstance(part, Message):
        messages.save(connection, part)
    else:
        steps.save(connection, part)


def _close_calls(connection: Connection, draft: Draft, calls: Sequence[ToolCall], now: float) -> list[Event]:
    assert draft.calls_step is not None
    ended, told = end_step(with_calls(draft.calls_step, calls), "completed", now, used=draft.used)
    steps.save(connection, ended)
    return [told]


def _pause(connection: Connection, run: RunRecord, draft: Draft, step: AwaitToolOutputs, now: float) -> list[Event]:
    assert draft.calls_step is not None
    steps.save(connection, with_calls(draft.calls_step, step.calls))
    paused, told = move(run, "requires_action", now, required_action=step.required())
    must_save(connection, paused, run)
    return [told]


def _finish(connection: Connection, run: RunRecord, now: float) -> list[Event]:
    completed, told = move(run, "completed", now, usage=total_usage(connection, run.id))
    must_save(connection, completed, run)
    steps.close_expiry(connection, run.id)
    return [told]


def _stop(connection: Connection, run: RunRecord, step: Stop, now: float) -> list[Event]:
    if step.reason is None:
        change = end(connection, run, "failed", now, step.error)
        if change is None:
            raise LeaseLost(run.id)
        return change.events
    facts = {"usage": total_usage(connection, run.id), "incomplete_details": {"reason": step.reason}}
    stopped, told = move(run, "incomplete", now, **facts)
    must_save(connection, stopped, run)
    closed = []
    for part in steps.of_run(connection, run.id):
        if part.status == "in_progress":
            used = model_calls.usage_of_step(connection, part.id)
            ended, step_told = end_step(part, "failed", now, used=used, with_results=run.include_results)
            steps.save(connection, ended)
            closed.append(step_told)
    steps.close_expiry(connection, run.id)
    return [*closed, told]
