"""The log: who, what, how long; one line an event; and never what people wrote, nor a key."""

import json
import socket

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Refusal, Reply
from tests.harness.server import MODEL_KEY, Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire

SECRET = "the-secret-of-the-ferry-도항"


def lines(server: Server) -> list[Json]:
    return [json.loads(line) for line in server.stderr.splitlines()]


def requests(server: Server) -> list[Json]:
    return [line for line in lines(server) if line["logger"] == "understudy.requests"]


def test_a_line_of_json_names_request_thread_and_run(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_LOG_FORMAT="json")
    wire = Wire(server.url)
    run = wire.settle(wire.assistant())
    path = f"/v1/threads/{run['thread_id']}/runs/{run['id']}"
    answer = wire.get(path.removeprefix("/v1"))
    wire.get("/threads/thread_none/runs")
    wire.close()
    server.stop()
    line = next(line for line in requests(server) if line["request_id"] == answer.headers["x-request-id"])
    assert {name: line[name] for name in ("method", "path", "status", "thread_id", "run_id", "client", "level")} == {
        "method": "GET",
        "path": path,
        "status": 200,
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "client": "127.0.0.1",
        "level": "info",
    }
    assert 0 < line["ms"] < 5000
    assert next(line for line in requests(server) if "thread_none" in line["path"])["status"] == 404


def test_a_line_of_text_stays_one_line(make_server: MakeServer) -> None:
    server = make_server()
    with socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1]))) as plain:
        plain.sendall(b"GET /v1/x%0aINFO%20forged HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\n\r\n")
        assert plain.recv(100).startswith(b"HTTP/1.1 404")
    server.stop()
    (line,) = [line for line in server.stderr.splitlines() if "understudy.requests" in line]
    assert r'path="/v1/x\nINFO forged" status=404 ms=' in line


def test_a_run_that_fails_is_logged_with_its_ids(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server(UNDERSTUDY_LOG_FORMAT="json", UNDERSTUDY_LEASE_S="1")
    wire = Wire(server.url)
    upstream.script(Refusal(400, "no"))
    run = wire.settle(wire.assistant())
    assert run["status"] == "failed"
    wire.close()
    server.stop()
    told = [
        line for line in lines(server) if line.get("run_id") == run["id"] and line["logger"] != "understudy.requests"
    ]
    assert told
    assert all(line["thread_id"] == run["thread_id"] for line in told)


@pytest.mark.parametrize("style", ["text", "json"])
def test_nothing_that_people_write_and_no_key_is_logged(
    make_server: MakeServer, upstream: Upstream, style: str
) -> None:
    server = make_server(
        UNDERSTUDY_LOG_LEVEL="debug", UNDERSTUDY_LOG_FORMAT=style, OPENAI_LOG="debug", UNDERSTUDY_LEASE_S="1"
    )
    wire = Wire(server.url)
    wire.http.headers["authorization"] = f"Bearer sk-{SECRET.encode('ascii', 'ignore').decode()}"
    upstream.script(Reply(f"{SECRET} answered"), Refusal(500, SECRET), Refusal(400, SECRET), Reply(SECRET, cut_after=1))
    assistant = wire.assistant(instructions=SECRET, metadata={"note": SECRET})
    for _ in range(4):
        wire.settle(assistant, wire.thread(SECRET))
    wire.post("/threads", {"messages": [{"role": SECRET, "content": SECRET}]})
    wire.http.post("/threads", content=f'{{"broken": "{SECRET}'.encode())
    wire.get("/threads", params={"after": SECRET})
    wire.stream(f"/threads/{wire.thread(SECRET)['id']}/runs", {"assistant_id": assistant["id"]})
    wire.close()
    server.stop()
    assert server.stderr.count("understudy.requests") > 10
    assert "the-secret" not in server.stderr
    assert MODEL_KEY not in server.stderr
    assert "earer" not in server.stderr


def test_bodies_are_logged_where_that_is_asked_for(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_LOG_CONTENT="true", UNDERSTUDY_LOG_FORMAT="json")
    wire = Wire(server.url)
    wire.thread(SECRET)
    wire.close()
    server.stop()
    assert any(SECRET in line.get("body", "") for line in requests(server))


def test_files_are_never_logged(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_LOG_CONTENT="true", UNDERSTUDY_LOG_FORMAT="json")
    wire = Wire(server.url)
    made = wire.send_file("/files", "file", SECRET.encode(), purpose="vision")
    wire.close()
    server.stop()
    [line] = [line for line in requests(server) if line["path"] == "/v1/files"]
    assert (line["status"], "body" in line) == (200, False)
    assert SECRET not in server.stderr
    assert made["bytes"] == len(SECRET.encode())
