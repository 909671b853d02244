"""Old threads go, in small batches; whatever is in use stays."""

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from tests.conftest import MakeServer
from tests.harness.replies import Gate, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

YEAR_S = 365 * 86_400


def rows(data_dir: Path, thread_id: str) -> Mapping[str, int]:
    with closing(sqlite3.connect(data_dir / "understudy.sqlite3")) as connection:
        count = "SELECT count(*) FROM {} WHERE thread_id = ?"
        tables = ("messages", "steps", "runs", "model_calls")
        return {table: connection.execute(count.format(table), (thread_id,)).fetchone()[0] for table in tables}


def make_old(data_dir: Path, thread_id: str, *tables: str) -> None:
    with closing(sqlite3.connect(data_dir / "understudy.sqlite3", timeout=10)) as connection, connection:
        for table in tables:
            column = "id" if table == "threads" else "thread_id"
            connection.execute(
                f"UPDATE {table} SET created_at = created_at - {YEAR_S} WHERE {column} = ?", (thread_id,)
            )


def test_old_threads_go_at_the_next_start_and_those_in_use_stay(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server(UNDERSTUDY_DELETE_THREADS_AFTER_DAYS="30")
    wire = Wire(server.url)
    assistant = wire.assistant()
    old, fresh, written, busy = (wire.thread(name) for name in ("old", "fresh", "written", "busy"))
    wire.settle(assistant, old)
    upstream.script(Reply("late", hold=Gate()), Reply("late", hold=Gate()))
    run = wire.run(assistant, busy)
    upstream.wait_for_request(2)
    make_old(server.data_dir, old["id"], "threads", "messages", "runs")
    make_old(server.data_dir, busy["id"], "threads", "messages", "runs")
    make_old(server.data_dir, written["id"], "threads")
    wire.close()
    assert server.stop() == 0
    wire = Wire(server.start().url)
    wait_until_gone(wire, old["id"])
    assert wire.texts(fresh["id"]) == ["fresh"]
    assert wire.texts(written["id"]) == ["written"]
    assert wire.read(f"/threads/{busy['id']}/runs/{run['id']}")["status"] in {"queued", "in_progress"}
    wire.close()
    assert server.stop() == 0
    assert set(rows(server.data_dir, old["id"]).values()) == {0}


def wait_until_gone(wire: Wire, thread_id: str) -> None:
    for _ in range(100):
        answer = wire.get(f"/threads/{thread_id}")
        if answer.status_code == 404:
            assert answer.json()["error"]["message"] == f"No thread found with id '{thread_id}'."
            return
        time.sleep(0.05)
    raise AssertionError("the old thread is still there")


def test_nothing_goes_unless_asked(make_server: MakeServer) -> None:
    server = make_server()
    wire = Wire(server.url)
    thread = wire.thread("old")
    make_old(server.data_dir, thread["id"], "threads", "messages")
    server.stop()
    server.start()
    time.sleep(1)
    assert wire.texts(thread["id"]) == ["old"]
    wire.close()
