"""The code interpreter as its users meet it: a real server, a real jail, the official SDK, a scripted model."""

import csv
import io
import json
import runpy
import signal
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.conftest import MakeServer
from tests.flows.test_golden import GOLDEN
from tests.harness.jail import below, insist_on_jail, is_running
from tests.harness.replies import Call, Reply
from tests.harness.server import Server
from tests.harness.transcript import Transcript
from tests.harness.upstream import Upstream
from tests.harness.wire import FINAL, Json, Stream, Wire, function_tool, names, run_path, streamed_text

pytestmark = pytest.mark.timeout(240)

SEEDS = Path(__file__).parent / "seeds"
PNG = b"\x89PNG\r\n\x1a\n"
PATIENCE_S = 60.0  # a jail takes its time to start on a busy machine
SALES = "월,매출\n1월,120\n2월,\n3월,150\n"
CLEANED = [{"월": "1월", "매출": "120.0"}, {"월": "3월", "매출": "150.0"}]
ANALYSIS = """
import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("/mnt/data/매출.csv")
clean = sales.dropna()
clean.to_csv("/mnt/data/정리된 매출.csv", index=False)
print(len(sales), len(clean))
clean.plot.bar(x="월", y="매출")
plt.show()
"""
LINK = "sandbox:/mnt/data/정리된 매출.csv"
ANSWER = f"빈 줄을 지웠습니다 🙂. 차트는 위에, 파일은 [여기]({LINK}) 있습니다."
CODE_TOOL = {"type": "code_interpreter"}
HELLO = {"messages": [{"role": "user", "content": "Hi"}]}


def code(text: str) -> Reply:
    """A turn in which the model writes code and nothing else."""
    return Reply(calls=[python(text)])


def python(text: str) -> Call:
    return Call("code_interpreter", json.dumps({"code": text}, ensure_ascii=False))


@pytest.fixture(autouse=True)
def _jail(server: Server) -> None:
    insist_on_jail(server)


@pytest.fixture
def coder(wire: Wire) -> Json:
    return wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL]})


def settled(wire: Wire, run: Json, *statuses: str) -> Json:
    return wire.until(run, statuses or FINAL, PATIENCE_S)


def completed(wire: Wire, coder: Json, thread: Json, **fields: Any) -> list[Json]:
    """Run to the end; return the calls of the code interpreter."""
    run = settled(wire, wire.run(coder, thread, **fields))
    assert run["status"] == "completed", run["last_error"]
    return calls_of(wire, run)


def calls_of(wire: Wire, run: Json) -> list[Json]:
    steps = [step["step_details"] for step in wire.steps(run) if step["type"] == "tool_calls"]
    return [call["code_interpreter"] for step in steps for call in step["tool_calls"] if call["type"] != "function"]


def logs(call: Json) -> str:
    return "".join(output["logs"] for output in call["outputs"] if output["type"] == "logs")


def until_output(stream: Stream) -> None:
    """Read on until the code that runs has printed something."""
    while not any(call["code_interpreter"].get("outputs") for call in next_calls(stream)):
        pass


def next_calls(stream: Stream) -> list[Json]:
    calls: list[Json] = stream.until("thread.run.step.delta").data["delta"]["step_details"]["tool_calls"]
    return [call for call in calls if "code_interpreter" in call]


def told(upstream: Upstream) -> str:
    """What the model was told of its latest call."""
    last: str = upstream.bodies[-1]["messages"][-1]["content"]
    return last


# --- the walkthrough --------------------------------------------------------------------------------------------------

PRIMES = """from sympy import isprime

# 413보다 큰 소수 중 네 번째로 작은 소수를 찾기
count = 0
number = 414  # 413보다 큰 수부터 시작

while count < 4:
    if isprime(number):
        count += 1
        if count == 4:
            fourth_prime = number
    number += 1

# 네 번째로 작은 소수의 세제곱 계산
fourth_prime_cubed = fourth_prime ** 3
fourth_prime, fourth_prime_cubed"""


def explain(body: Any) -> Reply:
    """Write the code once; then read the cube out of what it printed. Nothing is known beforehand."""
    last = body["messages"][-1]
    if last["role"] != "tool":
        return Reply("소수와 세제곱수를 먼저 알아보겠습니다. 이제 파이썬 코드로 풀겠습니다.", [python(PRIMES)])
    prime, cube = last["content"].strip().strip("()").split(", ")
    return Reply(f"413보다 큰 소수 중 네 번째로 작은 소수는 {prime}입니다. 세제곱은 {cube}입니다.")


