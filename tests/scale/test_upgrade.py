"""A new version takes the place of an old one while clients go on: first the schema, then process by process."""

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import psycopg
import pytest
from tests.harness.replies import Reply
from tests.harness.scaled import Cluster
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL

CLIENTS = 4
WORDS = " ".join(f"w{number}" for number in range(20))


class Balancer(httpx2.BaseTransport):
    """What stands before servers: takes them in turn, and passes over those that take no connection."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._urls = itertools.cycle([httpx2.URL(server.url) for server in servers])
        self._count = len(servers)
        self._turn = threading.Lock()
        self._transport = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        for _ in range(self._count - 1):
            try:
                return self._transport.handle_request(self._sent_to_next(request))
            except httpx2.ConnectError:
                continue
        return self._transport.handle_request(self._sent_to_next(request))

    def close(self) -> None:
        self._transport.close()

    def _sent_to_next(self, request: httpx2.Request) -> httpx2.Request:
        with self._turn:
            url = next(self._urls)
        request.url = request.url.copy_with(host=url.host, port=url.port)
        return request


@pytest.fixture
def client(cluster: Cluster) -> Iterator[openai.OpenAI]:
    for _ in range(2):
        cluster.server()
    for _ in range(2):
        cluster.worker()
    transport = httpx2.Client(transport=Balancer(cluster.processes[:2]), timeout=60)
    with openai.OpenAI(api_key="sk-test", base_url=cluster.processes[0].url + "/v1", http_client=transport) as client:
        yield client


def talk(client: openai.OpenAI, assistant_id: str, ends: threading.Event) -> Counter[str]:
    """Run after run on one thread until told to end, with the SDK's own retries; return how the runs ended."""
    thread = client.beta.threads.create()
    ended: Counter[str] = Counter()
    while not ends.is_set():
        client.beta.threads.messages.create(thread.id, role="user", content="부산의 날씨는?")
        run = client.beta.threads.runs.create_and_poll(thread_id=thread.id, assistant_id=assistant_id)
        ended[run.status] += 1
    said = [message.role for message in client.beta.threads.messages.list(thread.id, limit=100, order="asc")]
    assert said == ["user", "assistant"] * ended["completed"]
    return ended


@pytest.mark.timeout(300)
def test_processes_are_replaced_one_by_one(cluster: Cluster, client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.brain = lambda _: Reply(WORDS, delay_s=0.01)
    assistant = client.beta.assistants.create(model="any")
    ends = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as threads:
        talks: list[Future[Counter[str]]] = [threads.submit(talk, client, assistant.id, ends) for _ in range(CLIENTS)]
        try:
            for process in cluster.processes:
                assert process.stop() == 0
                process.start()
        finally:
            ends.set()
        ended = sum((one.result() for one in talks), Counter[str]())
    assert set(ended) == {"completed"}
    assert ended.total() > 4 * CLIENTS


def test_a_newer_schema_stops_nobody_who_runs(cluster: Cluster, upstream: Upstream) -> None:
    server = cluster.server()
    cluster.worker()
    with psycopg.connect(cluster.database, autocommit=True) as database:
        database.execute("ALTER TABLE runs ADD COLUMN of_a_later_version TEXT")
        database.execute("CREATE TABLE of_a_later_version (id TEXT PRIMARY KEY)")
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    wire = server.wire()
    run: dict[str, Any] = wire.run(wire.assistant(), wire.thread("hello"))
    assert wire.until(run, FINAL)["status"] == "completed"
    with pytest.raises(AssertionError, match="9999"):
        cluster.server()
