"""From a model's deltas to steps, messages and events. Pure: no I/O, no clock of its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from understudy.engine.annotate import Marks, Piece, Reader
from understudy.engine.calls import CallDraft, finished, holds_back, tell
from understudy.engine.transitions import complete_message, cut_message, end_step
from understudy.ids import new_id
from understudy.inference.base import Delta, Finished, FinishReason, RefusalDelta, TextDelta, ToolCallDelta
from understudy.protocol import events as wire
from understudy.protocol.annotations import Annotation
from understudy.protocol.events import Event, alike
from understudy.protocol.messages import Content, IncompleteReason, Message, image_content
from understudy.protocol.runs import Usage, usage
from understudy.protocol.steps import RunStep, StepDetails, ToolCall
from understudy.protocol.text import storable
from understudy.storage.runs import RunRecord


@dataclass(frozen=True, slots=True)
class Draft:
    """What a model's answer has come to so far.

    `images` are the files that tools have drawn since the run's last message: its next one begins with them.
    `taken` are the ids of the thread's earlier calls.
    """

    run: RunRecord
    message: Message | None = None
    message_step: RunStep | None = None
    images: tuple[str, ...] = ()
    taken: frozenset[str] = frozenset()
    reader: Reader = field(default_factory=lambda: Reader(Marks()))
    annotations: tuple[Annotation, ...] = ()
    refusal: str = ""
    calls_step: RunStep | None = None
    calls: tuple[CallDraft, ...] = ()
    places: tuple[int, ...] = ()
    reason: FinishReason | None = None
    used: Usage | None = None

    def written(self) -> Message | None:
        """The message with the text that it has so far."""
        return None if self.message is None else self.message.model_copy(update={"content": self._content()})

    def said(self) -> list[str]:
        """All that the model has said and that is not closed yet, its calls included."""
        return [self.text, self.refusal, *(part for call in self.calls for part in (call.name, call.arguments))]

    @property
    def text(self) -> str:
        """The message's text, but for what is held back since it may become a mark."""
        return self.reader.written

    @property
    def text_place(self) -> int:
        """The place of the text among the message's parts."""
        return len(self.images)

    def _content(self) -> list[Content]:
        parts = [image_content(file_id) for file_id in self.images]
        if self.text:
            parts.append({"type": "text", "text": {"value": self.text, "annotations": list(self.annotations)}})
        if self.refusal:
            parts.append({"type": "refusal", "refusal": self.refusal})
        return parts


@dataclass(frozen=True, slots=True)
class Folded:
    """A draft after one delta. Rows are to be written before the events are told."""

    draft: Draft
    events: Sequence[Event] = ()
    new: Sequence[Message | RunStep] = ()
    ended: Sequence[Message | RunStep] = ()

    def then(self, following: "Folded") -> "Folded":
        """Join two changes, the later one last."""
        return Folded(
            following.draft,
            [*self.events, *following.events],
            [*self.new, *following.new],
            [*self.ended, *following.ended],
        )


def fold(draft: Draft, delta: Delta, now: float) -> Folded:
    """Take one delta in."""
    match delta:
        case TextDelta(text):
            text = storable(text)
            return _fold_text(draft, text, now) if text else Folded(draft)
        case RefusalDelta(text):
            text = storable(text)
            return _fold_refusal(draft, text, now) if text else Folded(draft)
        case ToolCallDelta():
            return _fold_call(draft, _storable_call(delta), now)
        case Finished(reason, used):
            counted = usage(used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.reasoning_tokens)
            return _finish(replace(draft, reason=reason, used=counted), now)
        case _:
            assert_never(delta)


def _storable_call(delta: ToolCallDelta) -> ToolCallDelta:
    return ToolCallDelta(
        delta.index,
        delta.id and storable(delta.id),
        delta.name and storable(delta.name),
        storable(delta.arguments),
    )


def _fold_text(draft: Draft, text: str, now: float) -> Folded:
    if draft.message is not None:
        return _put_out(draft, *draft.reader.feed(text))
    begun = _begin_message(draft, now)
    return begun.then(_put_out(begun.draft, *begun.draft.reader.feed(text)))


def _put_out(draft: Draft, reader: Reader, pieces: Sequence[Piece]) -> Folded:
    """Tell pieces of text, each mark on its own (recorded)."""
    assert draft.message is not None
    told, annotations, first = list[Event](), draft.annotations, not draft.text
    for piece in pieces:
        marked = piece.told(len(annotations))
        told.append(wire.text_delta(draft.message.id, draft.text_place, piece.text, first=first, annotations=marked))
        annotations, first = (*annotations, piece.annotation) if piece.annotation else annotations, False
    return Folded(replace(draft, reader=reader, annotations=annotations), told)


def _fold_refusal(draft: Draft, text: str, now: float) -> Folded:
    begun = Folded(draft) if draft.message else _begin_message(draft, now)
    message = begun.draft.message
    assert message is not None
    place = draft.text_place + bool(draft.text)
    told = wire.refusal_delta(message.id, place, text)
    return begun.then(Folded(replace(begun.draft, refusal=draft.refusal + text), [told]))


def _fold_call(draft: Draft, delta: ToolCallDelta, now: float) -> Folded:
    """A call ends the narration before it; the first one begins the step of all calls of this answer."""
    folded = _end_message(draft, now, usage()) if draft.message and not draft.calls_step else Folded(draft)
    if folded.draft.calls_step is None:
        folded = folded.then(_begin_calls(folded.draft, now))
    return folded.then(_extend_call(folded.draft, delta))