def test_the_walkthrough_solves_its_problem(
    server: Server, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-anything")
    upstream.brain = explain
    seen = runpy.run_path(str(SEEDS / "korean_math.py"))
    assert seen["math_run_status"].status == "completed"
    roles = [role for role, _ in seen["math_messages"]]
    assert roles == ["user", "assistant", "assistant"]
    assert seen["math_messages"][-1][1].endswith("소수는 433입니다. 세제곱은 81182737입니다.")
    steps = seen["math_run_steps"].data[::-1]
    assert [step.type for step in steps] == ["message_creation", "tool_calls", "message_creation"]
    assert [step.status for step in steps] == ["completed"] * 3
    assert seen["math_inputs"] == [PRIMES]
    [output] = steps[1].step_details.tool_calls[0].code_interpreter.outputs
    assert output.logs == "(433, 81182737)\n"
    assert (upstream.bodies[0]["temperature"], len(upstream.bodies)) == (0.2, 2)


# --- a data analysis --------------------------------------------------------------------------------------------------


def analysed(client: openai.OpenAI) -> tuple[str, str]:
    """Upload the table and ask; return the assistant's and the thread's id."""
    table = client.files.create(file=("매출.csv", SALES.encode()), purpose="assistants")
    assistant = client.beta.assistants.create(model="gpt-4o", tools=[{"type": "code_interpreter"}])
    thread = client.beta.threads.create(
        messages=[
            {
                "role": "user",
                "content": "매출 차트를 그리고, 빈 줄을 지운 파일을 주세요.",
                "attachments": [{"file_id": table.id, "tools": [{"type": "code_interpreter"}]}],
            }
        ]
    )
    return assistant.id, thread.id


def check_files(client: openai.OpenAI, message: Any) -> None:
    """The answer's image and its linked file can be fetched, and are what the code made."""
    image, text = message.content
    assert client.files.content(image.image_file.file_id).content.startswith(PNG)
    assert text.text.value == ANSWER
    [link] = text.text.annotations
    assert (link.type, link.text) == ("file_path", LINK)
    assert ANSWER[link.start_index : link.end_index] == LINK
    content = client.files.content(link.file_path.file_id).content
    assert list(csv.DictReader(io.StringIO(content.decode()))) == CLEANED
    made = client.files.retrieve(link.file_path.file_id)
    assert (made.filename, made.purpose, made.bytes) == ("정리된 매출.csv", "assistants_output", len(content))


def test_a_table_becomes_a_chart_and_a_cleaned_file(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script(code(ANALYSIS), Reply(ANSWER))
    assistant, thread = analysed(client)
    run = client.beta.threads.runs.create_and_poll(thread_id=thread, assistant_id=assistant)
    assert run.status == "completed", run.last_error
    message = client.beta.threads.messages.list(thread).data[0]
    check_files(client, message)
    tool, _ = client.beta.threads.runs.steps.list(run.id, thread_id=thread, order="asc").data
    assert tool.step_details.type == "tool_calls"
    call: Any = tool.step_details.tool_calls[0]
    assert call.code_interpreter.input == ANALYSIS
    shown_logs, shown_image = call.code_interpreter.outputs
    assert (shown_logs.type, shown_logs.logs) == ("logs", "3 2\n")
    assert shown_image.image.file_id == message.content[0].image_file.file_id
    assert "매출.csv" in upstream.bodies[0]["tools"][0]["function"]["description"]
    assert f"[Files made: {LINK}]" in told(upstream)


def test_the_same_is_streamed(client: openai.OpenAI, upstream: Upstream) -> None:
    upstream.script(code(ANALYSIS), Reply(ANSWER))
    assistant, thread = analysed(client)
    written, outputs, parts = "", [], []
    with client.beta.threads.runs.stream(thread_id=thread, assistant_id=assistant) as stream:
        for event in stream:
            if event.event == "thread.run.step.delta":
                details: Any = event.data.delta.step_details
                interpreter = details.tool_calls[0].code_interpreter
                written += (interpreter.input or "") if interpreter else ""
                outputs += (interpreter.outputs or []) if interpreter else []
            elif event.event == "thread.message.delta":
                parts += event.data.delta.content or []
        message = stream.get_final_messages()[0]
    assert written == ANALYSIS
    assert [(output.index, output.type) for output in outputs] == [(0, "logs"), (1, "image")]
    assert (parts[0].index, parts[0].type) == (0, "image_file")
    assert {part.index for part in parts[1:]} == {1}
    check_files(client, message)
    check_files(client, client.beta.threads.messages.list(thread).data[0])


def test_the_stream_as_golden_transcript(wire: Wire, upstream: Upstream) -> None:
    upstream.script(code(ANALYSIS), Reply(ANSWER))
    table = wire.http.post(
        "/files", files={"file": ("매출.csv", SALES.encode())}, data={"purpose": "assistants"}
    ).json()
    book = Transcript(wire)
    assistant = book.send("POST", "/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL]})
    attachments = [{"file_id": table["id"], "tools": [CODE_TOOL]}]
    message = {"role": "user", "content": "차트와 파일을 주세요.", "attachments": attachments}
    thread = book.send("POST", "/threads", {"messages": [message]})
    events = book.stream(f"/threads/{thread['id']}/runs", {"assistant_id": assistant["id"]})
    assert streamed_text(events) == ANSWER
    book.look_back(events[0].data)
    book.compare(GOLDEN / "code_interpreter.jsonl")


# --- files --------------------------------------------------------------------------------------------------------

MOST = 20


def uploaded(wire: Wire, name: str, content: bytes) -> str:
    made = wire.http.post("/files", files={"file": (name, content)}, data={"purpose": "assistants"}).json()
    file_id: str = made["id"]
    return file_id


def test_files_of_assistant_thread_and_message_lie_there_by_id_and_by_name(wire: Wire, upstream: Upstream) -> None:
    ids = {name: uploaded(wire, name, name.encode()) for name in ("assistant.txt", "스레드.txt", "message.txt")}
    resources = [{"code_interpreter": {"file_ids": [ids[name]]}} for name in ("assistant.txt", "스레드.txt")]
    coder = wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL], "tool_resources": resources[0]})
    attachments = [{"file_id": ids["message.txt"], "tools": [CODE_TOOL]}]
    message = {"role": "user", "content": "Hi", "attachments": attachments}
    thread = wire.make("/threads", {"messages": [message], "tool_resources": resources[1]})
    names = [name for pair in ids.items() for name in pair]
    upstream.script(code(f"for name in {names!r}: print(open('/mnt/data/' + name).read())"), Reply("done"))
    [call] = completed(wire, coder, thread)
    assert logs(call).split() == [name for name in ids for _ in range(2)]


