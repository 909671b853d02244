"""`understudy chat`, as a person types it, against the real server."""

import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.conftest import MakeServer
from tests.harness.replies import Call, Gate, Refusal, Reply
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

WAIT_S = 60
HEEDS_CTRL_C = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("understudy", run_name="__main__", alter_sys=True)
"""
"""As a terminal starts it: whoever runs the suite in the background of a shell may have interrupts ignored."""


def talk(server: Server | None, typed: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "UNDERSTUDY_"))} | variables
    command = [sys.executable, "-m", "understudy", "chat", *arguments]
    if server is not None:
        command += ["--url", f"{server.url}/v1"]
    return subprocess.run(command, input=typed, env=environment, capture_output=True, text=True, timeout=WAIT_S)


@pytest.fixture(scope="module")
def server(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Server:
    server = Server(tmp_path_factory.mktemp("chat") / "data", _upstream.url).start()
    yield server
    server.close()


@pytest.fixture
def wire(server: Server, upstream: Upstream) -> Wire:
    wire = Wire(server.url)
    yield wire
    for assistant in wire.read("/assistants", limit=100)["data"]:
        wire.delete(f"/assistants/{assistant['id']}")
    wire.close()


def test_a_conversation_keeps_its_thread_until_a_new_one_is_asked_for(server: Server, wire: Wire) -> None:
    wire.assistant(name="메아리")
    done = talk(server, "안녕\n你好\n/new\nhello\n/quit\nnever sent\n", "메아리")
    assert done.returncode == 0, done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("You said")]
    assert said == ["You said: 안녕", "You said: 你好", "You said: hello"]
    threads = re.findall(r"^Thread (thread_\w+)$", done.stdout, re.M)
    assert [wire.texts(thread) for thread in threads] == [
        ["안녕", "You said: 안녕", "你好", "You said: 你好"],
        ["hello", "You said: hello"],
    ]
    assert "메아리 (gpt-4o)" in done.stdout


def test_functions_are_answered_by_typing(server: Server, wire: Wire, upstream: Upstream) -> None:
    wire.assistant("weather", "rain")
    calls = [Call("weather", '{"city": "부산"}'), Call("rain", "{}")]
    upstream.script(Reply("Let me look.", calls=calls), Reply(calls=calls[:1]), Reply("It is 21 °C."))
    done = talk(server, "How is it?\n21\n0.06\nagain 21\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "It is 21 °C." or lines[-2] == "It is 21 °C."
    assert 'weather({"city": "부산"})' in lines
    assert "[weather] = 21" in lines
    outputs = [m["content"] for m in upstream.bodies[-1]["messages"] if m["role"] == "tool"]
    assert outputs == ["21", "0.06", "again 21"]


def test_what_a_terminal_would_obey_is_not_printed(server: Server, wire: Wire, upstream: Upstream) -> None:
    """A model says what a hostile document wants: here to write the clipboard, to clear the screen, to go back."""
    wire.assistant("weather", name="obedient")
    upstream.script(
        Reply("Let me \x9b1A look.", calls=[Call("weather", '{"city": "\x7f\x9b2J부산"}')]),
        Reply("It\trains.\r\x1b]52;c;cm0gLXJmIC8=\x07\n끝"),
    )
    done = talk(server, "hello\n\x1b]0;out\x07rain\n", "obedient")
    assert done.returncode == 0, done.stderr
    assert "부산" in done.stdout
    assert "It\trains." in done.stdout
    assert not set(done.stdout) & {"\x1b", "\x07", "\x7f", "\x9b", "\r"}


def test_what_fails_is_said_and_the_conversation_goes_on(server: Server, wire: Wire, upstream: Upstream) -> None:
    wire.assistant()
    upstream.script(Refusal(400, "The context is too long."))
    done = talk(server, "one\ntwo\n")
    assert done.returncode == 0
    assert "The run ended as failed. " in done.stdout
    assert "too long" in done.stdout
    assert "You said: two" in done.stdout


def test_a_connection_that_breaks_off_is_said(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server()
    server.wire().assistant(name="cut off")
    upstream.script(Reply("one two three", pause=Gate(), pause_after=2))
    killer = threading.Thread(target=lambda: (upstream.wait_for_request(), time.sleep(0.5), server.kill()))
    killer.start()
    done = talk(server, "hello\n", "cut off")
    killer.join()
    assert done.returncode == 0, done.stderr
    assert "The connection broke off;" in done.stdout
    assert "Traceback" not in done.stderr


def test_wrong_names_and_servers_are_one_sentence(server: Server, wire: Wire) -> None:
    none = talk(server, "", "Nobody")
    assert (none.returncode, none.stderr) == (
        1,
        "Error: there is no assistant yet; make one in the playground, or with the API\n",
    )
    wire.assistant(name="Somebody")
    wrong = talk(server, "", "Nobody")
    assert wrong.stderr == "Error: there is no assistant 'Nobody'; there are Somebody\n"
    nowhere = talk(None, "", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert nowhere.stderr.startswith("Error: no server answers at http://127.0.0.1:9/v1; start one")


def test_a_key_is_taken_from_the_environment(make_server: MakeServer) -> None:
    key = "sk-a-key-for-the-chat"
    server = make_server(UNDERSTUDY_API_KEY=key)
    wire = Wire(server.url, key)
    wire.assistant()
    wire.close()
    assert "You said: hi" in talk(server, "hi\n", OPENAI_API_KEY=key).stdout
    refused = talk(server, "hi\n")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: ")
    assert "Incorrect API key provided" in refused.stderr


def test_ctrl_c_stops_the_run_and_not_the_conversation(
    server: Server, wire: Wire, upstream: Upstream, tmp_path: Path
) -> None:
    """In a terminal of its own, as a person has it."""
    wire.assistant()
    upstream.script(Reply("a long answer", pause=Gate()))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", HEEDS_CTRL_C, "chat", "--url", f"{server.url}/v1"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    seen = bytearray()
    reading = threading.Thread(target=_drain, args=(ours, seen), daemon=True)
    reading.start()
    try:
        _await(seen, b"> ")
        os.write(ours, b"go on\n")
        _await(seen, b"\r\na")
        process.send_signal(signal.SIGINT)
        _await(seen, b"Stopped.")
        os.write(ours, b"hello\n")
        _await(seen, b"You said: hello")
        os.write(ours, b"\x04")
        assert process.wait(WAIT_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert {run["status"] for run in wire.read("/runs", limit=2)["data"]} == {"completed", "cancelled"}


def _drain(source: int, seen: bytearray) -> None:
    while True:
        try:
            read = os.read(source, 4096)
        except OSError:  # the other end is closed
            return
        if not read:
            return
        seen += read


def _await(seen: bytearray, text: bytes) -> None:
    until = time.monotonic() + WAIT_S
    while text not in seen:
        assert time.monotonic() < until, bytes(seen)
        time.sleep(0.02)
