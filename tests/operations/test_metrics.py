"""Counters for Prometheus, read with Prometheus's own parser."""

import re
import threading
import time

import httpx2
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import MakeServer
from tests.harness.replies import Gate, Refusal, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(server: Server) -> Samples:
    answer = httpx2.get(f"{server.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"understudy_{name}", frozenset(labels.items())]


def test_runs_tokens_and_requests_are_counted(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server()
    wire = Wire(server.url)
    assistant = wire.assistant()
    for _ in range(3):
        wire.settle(assistant)
    upstream.script(Refusal(400, "no"))
    assert wire.settle(assistant)["status"] == "failed"
    wire.get("/nowhere/at-all")
    wire.http.request("PROPFIND", "/pots/1")
    seen = scrape(server)
    wire.close()
    assert value(seen, "run_seconds_count", status="completed") == 3
    assert value(seen, "run_seconds_count", status="failed") == 1
    assert value(seen, "first_token_seconds_count") == 3
    assert 0 < value(seen, "first_token_seconds_sum") <= value(seen, "run_seconds_sum", status="completed")
    assert value(seen, "tokens_total", kind="prompt") == 60
    assert value(seen, "tokens_total", kind="completion") == 30
    assert value(seen, "http_requests_total", method="POST", route="/v1/threads/{thread_id}/runs", status="200") == 4
    assert value(seen, "http_requests_total", method="GET", route="none", status="404") == 1
    assert value(seen, "http_requests_total", method="other", route="none", status="404") == 1
    assert value(seen, "database_write_seconds_count") > 10
    assert value(seen, "queue_depth") == 0
    assert value(seen, "ingest_queue_depth") == 0
    assert value(seen, "sandbox_sessions") == 0


def test_what_is_under_way_is_seen(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server()
    wire = Wire(server.url)
    gate = Gate()
    upstream.script(Reply("one two", pause=gate))
    body = {"assistant_id": wire.assistant()["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{wire.thread()['id']}/runs", body) as stream:
        stream.until("thread.message.delta")
        during = scrape(server)
        gate.open()
        list(stream)
    time.sleep(0.1)
    after = scrape(server)
    wire.close()
    assert value(during, "live_streams") == 1
    assert value(during, "active_runs", status="in_progress") == 1
    assert value(after, "live_streams") == 0
    assert value(after, "active_runs", status="in_progress") == 0


def test_labels_do_not_grow_with_what_clients_send(make_server: MakeServer) -> None:
    server = make_server()
    wire = Wire(server.url)
    clients = [threading.Thread(target=wire.get, args=[f"/threads/thread_{n}"]) for n in range(20)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    wire.close()
    page = httpx2.get(f"{server.url}/metrics").text
    assert len(re.findall(r"^understudy_http_requests_total", page, re.M)) == 1