def test_a_resource_takes_so_many_files_and_no_more(wire: Wire) -> None:
    ids = [uploaded(wire, f"{number}.txt", b"x") for number in range(MOST + 1)]
    for path, body in (("/threads", {}), ("/assistants", {"model": "gpt-4o"})):
        resources = {"code_interpreter": {"file_ids": ids[:MOST]}}
        made = wire.make(path, {**body, "tool_resources": resources})
        assert made["tool_resources"]["code_interpreter"]["file_ids"] == ids[:MOST]
        resources = {"code_interpreter": {"file_ids": ids}}
        assert wire.post(path, {**body, "tool_resources": resources}).status_code == 400
    thread = wire.make("/threads", {"tool_resources": {"code_interpreter": {"file_ids": ids[:MOST]}}})
    attachments = [{"file_id": ids[MOST], "tools": [CODE_TOOL]}]
    refused = wire.post(
        f"/threads/{thread['id']}/messages", {"role": "user", "content": "x", "attachments": attachments}
    )
    assert refused.status_code == 400
    assert f"would have {MOST + 1} files; it takes {MOST}" in refused.json()["error"]["message"]


# --- one session to a thread ------------------------------------------------------------------------------------------


def test_state_lives_on_across_calls_and_runs(wire: Wire, coder: Json, upstream: Upstream) -> None:
    thread, other = wire.thread(), wire.thread()
    upstream.script(code("import math\nx = 20"), code("x += 1; math.floor(x)"), Reply("done"))
    first = completed(wire, coder, thread)
    assert [logs(call) for call in first] == ["", "21\n"]
    upstream.script(code("x * 2"), Reply("done"))
    assert logs(completed(wire, coder, thread)[0]) == "42\n"
    upstream.script(code("x"), Reply("done"))
    assert "NameError" in logs(completed(wire, coder, other)[0])


def test_an_error_is_read_and_the_code_mended(wire: Wire, coder: Json, upstream: Upstream) -> None:
    def mend(body: Any) -> Reply:
        last = body["messages"][-1]
        if last["role"] != "tool":
            return code("values = [1, 2]\nvalues[2]")
        return code("values[-1]") if "IndexError: list index out of range" in last["content"] else Reply("Two.")

    upstream.brain = mend
    failed, mended = completed(wire, coder, wire.thread())
    assert "IndexError" in logs(failed)
    assert logs(mended) == "2\n"


