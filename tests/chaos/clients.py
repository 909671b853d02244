"""Clients with the official SDK that keep a cluster busy, and the ledger of what was acknowledged to them.

Whatever a client sends has a text of its own, so that nothing can pass for something else. An answer that did not come
leaves open whether the request was carried out: the ledger says `maybe`.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import openai
from openai.types.beta.threads import Run
from tests.harness.replies import Answer, Body, Call, Reply, last_user_text

_TOKEN_S = 0.02
_PATIENCE_S = 20.0
_BREATH_S = 0.3
_WAIT_S = 60.0
KINDS = ("stream", "poll", "call", "cancel")
FINAL = frozenset({"completed", "failed", "cancelled", "expired", "incomplete"})


def answer_to(question: str) -> str:
    return f"The answer to {question} has some ten words in it."


def brain(body: Body) -> Answer:
    """Call where there is a tool and no output yet; else answer, slowly, with what the tool said."""
    messages = body["messages"]
    question = last_user_text(messages)
    if not body.get("tools"):
        return Reply(answer_to(question), delay_s=_TOKEN_S)
    if messages[-1]["role"] != "tool":
        return Reply(calls=[Call("weather", '{"city": "부산"}')], delay_s=_TOKEN_S)
    return Reply(f"{answer_to(question)} It says {messages[-1]['content']}", delay_s=_TOKEN_S)


@dataclass
class Talk:
    """One thread, one question, one run: what its client knows of it."""

    name: str
    kind: str
    thread: str = ""
    asked: bool = False
    maybe_asked: bool = False
    run: str = ""
    maybe_run: bool = False
    submitted: list[str] = field(default_factory=list)
    acknowledged: str = ""
    cancelled: bool = False
    maybe_cancelled: bool = False
    ended_as: str = ""
    streams: list[list[tuple[str, Any]]] = field(default_factory=list)
    """Each stream that came to its `done`: names and data of its events."""


class Clients:
    """Many clients, each on a server of its own choice; one whose server fails it goes on at another."""

    def __init__(self, urls: Sequence[str], count: int, seed: int, max_retries: int) -> None:
        self._urls = list(urls)
        self._max_retries = max_retries
        self._stopping = threading.Event()
        self._assistants: dict[bool, str] = {}
        self.talks: list[Talk] = []
        self.failures = 0
        self.surprises: list[str] = []
        self._threads = [
            threading.Thread(target=self._live, args=(number, random.Random(seed * 1000 + number)), daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        client = self._client(self._urls[0])
        tool: Any = {"type": "function", "function": {"name": "weather"}}
        for with_tool in (False, True):
            made = client.beta.assistants.create(model="gpt-4o", tools=[tool] if with_tool else [])
            self._assistants[with_tool] = made.id
        client.close()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(_WAIT_S * 2)
            assert not thread.is_alive(), "a client hangs"

    def _client(self, url: str) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=url + "/v1", api_key="sk-test", max_retries=self._max_retries, timeout=_PATIENCE_S
        )

    def _live(self, number: int, dice: random.Random) -> None:
        count = 0
        while not self._stopping.is_set():
            talk = Talk(f"q{number}x{count}", dice.choice(KINDS))
            count += 1
            self.talks.append(talk)
            with self._client(dice.choice(self._urls)) as client:
                try:
                    self._talk(client, talk, dice)
                except openai.APIError:
                    self.failures += 1
                    time.sleep(_BREATH_S)
                except Exception as surprise:
                    self.surprises.append(f"{talk.name}: {surprise!r}")

    def _talk(self, client: openai.OpenAI, talk: Talk, dice: random.Random) -> None:
        # equal requests of several clients, sent again, cannot be told apart (ADR 0007): these are not equal
        talk.thread = client.beta.threads.create(metadata={"talk": talk.name}).id
        talk.maybe_asked = True
        client.beta.threads.messages.create(talk.thread, role="user", content=talk.name)
        talk.asked = talk.maybe_run = True
        acts: dict[str, Callable[[openai.OpenAI, Talk, random.Random], None]] = {
            "stream": self._stream,
            "poll": self._poll,
            "call": self._call,
            "cancel": self._cancel,
        }
        acts[talk.kind](client, talk, dice)

    def _stream(self, client: openai.OpenAI, talk: Talk, _: random.Random) -> None:
        events = client.beta.threads.runs.create(talk.thread, assistant_id=self._assistants[False], stream=True)
        self._read(talk, events)

    def _read(self, talk: Talk, events: Any) -> None:
        told: list[tuple[str, Any]] = []
        for event in events:
            told.append((event.event, event.data))
            if event.event == "thread.run.created":
                talk.run = event.data.id
            if event.event.startswith("thread.run.") and getattr(event.data, "status", "") in FINAL:
                talk.ended_as = event.data.status if event.data.object == "thread.run" else talk.ended_as
        talk.streams.append(told)

    def _begin(self, client: openai.OpenAI, talk: Talk) -> Run:
        run = client.beta.threads.runs.create(talk.thread, assistant_id=self._assistants[talk.kind == "call"])
        talk.run = run.id
        return run

    def _poll(self, client: openai.OpenAI, talk: Talk, _: random.Random) -> None:
        run = self._until_rest(client, talk, self._begin(client, talk))
        talk.ended_as = run.status

    def _until_rest(self, client: openai.OpenAI, talk: Talk, run: Run) -> Run:
        deadline = time.monotonic() + _WAIT_S
        while run.status not in FINAL | {"requires_action"} and time.monotonic() < deadline:
            time.sleep(0.1)
            run = client.beta.threads.runs.retrieve(run.id, thread_id=talk.thread)
        return run

    def _call(self, client: openai.OpenAI, talk: Talk, dice: random.Random) -> None:
        run = self._until_rest(client, talk, self._begin(client, talk))
        if run.status != "requires_action" or run.required_action is None:
            talk.ended_as = run.status if run.status in FINAL else ""
            return
        output = f"out{len(talk.submitted)}of{talk.name}"
        calls = run.required_action.submit_tool_outputs.tool_calls
        outputs: Any = [{"tool_call_id": call.id, "output": output} for call in calls]
        talk.submitted.append(output)
        if dice.random() < 0.5:
            events = client.beta.threads.runs.submit_tool_outputs(
                run.id, thread_id=talk.thread, tool_outputs=outputs, stream=True
            )
            talk.acknowledged = output
            self._read(talk, events)
            return
        client.beta.threads.runs.submit_tool_outputs(run.id, thread_id=talk.thread, tool_outputs=outputs)
        talk.acknowledged = output
        talk.ended_as = self._until_rest(client, talk, run).status

    def _cancel(self, client: openai.OpenAI, talk: Talk, dice: random.Random) -> None:
        run = self._begin(client, talk)
        time.sleep(dice.uniform(0, 0.4))
        talk.maybe_cancelled = True
        try:
            client.beta.threads.runs.cancel(run.id, thread_id=talk.thread)
        except openai.BadRequestError:  # it had ended already
            return
        talk.cancelled = True
        talk.ended_as = self._until_rest(client, talk, run).status
