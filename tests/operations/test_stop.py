"""SIGTERM: streams end in order, runs are handed back, and the process is gone in ten seconds whatever hangs."""

import json
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Gate, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Event, Json, Stream, Wire, names, run_path, text_of

LONGEST_S = 10
CLIENTS = 8
KEY = {"authorization": "Bearer sk-any"}
ANSWER = "The whole answer."


@pytest.fixture
def server(make_server: MakeServer) -> Server:
    return make_server()


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server.url)
    yield wire
    wire.close()


def stop(server: Server) -> float:
    """Stop, insist on a good end, return how long it took."""
    began = time.monotonic()
    assert server.stop() == 0
    took = time.monotonic() - began
    assert took < LONGEST_S
    assert "Traceback" not in server.stderr, server.stderr
    return took


def streaming(wire: Wire, **fields: str) -> Json:
    return {"assistant_id": wire.assistant()["id"], "stream": True} | fields


def test_an_idle_server_is_gone_at_once(server: Server) -> None:
    assert stop(server) < 2


@pytest.mark.parametrize("had_answers", [True, False], ids=["idle connections", "new connections"])
def test_what_was_sent_before_the_end_is_answered(server: Server, had_answers: bool) -> None:
    clients = [httpx2.Client(base_url=f"{server.url}/v1", headers=KEY, timeout=30) for _ in range(CLIENTS)]
    if had_answers:
        assert {client.get("/threads").status_code for client in clients} == {200}
    server.signal(signal.SIGSTOP)
    with ThreadPoolExecutor(CLIENTS) as threads:
        sent = [threads.submit(client.post, "/threads", json={}) for client in clients]
        time.sleep(0.5)  # the system takes connections and bytes for who hangs
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        answers = [one.result() for one in sent]
    assert {(each.status_code, each.headers["connection"]) for each in answers} == {(200, "close")}
    assert stop(server) < 2
    for client in clients:
        client.close()


def test_who_says_nothing_at_all_holds_nothing_up(
    make_server: MakeServer, certificate: tuple[Path, Path], upstream: Upstream
) -> None:
    """With TLS there is a handshake to be waited for."""
    cert, key = certificate
    server = make_server(UNDERSTUDY_TLS_CERT=str(cert), UNDERSTUDY_TLS_KEY=str(key))
    server.signal(signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))):
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        assert stop(server) < 4


def test_who_says_nothing_more_is_soon_let_go(server: Server, wire: Wire) -> None:
    assert wire.get("/threads").status_code == 200
    assert stop(server) < 3


def test_a_stream_that_ends_within_the_grace_ends_whole(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("one two three four five six seven eight", delay_s=0.2))
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", streaming(wire)) as stream:
        stream.until("thread.message.delta")
        server.signal(signal.SIGTERM)
        assert names(stream)[-2:] == ["thread.run.completed", "done"]
    assert stop(server) < 5


def test_a_stream_that_outlasts_the_grace_is_told_and_goes_on_after_the_restart(
    server: Server, wire: Wire, upstream: Upstream
) -> None:
    upstream.script(Reply("half an", pause=Gate()), Reply(ANSWER))
    with wire.open_stream("POST", f"/threads/{wire.thread('q')['id']}/runs", streaming(wire)) as stream:
        run = stream.until("thread.run.created").data
        position = stream.until("thread.message.delta").id
        server.signal(signal.SIGTERM)
        last = list(stream)[-1]
    assert last.name == "error"
    assert last.data["error"]["message"].startswith("The server is stopping.")
    stop(server)
    server.start()
    told = wire.follow(run, position)
    assert [text_of(event.data) for event in told if event.name == "thread.message.completed"] == [ANSWER]
    assert names(told)[-2:] == ["thread.run.completed", "done"]


def test_a_run_may_be_handed_back_more_often_than_it_may_be_tried(
    server: Server, wire: Wire, upstream: Upstream
) -> None:
    upstream.script(*[Reply("half an", pause=Gate()) for _ in range(4)], Reply(ANSWER))
    run = wire.run(wire.assistant(), wire.thread("q"))
    for number in range(4):
        upstream.wait_for_request(number + 1)
        stop(server)
        server.start()
    assert wire.until(run)["status"] == "completed"
    assert wire.texts(run["thread_id"]) == ["q", ANSWER]


def test_a_held_poll_is_answered_with_the_run_as_it_is(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("half an", pause=Gate()))
    run = wire.run(wire.assistant(), wire.thread("q"))
    upstream.wait_for_request()
    answers: list[Json] = []
    headers = {"x-stainless-poll-helper": "true", "x-stainless-read-timeout": "600"}
    poll = threading.Thread(target=lambda: answers.append(wire.get(run_path(run), headers=headers).json()))
    poll.start()
    time.sleep(0.5)
    assert stop(server) < 5
    poll.join()
    assert answers[0]["status"] == "in_progress"


def test_a_client_that_does_not_read_holds_nothing_up(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(tokens=["x" * 100_000] * 200))
    thread, body = wire.thread(), json.dumps(streaming(wire))
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        head = f"POST /v1/threads/{thread['id']}/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n"
        deaf.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        upstream.wait_for_request().wait_until_ended()
        stop(server)


def test_an_upstream_that_says_nothing_holds_nothing_up(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply(ANSWER, hold=Gate()), Reply(ANSWER))
    run = wire.run(wire.assistant(), wire.thread("q"))
    seen = upstream.wait_for_request()
    assert stop(server) < 3
    seen.wait_until_gone()
    server.start()
    assert wire.until(run)["status"] == "completed"


def test_a_database_that_hangs_holds_nothing_up(server: Server, wire: Wire, upstream: Upstream) -> None:
    """Another process sits on the writer's lock, which to the server looks like a disk that does not answer."""
    upstream.script(Reply("half an", pause=Gate()), Reply(ANSWER))
    ended: list[Event] = []

    def follow(stream: Stream) -> None:
        ended.extend(stream)

    with wire.open_stream("POST", f"/threads/{wire.thread('q')['id']}/runs", streaming(wire)) as stream:
        run = stream.until("thread.run.created").data
        stream.until("thread.message.delta")
        reading = threading.Thread(target=follow, args=[stream])
        reading.start()
        with closing(sqlite3.connect(server.data_dir / "understudy.sqlite3", isolation_level=None)) as hog:
            hog.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < LONGEST_S
        reading.join()
    assert ended[-1].name == "error"
    server.start()
    assert wire.until(run, within_s=30)["status"] == "completed"


def test_nobody_new_is_let_in(server: Server, wire: Wire, upstream: Upstream) -> None:
    upstream.script(Reply("half an", pause=Gate()))
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", streaming(wire)) as stream:
        stream.until("thread.message.delta")
        server.signal(signal.SIGTERM)
        time.sleep(0.5)
        with pytest.raises(ConnectionRefusedError), socket.socket() as late:
            late.connect(("127.0.0.1", int(server.url.rsplit(":", 1)[1])))
        list(stream)
    stop(server)