def test_a_session_that_dies_is_followed_by_a_new_one_with_its_files(
    wire: Wire, coder: Json, upstream: Upstream
) -> None:
    table = wire.http.post("/files", files={"file": ("a.csv", b"a\n1\n")}, data={"purpose": "assistants"}).json()
    resources = {"code_interpreter": {"file_ids": [table["id"]]}}
    thread = wire.make("/threads", {"messages": [{"role": "user", "content": "Hi"}], "tool_resources": resources})
    look = f"print(open('/mnt/data/a.csv').read(), open('/mnt/data/{table['id']}').read(), 'x' in globals())"
    upstream.script(
        code("x = 1\nopen('/mnt/data/made.txt', 'w').write('kept')"),
        code("import os; os._exit(7)"),
        code(look + "\nopen('/mnt/data/made.txt').read()"),
        Reply("done"),
    )
    _, died, after = completed(wire, coder, thread)
    assert "exit code 7" in logs(died)
    assert logs(after) == "a\n1\n a\n1\n False\n'kept'\n"
    assert told(upstream).startswith("[The session was restarted: variables and imports are gone; files are there")


# --- cancelling -------------------------------------------------------------------------------------------------------

ENDLESS = """
import time
try:
    print("begun", flush=True)
    while True:
        pass
except KeyboardInterrupt:
    stopped = time.time()
    raise
"""


def cancelled(wire: Wire, coder: Json, thread: Json) -> float:
    """Start a run, cancel it as soon as its code has printed something; return when that was asked for."""
    body = {"assistant_id": coder["id"], "stream": True}
    with wire.open_stream("POST", f"/threads/{thread['id']}/runs", body) as stream:
        run = next(iter(stream)).data
        until_output(stream)
        asked = time.time()
        wire.post(f"{run_path(run)}/cancel")
        assert names(list(stream))[-2:] == ["thread.run.cancelled", "done"]
        assert time.time() - asked < 2.0
    return asked


def test_cancelling_stops_endless_code_within_a_second(wire: Wire, coder: Json, upstream: Upstream) -> None:
    thread = wire.thread()
    upstream.script(code(ENDLESS))
    asked = cancelled(wire, coder, thread)
    upstream.script(code("stopped"), Reply("done"))
    [call] = completed(wire, coder, thread)
    assert not told(upstream).startswith("[The session was restarted"), "the session is kept"
    assert 0 < float(logs(call)) - asked < 1.0


def test_code_that_heeds_no_signal_is_in_nobodys_way(wire: Wire, coder: Json, upstream: Upstream) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('begun', flush=True)\nwhile True: pass"
    thread = wire.thread()
    upstream.script(code(deaf))
    cancelled(wire, coder, thread)
    upstream.script(code("6 * 7"), Reply("done"))
    [call] = completed(wire, coder, thread)
    assert logs(call) == "42\n"
    assert told(upstream).startswith("[The session was restarted")


# --- with other tools, and after a death of the server ----------------------------------------------------------------


def test_a_function_and_code_in_one_turn(wire: Wire, upstream: Upstream) -> None:
    both = wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL, function_tool("get_rate")]})
    upstream.script(Reply(calls=[python("6 * 7"), Call("get_rate")]), Reply("done"))
    run = settled(wire, wire.run(both), "requires_action")
    [open_call] = run["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert open_call["function"]["name"] == "get_rate"
    wire.submit(run, "1.25")
    assert settled(wire, run)["status"] == "completed"
    tools, _ = wire.steps(run)
    code_call, function = tools["step_details"]["tool_calls"]
    assert logs(code_call["code_interpreter"]) == "42\n"
    assert function["function"]["output"] == "1.25"
    answers = [message["content"] for message in upstream.bodies[-1]["messages"] if message["role"] == "tool"]
    assert answers == ["42\n", "1.25"]


def test_a_killed_server_leaves_no_jail_and_its_run_completes(make_server: MakeServer, upstream: Upstream) -> None:
    server = make_server(UNDERSTUDY_SANDBOX="auto")
    insist_on_jail(server)
    wire = server.wire()
    coder = wire.make("/assistants", {"model": "gpt-4o", "tools": [CODE_TOOL]})
    slow = "import time\nprint('begun', flush=True)\ntime.sleep(2)\nprint('done')"
    upstream.script(code(slow), Reply("It is done."))
    with wire.open_stream(
        "POST", "/threads/runs", {"assistant_id": coder["id"], "thread": HELLO, "stream": True}
    ) as stream:
        run = stream.until("thread.run.created").data
        until_output(stream)
        jailed = below(server.pid)
        assert len(jailed) >= 3  # bubblewrap, the jail's first process, the worker
        server.kill()
    until_gone(jailed)
    server.start()
    wire = server.wire()
    ended = settled(wire, run)
    assert ended["status"] == "completed", ended["last_error"]
    [call] = calls_of(wire, run)
    assert logs(call) == "begun\ndone\n"
    assert wire.texts(run["thread_id"]) == ["Hi", "It is done."]
    assert len(upstream.bodies) == 2
    jailed = below(server.pid)
    server.signal(signal.SIGKILL)
    until_gone(jailed)


def until_gone(processes: list[int], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while left := [process for process in processes if is_running(process)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)
