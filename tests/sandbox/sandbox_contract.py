"""What every Sandbox must do. Each adapter's tests collect these classes with a `sandbox` fixture of their own.

The code is real Python; a fake is told beforehand what each piece of it gives (`SCRIPT`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from understudy.errors import SessionEnded
from understudy.sandbox.base import Image, Output, Sandbox
from understudy.testing import Ran

PNG = b"\x89PNG\r\n\x1a\n"
SOON_S = 10.0
ANSWER = "6 * 7"
FAILS = "1 / 0"
SETS, READS = "x = 41", "print(x + 1)"
WRITES = "open('/mnt/data/out.csv', 'w').write('a,b\\n'); print('done')"
PLOTS = "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); print('shown')"
DIES = "import os; os._exit(3)"
HANGS = "import time; time.sleep(600)"

SCRIPT: dict[str, Callable[[], Ran]] = {
    ANSWER: lambda: Ran("42\n"),
    FAILS: lambda: Ran("ZeroDivisionError: division by zero\n", outcome="error"),
    READS: lambda: Ran("42\n"),
    WRITES: lambda: Ran("done\n", files={"out.csv": b"a,b\n"}),
    PLOTS: lambda: Ran("shown\n", images=[Image(PNG, "image/png")]),
    DIES: lambda: Ran("[The session has ended.]\n", outcome="ended"),
    HANGS: lambda: Ran(until=asyncio.Event()),
}


async def _chunks(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def fetched(sandbox: Sandbox, key: str, name: str) -> bytes:
    async with sandbox.session(key) as session:
        return b"".join([chunk async for chunk in session.fetch(name)])


class CodeRuns:
    async def test_a_value_is_told(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            result = await session.run(ANSWER)
        assert (result.logs, result.outcome, result.error) == ("42\n", "ok", False)

    async def test_a_mistake_is_a_result(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            result = await session.run(FAILS)
        assert "ZeroDivisionError" in result.logs
        assert (result.outcome, result.error) == ("error", True)

    async def test_a_session_is_new_until_code_ran_in_it(self, sandbox: Sandbox) -> None:
        for is_new in (True, False):
            async with sandbox.session("a") as session:
                assert (session.is_new, session.restarted) == (is_new, False)
                await session.put("in.txt", b"1")
                assert session.is_new == is_new
                await session.run(SETS)

    async def test_state_lives_on(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            await session.run(SETS)
        async with sandbox.session("a") as session:
            assert (await session.run(READS)).logs == "42\n"

    async def test_output_is_told_as_it_comes(self, sandbox: Sandbox) -> None:
        told: list[Output] = []
        async with sandbox.session("a") as session:
            result = await session.run(PLOTS, on_output=told.append)
        assert "".join(piece for piece in told if isinstance(piece, str)) == result.logs
        assert tuple(piece for piece in told if isinstance(piece, Image)) == result.images
        assert result.images[0].content.startswith(PNG)
        assert result.images[0].mime == "image/png"


class FilesGoInAndOut:
    async def test_what_was_put_is_there_under_each_name(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            assert await session.put("b.csv", _chunks(b"one", b"two"), also=["file-1"]) == "b.csv"
            assert await session.put("이름 .csv", b"") == "이름 .csv"
        assert await fetched(sandbox, "a", "b.csv") == b"onetwo"
        assert await fetched(sandbox, "a", "file-1") == b"onetwo"
        assert await fetched(sandbox, "a", "이름 .csv") == b""

    async def test_what_code_wrote_is_told_and_can_be_fetched(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            await session.put("in.csv", b"1")
            result = await session.run(WRITES)
        assert [(file.name, file.size) for file in result.files] == [("out.csv", 4)]
        assert await fetched(sandbox, "a", "out.csv") == b"a,b\n"

    async def test_a_file_that_is_not_there(self, sandbox: Sandbox) -> None:
        with pytest.raises(FileNotFoundError):
            await fetched(sandbox, "a", "nothing.csv")

    async def test_a_name_is_no_way_out(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            name = await session.put("../../etc/passwd", b"mine")
            assert "/" not in name  # where it lies, the attacks find out
        assert await fetched(sandbox, "a", name) == b"mine"


class SessionsAreApart:
    async def test_each_key_has_its_own(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as one, sandbox.session("b") as other:
            await one.put("secret.txt", b"1")
            await one.run(SETS)
            assert other.is_new
        with pytest.raises(FileNotFoundError):
            await fetched(sandbox, "b", "secret.txt")

    async def test_one_holder_at_a_time(self, sandbox: Sandbox) -> None:
        held: list[str] = []

        async def hold(name: str) -> None:
            async with sandbox.session("a"):
                held.append(f"{name} in")
                await asyncio.sleep(0.01)
                held.append(f"{name} out")

        await asyncio.wait_for(asyncio.gather(*(hold(name) for name in "xyz")), SOON_S)
        assert sorted(held[::2]) == ["x in", "y in", "z in"]
        assert [entry.replace("in", "out") for entry in held[::2]] == held[1::2]


class SessionsEnd:
    async def test_a_death_is_a_result_and_the_next_session_says_so(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            result = await session.run(DIES)
            assert result.outcome == "ended"
            assert "ended" in result.logs
            with pytest.raises(SessionEnded):
                await session.run(ANSWER)
            with pytest.raises(SessionEnded):
                await session.put("x", b"")
        async with sandbox.session("a") as session:
            assert (session.is_new, session.restarted) == (True, True)
            assert (await session.run(ANSWER)).logs == "42\n"

    async def test_what_was_ended_on_purpose_leaves_no_trace(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            await session.run(SETS)
        await sandbox.end("a")
        await sandbox.end("never there")
        async with sandbox.session("a") as session:
            assert (session.is_new, session.restarted) == (True, False)

    async def test_cancelling_stops_the_code_and_keeps_the_session(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            await session.run(SETS)

        async def hang() -> None:
            async with sandbox.session("a") as session:
                await session.run(HANGS)

        hanging = asyncio.create_task(hang())
        await asyncio.sleep(0.1)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(hanging, 1)
        async with asyncio.timeout(SOON_S), sandbox.session("a") as session:
            assert not session.restarted
            assert (await session.run(READS)).logs == "42\n"

    async def test_a_status_says_that_all_is_well(self, sandbox: Sandbox) -> None:
        async with sandbox.session("a") as session:
            await session.run(ANSWER)
        assert sandbox.status()["state"] == "ok"
