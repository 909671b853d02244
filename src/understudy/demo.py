"""`understudy demo`: a server, a model, the official SDK against it, and a weather assistant in three languages.

Raises DemoFailed unless, in each language, both functions were called, the run completed, and an answer and its
usage came. Everything it makes lies in a temporary folder; only the embedded model stays, in the cache folder.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from understudy import model_download
from understudy.config import PREFIX, Settings
from understudy.errors import UnderstudyError

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.beta.threads import Run

LISTENING = "Understudy is listening on "
MODEL = "gpt-4o"  # as code in the wild says; the server's routes decide what it means
_READY_S = 120.0
_STOP_S = 15.0
_MAX_ROUNDS = 4  # of tool calls in one run
_OUTPUTS = {"get_current_temperature": "57", "get_rain_probability": "0.06"}


class DemoFailed(UnderstudyError):
    """The demo did not see what it exists to show."""


@dataclass(frozen=True, slots=True)
class Question:
    """What one user asks, in one language."""

    language: str
    instructions: str
    text: str


QUESTIONS = (
    Question(
        "English",
        "You are a weather bot. Use the provided functions to answer questions.",
        "What's the weather in San Francisco today and the likelihood it'll rain?",
    ),
    Question(
        "한국어",
        "당신은 날씨 봇입니다. 제공된 function을 사용하여 질문에 답하세요.",
        "오늘 부산의 날씨는 어때요? 비가 올 확률은 어때요?",
    ),
    Question(
        "中文",
        "你是一个天气机器人。请使用提供的函数来回答问题。",
        "今天上海的天气怎么样?下雨的概率是多少?",
    ),
)


def _function(name: str, description: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


_PLACE = {"type": "string", "description": "The city and state, e.g., San Francisco, CA"}
_UNIT = {
    "type": "string",
    "enum": ["Celsius", "Fahrenheit"],
    "description": "The temperature unit to use. Infer this from the user's location.",
}
TOOLS = [
    _function(
        "get_current_temperature",
        "Get the current temperature for a specific location",
        {"location": _PLACE, "unit": _UNIT},
    ),
    _function("get_rain_probability", "Get the probability of rain for a specific location", {"location": _PLACE}),
]


def run(settings: Settings, flags: Mapping[str, object]) -> None:
    """Show everything. `flags` are those of the command line, for the server to have them too."""
    if model_download.is_wanted(settings):
        _say(f"Model: the embedded one, at {model_download.fetch(settings)}")
    else:
        _say("Model: as configured")
    key = settings.api_key.get_secret_value() if settings.api_key else "demo"
    with (
        tempfile.TemporaryDirectory(prefix="understudy-demo-", ignore_cleanup_errors=True) as folder,
        _server(Path(folder), flags) as url,
    ):
        _say(f"Server: {url}, with its data in {folder}")
        for question in QUESTIONS:
            _ask(url, key, _model_name(settings), question)
    _say("\nAll three were answered. Your own code does the same with base_url set to your server's address + /v1.")


def _model_name(settings: Settings) -> str:
    """Return a name that leads to a model: the usual one, unless the routes leave it out."""
    if not settings.models or MODEL in settings.models or settings.default_upstream or settings.model_url:
        return MODEL
    return next(iter(settings.models))


# --- the server ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _server(folder: Path, flags: Mapping[str, object]) -> Iterator[str]:
    """Run `understudy serve` in a process of its own, and yield its address once it is ready."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "understudy", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), "--database-url", f"sqlite:///{folder / 'data' / 'demo.sqlite3'}"]
    with log.open("w") as stderr:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=_environment(flags), stdout=subprocess.PIPE, stderr=stderr, text=True
        )
    try:
        yield _ready(process)
    except Exception:
        _say("\nThe server's log ends with:\n" + "\n".join(log.read_text(errors="replace").splitlines()[-15:]))
        raise
    finally:
        _stop(process)


def _environment(flags: Mapping[str, object]) -> dict[str, str]:
    """Return our environment with the command line's settings in it: a key is not for another command line."""
    return {**os.environ, **{f"{PREFIX}{name.upper()}": str(flag) for name, flag in flags.items() if flag is not None}}


