"""The code interpreter: files in, output as it comes, files out; over a scripted sandbox and a real store of files."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.storage.builders import PROJECT, migrated

from understudy.errors import SessionEnded, ToolUnavailable
from understudy.ingest.files import Files
from understudy.protocol.base import JsonObject
from understudy.protocol.files import FileObject
from understudy.sandbox.base import Image
from understudy.storage.sqlite import SqliteStore
from understudy.testing import FakeClock, FakeSandbox, MemoryFileStore, Ran
from understudy.tools.base import RunContext, ToolOutput, ToolSession
from understudy.tools.code_interpreter import NO_CODE, NOTHING, RESTARTED, CodeInterpreter

PNG = Image(b"\x89PNG\r\n\x1a\n...", "image/png")
KEY = f"{PROJECT}/thread_1"


class Bench:
    """The tool at work, and what it tells."""

    def __init__(self, files: Files, sandbox: FakeSandbox) -> None:
        self.files = files
        self.sandbox = sandbox
        self.tool = CodeInterpreter(sandbox, files)
        self.told: list[JsonObject] = []
        self.file_ids: list[str] = []

    def run(self) -> RunContext:
        mine: Any = {"code_interpreter": {"file_ids": self.file_ids}}
        return RunContext(PROJECT, "thread_1", "run_1", mine, mine)

    async def call(self, code: str = "1+1", **session: Any) -> ToolOutput:
        async def tell(piece: JsonObject) -> None:
            self.told += piece["outputs"]

        made = ToolSession(self.run(), {"type": "code_interpreter"}, 1, tell=tell, **session)
        return await self.tool.call(json.dumps({"code": code}), made)

    async def upload(self, name: str, content: bytes) -> FileObject:
        async def chunks() -> AsyncIterator[bytes]:
            yield content

        file = await self.files.create(PROJECT, name, "assistants", chunks())
        self.file_ids.append(file.id)
        return file

    async def bytes_of(self, file_id: str) -> bytes:
        return b"".join([chunk async for chunk in await self.files.content(PROJECT, file_id)])


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "house.db").write_bytes(migrated())
    store = SqliteStore(tmp_path / "house.db")
    await store.open()
    yield Bench(Files(store, MemoryFileStore(), FakeClock()), FakeSandbox())
    await store.close()


async def test_logs_are_shown_told_and_read(bench: Bench) -> None:
    bench.sandbox.turns = [Ran("2\n")]
    output = await bench.call("1+1")
    assert output.shown == {"input": "1+1", "outputs": [{"type": "logs", "logs": "2\n"}]}
    assert output.told == "2\n"
    assert bench.told == [{"index": 0, "type": "logs", "logs": "2\n"}]
    assert bench.sandbox.sessions[KEY].codes == ["1+1"]


async def test_a_plot_becomes_a_file_and_an_image(bench: Bench) -> None:
    bench.sandbox.turns = [Ran("ok", images=[PNG, PNG])]
    output = await bench.call("plt.show()")
    kinds = [shown["type"] for shown in output.shown["outputs"]]
    assert kinds == ["logs", "image", "image"]
    file_id = output.shown["outputs"][1]["image"]["file_id"]
    file = await bench.files.find(PROJECT, file_id)
    assert (file.purpose, file.filename) == ("assistants_output", file.filename)
    assert file.filename.endswith(".png")
    assert await bench.bytes_of(file_id) == PNG.content
    assert bench.told[1] == {"index": 1, "type": "image", "image": {"file_id": file_id}}
    assert output.told == "ok\n[2 images shown to the user]"


async def test_what_the_code_writes_becomes_a_file(bench: Bench) -> None:
    bench.sandbox.turns = [Ran(files={"결과 표.csv": b"a,b\n", "sub/x.txt": b"x"})]
    output = await bench.call("df.to_csv(...)")
    assert list(output.files) == ["sandbox:/mnt/data/결과 표.csv", "sandbox:/mnt/data/sub/x.txt"]
    kept = await bench.files.find(PROJECT, output.files["sandbox:/mnt/data/sub/x.txt"])
    assert (kept.filename, kept.purpose, kept.bytes) == ("x.txt", "assistants_output", 1)
    assert await bench.bytes_of(output.files["sandbox:/mnt/data/결과 표.csv"]) == b"a,b\n"
    assert output.told == "[Files made: sandbox:/mnt/data/결과 표.csv, sandbox:/mnt/data/sub/x.txt]"


async def test_input_files_lie_there_under_name_and_id_once(bench: Bench) -> None:
    file = await bench.upload("sales.csv", b"a,b\n1,2\n")
    await bench.call()
    session = bench.sandbox.sessions[KEY]
    assert session.files == {"sales.csv": b"a,b\n1,2\n", file.id: b"a,b\n1,2\n"}
    session.files["sales.csv"] = b"changed by the code"
    later = await bench.upload("more.csv", b"c\n")
    await bench.call()
    assert session.files["sales.csv"] == b"changed by the code"
    assert session.files[later.id] == b"c\n"


async def test_the_model_is_told_of_the_files(bench: Bench) -> None:
    tool: Any = {"type": "code_interpreter"}
    assert "The user's files" not in (await bench.tool.prepare(tool, bench.run())).description
    await bench.upload("매출 2026.csv", b"")
    gone = await bench.upload("gone.csv", b"")
    await bench.files.delete(PROJECT, gone.id)
    described = await bench.tool.prepare(tool, bench.run())
    assert described.description.endswith("The user's files in /mnt/data: '매출 2026.csv'.")
    assert described.name == "code_interpreter"
    assert bench.sandbox.warmed == 2


async def test_a_sandbox_that_is_off_says_why(bench: Bench) -> None:
    bench.sandbox.off = "bubblewrap is missing: apt-get install bubblewrap."
    with pytest.raises(ToolUnavailable, match=r"is off on this server\. bubblewrap is missing"):
        await bench.tool.prepare({"type": "code_interpreter"}, bench.run())
    assert (await bench.call()).told.startswith("Error: bubblewrap is missing")


async def test_a_new_session_has_all_files_again_and_the_model_is_told(bench: Bench) -> None:
    await bench.upload("sales.csv", b"a\n")
    bench.sandbox.turns = [Ran("1", files={"clean.csv": b"b\n"})]
    made = (await bench.call()).files
    await bench.sandbox.end(KEY)
    bench.sandbox.turns = [Ran("2")]
    output = await bench.call(made=made, used_before=True)
    assert output.told == f"{RESTARTED}\n2"
    files = bench.sandbox.sessions[KEY].files
    assert (files["sales.csv"], files["clean.csv"]) == (b"a\n", b"b\n")


async def test_a_session_that_dies_is_followed_by_another(bench: Bench) -> None:
    bench.sandbox.turns = [Ran("[The session died.]", outcome="ended"), Ran("2")]
    assert (await bench.call("os._exit(1)")).told == "[The session died.]"
    assert (await bench.call()).told == f"{RESTARTED}\n2"


async def test_a_session_that_was_gone_before_the_code_began_is_asked_for_again(bench: Bench) -> None:
    dead = await _session(bench)
    dead.alive = False

    def revive(key: str) -> Any:
        bench.sandbox.session = original  # type: ignore[method-assign]  # only the first session is the dead one
        return _Holding(dead)

    original, bench.sandbox.session = bench.sandbox.session, revive  # type: ignore[method-assign]  # see above
    bench.sandbox.turns = [Ran("2")]
    assert (await bench.call()).told.endswith("2")
    with pytest.raises(SessionEnded):
        await dead.run("1")


async def _session(bench: Bench) -> Any:
    async with bench.sandbox.session("other") as session:
        return session


class _Holding:
    def __init__(self, session: Any) -> None:
        self.session = session

    async def __aenter__(self) -> Any:
        return self.session

    async def __aexit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("arguments", ["", "{}", '{"code": "  "}', '{"code": 1}', "[1]"])
async def test_a_call_without_code_is_told(bench: Bench, arguments: str) -> None:
    session = ToolSession(bench.run(), {"type": "code_interpreter"}, 1)
    output = await bench.tool.call(arguments, session)
    if arguments == "[1]":  # this is Python too
        assert bench.sandbox.sessions[KEY].codes == ["[1]"]
    else:
        assert output.told == NO_CODE


async def test_silence_is_told(bench: Bench) -> None:
    assert (await bench.call("x = 1")).told == NOTHING


async def test_long_logs_are_cut_for_the_model_and_whole_for_the_user(bench: Bench) -> None:
    bench.sandbox.turns = [Ran("x" * 100_000 + "END")]
    output = await bench.call()
    assert len(output.shown["outputs"][0]["logs"]) == 100_003
    assert len(output.told) < 65_000
    assert output.told.endswith("END")
    assert "characters left out" in output.told


async def test_bytes_that_are_gone_are_an_error_that_the_model_reads(bench: Bench) -> None:
    file = await bench.upload("sales.csv", b"a\n")
    bench.files._file_store.kept.pop(file.id)  # type: ignore[attr-defined]  # as if somebody had removed them
    output = await bench.call()
    assert output.told.startswith("Error: ")
    assert file.id in output.told


async def test_cancelling_ends_the_telling_too(bench: Bench) -> None:
    bench.sandbox.turns = [Ran("never", until=asyncio.Event())]
    calling = asyncio.create_task(bench.call())
    await asyncio.sleep(0.05)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]  # they have one
    assert not any(name.endswith("._tell") for name in names)


async def test_two_threads_have_sessions_of_their_own(bench: Bench) -> None:
    await bench.call("a = 1")
    other = ToolSession(RunContext(PROJECT, "thread_2", "run_2"), {"type": "code_interpreter"}, 1)
    await bench.tool.call('{"code": "a"}', other)
    assert {key: session.codes for key, session in bench.sandbox.sessions.items()} == {
        KEY: ["a = 1"],
        f"{PROJECT}/thread_2": ["a"],
    }


async def test_a_threads_session_ends_with_its_thread(bench: Bench) -> None:
    await bench.call("a = 1")
    await bench.tool.forget(PROJECT, "thread_1")
    assert bench.sandbox.sessions == {}
