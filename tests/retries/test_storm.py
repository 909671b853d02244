"""A retry storm: connections break after the server has committed and before the answer is out, or before it came.

The clients are the official SDK's, with the retries it comes with; nothing of it is changed.
"""

import itertools
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import openai
import pytest
from openai.types.beta.threads import Run
from tests.harness.proxy import Fate, Head, Proxy
from tests.harness.server import Server
from tests.harness.wire import Wire, function_tool

CLIENTS = 10
SEED = 20261121
TOOLS = [function_tool("weather")]


class Storm:
    """Loses the first one or two tries of most POSTs; from the third on everything gets through."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, head: Head) -> Fate:
        if head.method != "POST" or head.retry > 1:
            return "pass"
        with self._lock:
            chance = self._dice.random()
        if chance < (0.6 if head.retry == 0 else 0.3):
            return "lose answer"
        return "lose request" if chance > 0.9 else "pass"


@pytest.fixture
def make_proxy(server: Server) -> Iterator[Callable[[Callable[[Head], Fate]], Proxy]]:
    made: list[Proxy] = []

    def make(fate: Callable[[Head], Fate]) -> Proxy:
        made.append(Proxy(server.url, fate))
        return made[-1]

    yield make
    for proxy in made:
        proxy.close()


def sdk(proxy: Proxy) -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.url + "/v1", api_key="sk-storm", max_retries=4, timeout=20.0)


def count(server: Server, table: str, where: str = "1") -> int:
    path = server.data_dir / "understudy.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table} WHERE {where}").fetchone()[0])


def whole_talk(client: openai.OpenAI, name: str) -> tuple[str, list[str], list[str]]:
    """Use every kind of POST; return the assistant, the threads and the runs that the client knows of."""
    beta = client.beta
    assistant = beta.assistants.create(model="gpt-4o", name=name, tools=TOOLS)
    thread = beta.threads.create(messages=[{"role": "user", "content": name}], metadata={"name": name})
    beta.threads.messages.create(thread.id, role="user", content=f"{name} again")
    run = beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant.id)
    run = answered(client, run)
    streamed = streaming(client, thread.id, assistant.id)
    question = {"messages": [{"role": "user", "content": name}]}
    third = beta.threads.create_and_run_poll(assistant_id=assistant.id, thread=question, tools=[])
    with beta.threads.create_and_run_stream(assistant_id=assistant.id, thread=question, tools=[]) as stream:
        assert "".join(stream.text_deltas) == f"You said: {name}"
        fourth = stream.get_final_run()
    assert (third.status, fourth.status) == ("completed", "completed")
    return assistant.id, [thread.id, third.thread_id, fourth.thread_id], [run.id, streamed.id, third.id, fourth.id]


def outputs(run: Run) -> list[dict[str, str]]:
    assert run.required_action, run.status
    return [{"tool_call_id": call.id, "output": "57"} for call in run.required_action.submit_tool_outputs.tool_calls]


def answered(client: openai.OpenAI, run: Run) -> Run:
    threads = client.beta.threads
    done = threads.runs.submit_tool_outputs_and_poll(run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs(run))
    assert done.status == "completed"
    return done


def streaming(client: openai.OpenAI, thread_id: str, assistant_id: str) -> Run:
    client.beta.threads.messages.create(thread_id, role="user", content="and now?")
    with client.beta.threads.runs.stream(thread_id=thread_id, assistant_id=assistant_id) as stream:
        stream.until_done()
        run = stream.get_final_run()
    with client.beta.threads.runs.submit_tool_outputs_stream(
        run_id=run.id, thread_id=thread_id, tool_outputs=outputs(run)
    ) as stream:
        assert "".join(stream.text_deltas) == "The tools said: 57"
        done = stream.get_final_run()
    assert done.status == "completed"
    return done


@pytest.mark.usefixtures("upstream")
def test_no_duplicate_and_nothing_lost(make_server: Callable[..., Server]) -> None:
    server = make_server()
    proxy = Proxy(server.url, Storm(SEED))
    clients = [sdk(proxy) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        talks = list(pool.map(whole_talk, clients, [f"client {number}" for number in range(CLIENTS)]))
    for client in clients:
        client.close()
    proxy.close()
    fates = Counter(fate for fate, _ in proxy.lost)
    assert fates["lose answer"] > CLIENTS * 3
    assert fates["lose request"] > CLIENTS / 2
    for position in range(3):
        known = [talk[position] for talk in talks]
        flat = list(itertools.chain(*([one] if isinstance(one, str) else one for one in known)))
        assert len(set(flat)) == len(flat), "two clients were given the same object"
        table = ("assistants", "threads", "runs")[position]
        assert count(server, table) == len(flat), f"{table} that nobody knows of"
    assert count(server, "runs", "status != 'completed'") == 0
    assert count(server, "steps", "status != 'completed'") == 0
    wire = Wire(server.url)
    for number, (_, threads, _) in enumerate(talks):
        name, said = f"client {number}", "The tools said: 57"
        assert wire.texts(threads[0]) == [name, f"{name} again", said, "and now?", said]
        assert [wire.texts(thread) for thread in threads[1:]] == [[name, f"You said: {name}"]] * 2
    wire.close()


def test_equal_requests_that_all_break_off_make_one_object_each(
    server: Server, make_proxy: Callable[..., Proxy]
) -> None:
    proxy = make_proxy(lambda head: "pass" if head.retry else "lose answer")
    before = count(server, "threads")
    clients = [sdk(proxy) for _ in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        made = list(pool.map(lambda client: client.beta.threads.create().id, clients))
    for client in clients:
        client.close()
    assert len(proxy.lost) == CLIENTS
    assert len(set(made)) == CLIENTS
    assert count(server, "threads") - before == CLIENTS
