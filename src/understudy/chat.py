"""`understudy chat`: a conversation in the terminal, over the HTTP API and nothing else.

Text streams in; calls of tools are shown, and functions are answered by typing what they return.
"""

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from understudy.errors import UnderstudyError

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.beta import Assistant
    from openai.types.beta.threads import Run

ANY_KEY = "any"  # a server without keys takes every value
PROMPT, ANSWER = "> ", "  = "
HELP = "Type a message; /new begins a new thread, /quit or Ctrl+D ends, Ctrl+C stops a run."
_DIM, _PLAIN = "\033[2m", "\033[0m"
_MOST = 100
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tabs and ends of lines


class ChatFailed(UnderstudyError):
    """The conversation cannot begin or go on."""


def run(url: str, key: str | None, wanted: str | None) -> None:
    """Talk until the user ends it. `wanted` is an assistant's id or name. Raises ChatFailed."""
    from openai import APIConnectionError, APIError, OpenAI

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK says of the Assistants API what we exist for
        with OpenAI(base_url=url, api_key=key or ANY_KEY) as client:
            try:
                assistant = choose(client, wanted)
                Chat(client, assistant).talk()
            except APIConnectionError:
                raise ChatFailed(f"no server answers at {url}; start one, or give its --url") from None
            except APIError as problem:
                raise ChatFailed(problem.message) from None


def choose(client: "OpenAI", wanted: str | None) -> "Assistant":
    """Find the assistant: by id, by name, or, with nothing wanted, the newest. Raises ChatFailed, APIError."""
    found: Assistant | None = None
    names: list[str] = []
    for one in client.beta.assistants.list(limit=_MOST):
        found = found or (one if wanted in (None, one.id, one.name) else None)
        names.append(one.name or one.id)
    if found is not None:
        return found
    if not names:
        raise ChatFailed("there is no assistant yet; make one in the playground, or with the API")
    raise ChatFailed(f"there is no assistant {wanted!r}; there are {', '.join(names[:20])}")


class Chat:
    """One conversation after another with one assistant."""

    def __init__(self, client: "OpenAI", assistant: "Assistant") -> None:
        self._client = client
        self._assistant = assistant
        self._thread_id: str | None = None
        self._run: Run | None = None

    def talk(self) -> None:
        """Read messages and answer them, until their end."""
        note(f"{self._assistant.name or self._assistant.id} ({self._assistant.model}). {HELP}")
        while (text := read(PROMPT)) is not None and text.strip() != "/quit":
            if text.strip() == "/new":
                self._thread_id = None
                note("A new thread.")
            elif text.strip():
                self._say(text)

    def _say(self, text: str) -> None:
        from openai import APIConnectionError, APIError

        threads = self._client.beta.threads
        self._run = None
        try:
            if self._thread_id is None:
                self._thread_id = threads.create().id
                note(f"Thread {self._thread_id}")
            threads.messages.create(self._thread_id, role="user", content=text)
            self._follow(threads.runs.create(self._thread_id, assistant_id=self._assistant.id, stream=True))
            self._answer_calls()
        except KeyboardInterrupt:
            self._stop()
        except APIConnectionError:
            note("\nThe connection broke off; what the assistant says meanwhile is in the thread.")
        except APIError as problem:
            note(f"The server refused this: {problem.message}")

    def _answer_calls(self) -> None:
        """Ask for the outputs of functions for as long as the run waits for some."""
        while self._run is not None and self._run.status == "requires_action":
            assert self._run.required_action is not None
            calls = self._run.required_action.submit_tool_outputs.tool_calls
            note("Type what the functions return.")
            outputs = [{"tool_call_id": call.id, "output": self._output_of(call.function)} for call in calls]
            stream = self._client.beta.threads.runs.submit_tool_outputs(
                self._run.id,
                thread_id=self._run.thread_id,
                tool_outputs=outputs,  # type: ignore[arg-type]  # plain dictionaries, as the API takes them
                stream=True,
            )
            self._follow(stream)

    def _output_of(self, function: Any) -> str:
        print(printable(f"{function.name}({function.arguments})"))
        output = read(ANSWER)
        if output is None:
            raise KeyboardInterrupt
        return output

    def _follow(self, stream: Any) -> None:
        """Show a run's events as they come."""
        shown = Shown()
        with stream:
            for event in stream:
                if event.event == "error":
                    raise ChatFailed(f"the stream brought an error: {getattr(event.data, 'message', event.data)}")
                if event.event.startswith("thread.run.") and not event.event.startswith("thread.run.step."):
                    self._run = event.data
                shown.event(event.event, event.data)
        shown.end()
        if self._run is not None:
            _tell_end(self._run)

    def _stop(self) -> None:
        """Call off what Ctrl+C interrupted, and wait until it is: an active run takes no further message."""
        print()
        if self._run is None:
            return
        with contextlib.suppress(Exception):  # it may have ended by itself meanwhile
            runs = self._client.beta.threads.runs
            runs.cancel(self._run.id, thread_id=self._run.thread_id)
            runs.poll(self._run.id, thread_id=self._run.thread_id, poll_interval_ms=100)
        note("Stopped.")


class Shown:
    """What stands on the screen: text as it grows, calls of tools once they are whole."""

    def __init__(self) -> None:
        self._open = False

    def event(self, name: str, thing: Any) -> None:
        """Show one event, if there is anything to see in it."""
        if name == "thread.message.delta":
            for part in thing.delta.content or []:
                self._text(part)
        elif name in ("thread.message.completed", "thread.message.incomplete"):
            self.end()
        elif name == "thread.run.step.completed":
            self.end()
            for line in _called(getattr(thing.step_details, "tool_calls", None) or []):
                note(line)

    def _text(self, part: Any) -> None:
        text = part.text.value or "" if part.type == "text" else f"[{part.type}]"
        self._open = self._open or bool(text)
        print(printable(text), end="", flush=True)

    def end(self) -> None:
        """End the line, if one is open."""
        if self._open:
            print()
        self._open = False


def _called(calls: Sequence[Any]) -> Iterator[str]:
    for call in calls:
        if call.type == "code_interpreter":
            yield f"[code]\n{call.code_interpreter.input}"
            yield from (one.logs if one.type == "logs" else "[image]" for one in call.code_interpreter.outputs)
        elif call.type == "file_search":
            found = call.file_search.results or []
            yield "[file search] " + (", ".join(f"{one.file_name} {one.score:.2f}" for one in found) or "done")
        else:
            yield f"[{call.function.name}] = {call.function.output}"


def _tell_end(run: "Run") -> None:
    if run.status in ("failed", "expired", "incomplete", "cancelled"):
        why = run.last_error.message if run.last_error else ""
        reason = run.incomplete_details.reason if run.incomplete_details else ""
        note(f"The run ended as {run.status}. {why or reason or ''}".rstrip())


def printable(text: str) -> str:
    """Return a text without what a terminal would obey: a model may say what a hostile document wants."""
    return _CONTROLS.sub("\ufffd", text)


def read(prompt: str) -> str | None:
    """Read a line; None at the end of what there is to read, and at Ctrl+C."""
    try:
        return input(prompt if sys.stdin.isatty() else "")
    except (EOFError, KeyboardInterrupt):
        print()
        return None


def note(text: str) -> None:
    """Say something that is not the assistant's."""
    text = printable(text)
    print(f"{_DIM}{text}{_PLAIN}" if sys.stdout.isatty() else text, flush=True)