def _ready(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line.startswith(LISTENING):
        raise DemoFailed("the server ended before it listened")
    url = line.removeprefix(LISTENING).strip()
    deadline = time.monotonic() + _READY_S
    health: Mapping[str, Any] = {}
    while time.monotonic() < deadline and process.poll() is None:
        health = _health(url)
        if health.get("status") == "ok":
            return url
        time.sleep(0.2)
    raise DemoFailed(f"the server did not become ready; /health said {json.dumps(health)}")


def _health(url: str) -> Mapping[str, Any]:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{url}/health", timeout=10) as answer:
            found: Mapping[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as refusal:
        with refusal:
            return {"status": f"HTTP {refusal.code}"}
    except OSError as problem:
        return {"status": str(problem)}


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


# --- the conversation ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Seen:
    """What came out of one run."""

    called: list[str] = field(default_factory=list)
    answer: str = ""
    run: "Run | None" = None


def _ask(url: str, key: str, model: str, question: Question) -> None:
    from openai import DefaultHttpxClient, OpenAI

    _say(f"\n=== {question.language} ===\n{question.text}")
    begun = time.monotonic()
    with warnings.catch_warnings(), DefaultHttpxClient(trust_env=False) as direct:
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK says of the Assistants API what we exist for
        client = OpenAI(base_url=f"{url}/v1", api_key=key, http_client=direct, timeout=600, max_retries=0)
        try:
            seen = _converse(client, model, question)
        except DemoFailed as problem:
            raise DemoFailed(f"{question.language}: {problem}") from None
        except Exception as problem:  # the SDK lets its transport's and its decoder's errors through
            raise DemoFailed(f"{question.language}: {type(problem).__name__}: {problem}") from problem
    _check(question.language, seen)
    assert seen.run is not None
    assert seen.run.usage is not None
    usage = seen.run.usage
    _say(
        f"  usage: {usage.prompt_tokens} prompt + {usage.completion_tokens} completion = {usage.total_tokens} tokens"
        f", {time.monotonic() - begun:.1f} s"
    )


def _converse(client: "OpenAI", model: str, question: Question) -> _Seen:
    runs, seen = client.beta.threads.runs, _Seen()
    assistant = client.beta.assistants.create(
        model=model,
        name="Weather",
        instructions=question.instructions,
        tools=TOOLS,  # type: ignore[arg-type]  # plain dictionaries, as most users write them
        temperature=0,
    )
    thread = client.beta.threads.create(messages=[{"role": "user", "content": question.text}])
    with runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
        _watch(stream, seen)
    for _ in range(_MAX_ROUNDS):
        if seen.run is None or seen.run.status != "requires_action":
            break
        outputs = _work(seen)
        with runs.submit_tool_outputs_stream(
            thread_id=thread.id,
            run_id=seen.run.id,
            tool_outputs=outputs,  # type: ignore[arg-type]  # same
        ) as stream:
            _watch(stream, seen)
    return seen


def _work(seen: _Seen) -> list[dict[str, str]]:
    """Do what the model asks for: look the functions' outputs up."""
    assert seen.run is not None
    assert seen.run.required_action is not None
    outputs = []
    for call in seen.run.required_action.submit_tool_outputs.tool_calls:
        output = _OUTPUTS.get(call.function.name, "no such function")
        seen.called.append(call.function.name)
        outputs.append({"tool_call_id": call.id, "output": output})
        _say(f"  > {call.function.name}({call.function.arguments}) = {output}")
    return outputs


def _watch(stream: Any, seen: _Seen) -> None:
    """Print each event's name; deltas of one kind are counted on one line, text is shown as it comes."""
    printer = _Printer()
    for event in stream:
        name, thing = event.event, event.data
        if name == "error":
            raise DemoFailed(f"the stream brought an error: {getattr(thing, 'message', thing)}")
        if name == "thread.message.delta":
            text = "".join(part.text.value or "" for part in thing.delta.content or [] if part.type == "text")
            seen.answer += text
            printer.text(text)
        elif name.endswith(".delta"):
            printer.delta(name)
        else:
            printer.event(name)
            if name == "thread.message.created":
                seen.answer = ""
            if name.startswith("thread.run.") and not name.startswith("thread.run.step."):
                seen.run = thing
    printer.event("done")


class _Printer:
    """Lines of event names, with runs of deltas folded."""

    def __init__(self) -> None:
        self._open = ""  # what kind of line has no end yet
        self._count = 0

    def event(self, name: str) -> None:
        self._end()
        _say(f"  {name}")

    def delta(self, name: str) -> None:
        if self._open != name:
            self._end()
            self._open = name
        self._count += 1

    def text(self, text: str) -> None:
        if self._open != "text":
            self._end()
            self._open = "text"
            print("  thread.message.delta: ", end="")
        print(text.replace("\n", "\n    "), end="", flush=True)

    def _end(self) -> None:
        if self._open == "text":
            print()
        elif self._open:
            _say(f"  {self._open} x{self._count}")
        self._open, self._count = "", 0


def _check(language: str, seen: _Seen) -> None:
    """Raise unless everything happened."""
    if seen.run is None:
        raise DemoFailed(f"{language}: no run was seen")
    if seen.run.status != "completed":
        why = f": {seen.run.last_error.message}" if seen.run.last_error else ""
        raise DemoFailed(f"{language}: the run ended as {seen.run.status}{why}")
    if missing := sorted(set(_OUTPUTS) - set(seen.called)):
        raise DemoFailed(f"{language}: the model did not call {' and '.join(missing)}")
    if not seen.answer.strip():
        raise DemoFailed(f"{language}: the answer is empty")
    if not seen.run.usage or min(seen.run.usage.prompt_tokens, seen.run.usage.completion_tokens) <= 0:
        raise DemoFailed(f"{language}: the run tells no usage")


def _say(text: str) -> None:
    print(text, flush=True)