def _extend_call(draft: Draft, delta: ToolCallDelta) -> Folded:
    if delta.index not in draft.places:
        opened = CallDraft(_unused_id(draft, delta.id), delta.name or "")
        draft = replace(draft, places=(*draft.places, delta.index), calls=(*draft.calls, opened))
    place = draft.places.index(delta.index)
    call = draft.calls[place]
    call = replace(call, name=call.name or delta.name or "", arguments=call.arguments + delta.arguments)
    calls = (*draft.calls[:place], call, *draft.calls[place + 1 :])
    return _tell_calls(replace(draft, calls=calls), place)


def _tell_calls(draft: Draft, since: int = 0) -> Folded:
    """Tell calls from a place on, up to the first without arguments: they may still come, even after the next call."""
    step, tools = draft.calls_step, draft.run.tools
    assert step is not None
    calls, events = list(draft.calls), list[Event]()
    if any(holds_back(call, tools) for call in calls[:since]):
        return Folded(draft)
    for place in range(since, len(calls)):
        calls[place], told = tell(calls[place], step.id, place, tools)
        events += told
        if holds_back(calls[place], tools):
            break
    return Folded(replace(draft, calls=tuple(calls)), events)


def _finish_calls(draft: Draft) -> Folded:
    return _tell_calls(replace(draft, calls=tuple(finished(call) for call in draft.calls)))


def _unused_id(draft: Draft, given: str | None) -> str:
    """The upstream's id of a call; some give none, or the same one to all: those calls could not be told apart.

    Nor could those of two answers: outputs that are sent a second time would pass for the later call's.
    """
    return given if given and given not in draft.taken.union(call.id for call in draft.calls) else new_id("call")


def _begin_message(draft: Draft, now: float) -> Folded:
    message = _new_message(draft.run, now)
    details: StepDetails = {"type": "message_creation", "message_creation": {"message_id": message.id}}
    step = _new_step(draft.run, details, now)
    images = [wire.image_delta(message.id, place, file_id) for place, file_id in enumerate(draft.images)]
    told = [*_begun("thread.run.step", step), *_begun("thread.message", message), *images]
    return Folded(replace(draft, message=message, message_step=step), told, [step, message])


def _begin_calls(draft: Draft, now: float) -> Folded:
    step = _new_step(draft.run, {"type": "tool_calls", "tool_calls": []}, now)
    return Folded(replace(draft, calls_step=step), _begun("thread.run.step", step), [step])


def _begun(noun: str, begun: Message | RunStep) -> list[Event]:
    return alike((f"{noun}.created", f"{noun}.in_progress"), begun)


def _end_message(draft: Draft, now: float, used: Usage, cut: IncompleteReason | None = None) -> Folded:
    """Close the message and its step. The parts stay in the draft no longer."""
    last = _put_out(draft, *draft.reader.end())
    draft = last.draft
    written, step = draft.written(), draft.message_step
    assert written is not None
    assert step is not None
    message, told = complete_message(written, now) if cut is None else cut_message(written, cut, now)
    ended, step_told = end_step(step, "completed", now, used=used)
    fresh = Reader(draft.reader.marks)
    closed = replace(draft, message=None, message_step=None, images=(), reader=fresh, annotations=(), refusal="")
    return last.then(Folded(closed, [told, step_told], (), [message, ended]))


_CUTS: dict[FinishReason, IncompleteReason] = {"length": "max_tokens", "content_filter": "content_filter"}


def _finish(draft: Draft, now: float) -> Folded:
    """The answer is whole: its message ends here, its calls are left to whoever runs the tools."""
    begun = _finish_calls(draft) if draft.calls_step and draft.reason not in _CUTS else Folded(draft)
    if draft.message is None and (draft.calls_step or not draft.images):
        return begun
    if draft.message is None:
        begun = begun.then(_begin_message(begun.draft, now))
    used = usage() if draft.calls_step else draft.used or usage()
    return begun.then(_end_message(begun.draft, now, used, _CUTS.get(draft.reason or "stop")))


def with_calls(step: RunStep, calls: Sequence[ToolCall]) -> RunStep:
    """The tool step with these calls in it."""
    return step.model_copy(update={"step_details": {"type": "tool_calls", "tool_calls": list(calls)}})


def _new_message(run: RunRecord, now: float) -> Message:
    return Message(
        id=new_id("message"),
        created_at=int(now),
        assistant_id=run.assistant_id,
        thread_id=run.thread_id,
        run_id=run.id,
        status="in_progress",
        incomplete_details=None,
        incomplete_at=None,
        completed_at=None,
        role="assistant",
        content=[],
        attachments=[],
        metadata={},
    )


def _new_step(run: RunRecord, details: StepDetails, now: float) -> RunStep:
    return RunStep(
        id=new_id("step"),
        created_at=int(now),
        run_id=run.id,
        assistant_id=run.assistant_id,
        thread_id=run.thread_id,
        type=details["type"],
        status="in_progress",
        cancelled_at=None,
        completed_at=None,
        expires_at=run.expires_at,
        expired_at=None,
        failed_at=None,
        last_error=None,
        step_details=details,
        usage=None,
        metadata={},
    )
