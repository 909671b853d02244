"""Limits on time and size, a proxy in front, TLS: over real sockets."""

import json
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from http.client import HTTPResponse
from pathlib import Path

import httpx2
import pytest
from tests.conftest import MakeServer, Upstream
from tests.harness import setups
from tests.harness.server import Server
from tests.harness.wire import Wire

from understudy.connections import TURNED_AWAY

SECONDS = 6.0
HEAD = b"POST /v1/threads HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n"


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rsplit(":", 1)[1])), timeout=10)


def drip(plain: socket.socket, data: bytes, every_s: float = 0.1, piece: bytes = b"") -> tuple[float, bytes]:
    """Send byte by byte, or piece by piece, until the server closes; return after how long, and what it said."""
    began, said = time.monotonic(), b""
    plain.settimeout(every_s)
    for number in range(round(SECONDS / every_s)):
        try:
            plain.sendall(piece or data[number : number + 1])
            heard = plain.recv(65_536)
        except TimeoutError:
            continue
        except ConnectionError:
            heard = b""
        said += heard
        if not heard:
            return time.monotonic() - began, said
    raise AssertionError(f"still open after {SECONDS} s: {said!r}")


@pytest.mark.parametrize(
    ("beginning", "rest"),
    [(b"", b"GET / HTTP/1.1\r\nX-Slow: "), (b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-Slow: "), (b"\r\n", b"\r\n" * 99)],
)
def test_headers_that_come_byte_by_byte_are_cut_off(make_server: MakeServer, beginning: bytes, rest: bytes) -> None:
    server = make_server(UNDERSTUDY_HEAD_TIMEOUT_S="1")
    with connect(server) as plain:
        plain.sendall(beginning)
        after, said = drip(plain, rest + b"y" * 100)
        assert 0.9 < after < 3
        assert said == b""


def test_a_second_request_on_a_connection_has_the_same_limit(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_HEAD_TIMEOUT_S="1")
    with connect(server) as plain:
        plain.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n\r\n")
        assert plain.recv(65_536).startswith(b"HTTP/1.1 200")
        time.sleep(1.5)  # an idle connection is let be
        after, _ = drip(plain, b"GET / HTTP/1.1\r\nX-Slow: " + b"y" * 100)
        assert 0.9 < after < 3


def test_a_connection_that_says_nothing_is_closed(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_HEAD_TIMEOUT_S="1")
    with connect(server) as plain:
        assert plain.recv(1) == b""


HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer k\r\n\r\n"


def asked(plain: socket.socket) -> tuple[HTTPResponse, bytes]:
    plain.sendall(HEALTH)
    answer = HTTPResponse(plain)
    answer.begin()
    return answer, answer.read()


def status(plain: socket.socket) -> int:
    return asked(plain)[0].status


def closed(plain: socket.socket) -> bool:
    try:
        return plain.recv(1) == b""
    except ConnectionError:
        return True


def test_one_connection_too_many_is_told_so(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_MAX_CONNECTIONS="3")
    with ExitStack() as stack:
        kept = [stack.enter_context(connect(server)) for _ in range(3)]
        assert all(status(plain) == 200 for plain in kept)
        one_more = stack.enter_context(connect(server))
        answer, body = asked(one_more)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert answer.headers["x-request-id"].startswith("req_")
        message = "The server has as many connections as it may have. Please try again in 1s."
        error = {"message": message, "type": "server_error", "param": None, "code": None}
        assert json.loads(body) == {"error": error}
        assert closed(one_more)
        assert status(kept[0]) == 200  # those that are there notice nothing
        kept[1].close()
        until = time.monotonic() + SECONDS
        while status(stack.enter_context(connect(server))) != 200:
            assert time.monotonic() < until


def test_a_flood_of_silent_connections_is_closed_at_once(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_MAX_CONNECTIONS="1")
    with ExitStack() as stack:
        first = stack.enter_context(connect(server))
        assert status(first) == 200
        flood = [stack.enter_context(connect(server)) for _ in range(TURNED_AWAY + 10)]
        assert all(closed(plain) for plain in flood[TURNED_AWAY:])
        assert status(flood[0]) == 503
        assert status(first) == 200


def test_where_the_system_allows_few_files_there_are_fewer_connections(upstream: Upstream, tmp_path: Path) -> None:
    """It would run out of them otherwise, and answer nobody."""
    few = tmp_path / "python-with-few-files"
    few.write_text(f'#!/bin/sh\nulimit -n 300\nexec {sys.executable} "$@"\n')
    few.chmod(0o755)
    server = Server(tmp_path / "data", upstream.url, setups.settings_of_a_server(), python=few)
    with closing(server.start()), ExitStack() as stack:
        answers = [status(stack.enter_context(connect(server))) for _ in range(60)]
        assert answers == [200] * 50 + [503] * 10
    assert "max_connections is 2000, but this system lets the server open 300 files only" in server.stderr


def test_headers_without_end_are_cut_off(make_server: MakeServer) -> None:
    with connect(make_server()) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n")
        after, _ = drip(plain, b"", every_s=0.02, piece=b"X-More: " + b"y" * 4000 + b"\r\n")
        assert after < 3


def test_a_body_that_comes_byte_by_byte_is_cut_off(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_BODY_TIMEOUT_S="1")
    with connect(server) as plain:
        plain.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
        after, said = drip(plain, b'{"metadata": ' + b" " * 1000)
    assert 0.9 < after < 3
    assert said.startswith(b"HTTP/1.1 408")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"].startswith("The request's body did not come")


def test_a_large_body_may_take_longer_if_it_keeps_coming(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_BODY_TIMEOUT_S="1")
    body = json.dumps({"messages": [{"role": "user", "content": "x" * 200_000}]}).encode()
    with connect(server) as plain:
        plain.sendall(HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode())
        for start in range(0, len(body), 10_000):
            plain.sendall(body[start : start + 10_000])
            time.sleep(0.1)
        assert plain.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_body_too_large_ends_the_connection(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_MAX_BODY_BYTES="2KiB")
    with connect(server) as plain:
        plain.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + b" " * 4000)
        said = b""
        while piece := plain.recv(65_536):
            said += piece
        assert said.startswith(b"HTTP/1.1 413")


def test_a_request_that_takes_for_ever_is_given_up(make_server: MakeServer) -> None:
    server = make_server(UNDERSTUDY_REQUEST_TIMEOUT_S="1")
    wire = Wire(server.url)
    with closing(sqlite3.connect(server.data_dir / "understudy.sqlite3", isolation_level=None)) as hog:
        hog.execute("BEGIN IMMEDIATE")
        answer = wire.post("/threads", {})
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "The server took longer than 1 s over this request, and gave up."
    wire.close()


@pytest.mark.parametrize("path", ["/v1/threads", "/assistants/v1/threads"])
def test_a_server_below_a_path_serves_proxies_of_both_kinds(make_server: MakeServer, path: str) -> None:
    server = make_server(UNDERSTUDY_ROOT_PATH="/assistants", UNDERSTUDY_STRICT_BETA_HEADER="true")
    headers = {"authorization": "Bearer k"}
    answer = httpx2.post(f"{server.url}{path}", json={}, headers=headers | {"openai-beta": "assistants=v2"})
    assert (answer.status_code, answer.json()["object"]) == (200, "thread")
    assert httpx2.post(f"{server.url}{path}", json={}, headers=headers).json()["error"]["code"] == "invalid_beta"


@pytest.mark.parametrize(("trusted", "client"), [("", "127.0.0.1"), ("127.0.0.0/8", "203.0.113.9")])
def test_only_trusted_proxies_say_who_the_client_is(make_server: MakeServer, trusted: str, client: str) -> None:
    server = make_server(UNDERSTUDY_TRUSTED_PROXIES=trusted, UNDERSTUDY_LOG_FORMAT="json")
    wire = Wire(server.url)
    wire.get("/models", headers={"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https"})
    wire.close()
    server.stop()
    lines = [json.loads(line) for line in server.stderr.splitlines()]
    assert [line["client"] for line in lines if line.get("path") == "/v1/models"] == [client]


def test_tls_files_make_it_https(make_server: MakeServer, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    server = make_server(UNDERSTUDY_TLS_CERT=str(cert), UNDERSTUDY_TLS_KEY=str(key))
    assert server.url.startswith("https://127.0.0.1:")
    trust = ssl.create_default_context(cafile=str(cert))
    headers = {"authorization": "Bearer k"}
    assert httpx2.post(f"{server.url}/v1/threads", json={}, headers=headers, verify=trust).status_code == 200


def test_tls_files_that_do_not_fit_are_told(make_server: MakeServer, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    environment = make_server().environment
    for arguments, said in [
        (["--tls-key", str(key)], "tls_key is given without tls_cert; give both"),
        (["--tls-cert", str(cert)], "and its key cannot be used"),
        (["--tls-cert", str(cert), "--tls-key", "/nowhere.pem"], "and its key cannot be used: No such file"),
    ]:
        command = [sys.executable, "-m", "understudy", "serve", "--port", "0", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        assert said in done.stderr.splitlines()[-1]
