"""Files are read by processes of their own, which may crash, hang and ask for too much without harm to others."""

import asyncio
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from tests.retrieval import hamlet, hostile, samples

from understudy.ingest.parsing import Limits, MiB, Parsing, _result
from understudy.ingest.parsing_child import NICE
from understudy.retrieval.chunk import Auto, Static, chunks
from understudy.retrieval.documents import Fault, Unreadable
from understudy.retrieval.parse import parse

SLOW = "가나다라마바사아자차카타파하 " * 200_000  # takes a reader some seconds
linux = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks at processes through /proc")


async def streamed(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), 1 << 16):
        yield content[at : at + (1 << 16)]


@pytest.fixture
async def parsing() -> AsyncIterator[Parsing]:
    made = Parsing()
    yield made
    await made.close()


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in listed.read_text(encoding="ascii").split()] if listed.exists() else []


def hosts() -> list[int]:
    """Return the processes of this one that host readers."""
    return [c for c in children(os.getpid()) if b"parsing_child" in Path(f"/proc/{c}/cmdline").read_bytes()]


def readers() -> list[int]:
    return [process for host in hosts() for process in children(host)]


def exists(*processes: int) -> bool:
    return any(Path(f"/proc/{process}").exists() for process in processes)


def environment(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


def can_leave_the_network() -> bool:
    return subprocess.run(["unshare", "--user", "--net", "true"], capture_output=True, check=False).returncode == 0


async def until(condition: Callable[[], object]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to pass")


async def reader() -> int:
    """Return the process that reads a file, once there is one."""
    await until(readers)
    return readers()[0]


async def refused(parsing: Parsing, content: bytes, filename: str, code: Fault = "server_error") -> str:
    with pytest.raises(Unreadable) as caught:
        await parsing.cut(streamed(content), filename, Auto())
    assert caught.value.code == code
    return caught.value.message


async def test_a_file_comes_back_in_the_same_pieces_as_without_a_process(parsing: Parsing) -> None:
    for strategy in (Auto(), Static(100, 50), Auto(200)):
        found = await parsing.cut(streamed(hamlet.pdf()), "Hamlet_KOR.pdf", strategy)
        assert found == chunks(parse(hamlet.pdf(), "Hamlet_KOR.pdf"), strategy)
    assert len(found) > 6


async def test_files_of_many_kinds_are_read_at_once(parsing: Parsing) -> None:
    kinds = ["txt", "md", "docx", "pptx", "xlsx", "epub", "odt", "rtf", "eml", "doc", "html", "json"]
    found = await asyncio.gather(
        *(parsing.cut(streamed(samples.build(kind, "zh")), f"x.{kind}", Auto()) for kind in kinds)
    )
    assert all("注册资本为人民币500万元" in "".join(piece.text for piece in pieces) for pieces in found)


async def test_what_is_wrong_with_a_file_is_told_in_the_parsers_words(parsing: Parsing) -> None:
    assert "password" in await refused(parsing, hostile.locked_pdf(), "x.pdf", "invalid_file")
    assert ".hwp" in await refused(parsing, b"x", "x.hwp", "unsupported_file")


@linux
async def test_a_crash_fails_its_file_alone(parsing: Parsing) -> None:
    crashing = asyncio.create_task(refused(parsing, SLOW.encode(), "x.txt"))
    os.kill(await reader(), signal.SIGSEGV)
    beside = await parsing.cut(streamed(b"fine"), "y.txt", Auto())
    assert "crashed" in await crashing
    assert [piece.text for piece in beside] == ["fine"]


@linux
async def test_the_hosts_death_fails_no_file(parsing: Parsing) -> None:
    busy = asyncio.create_task(parsing.cut(streamed(hamlet.pdf()), "x.pdf", Auto()))
    await until(hosts)
    os.kill(hosts()[0], signal.SIGKILL)
    assert len(await busy) == len(hamlet.SCENES)


async def test_memory_without_bound_is_refused() -> None:
    parsing = Parsing(limits=Limits(memory_bytes=1024 * MiB))
    try:
        assert "memory" in await refused(parsing, hostile.far_cell(), "x.xlsx")
        assert len(await parsing.cut(streamed(b"fine"), "y.txt", Auto())) == 1
    finally:
        await parsing.close()


@pytest.mark.parametrize("limits", [Limits(cpu_s=1), Limits(wall_s=0.5)])
async def test_time_without_bound_is_refused(limits: Limits) -> None:
    parsing = Parsing(limits=limits)
    try:
        started = time.monotonic()
        assert "longer than is allowed" in await refused(parsing, SLOW.encode() * 2, "x.txt")
        assert time.monotonic() - started < 60
    finally:
        await parsing.close()


async def test_a_result_without_bound_is_refused() -> None:
    parsing = Parsing(limits=Limits(result_bytes=4096))
    try:
        assert "failed" in await refused(parsing, b"some words " * 10_000, "x.txt")
    finally:
        await parsing.close()


@pytest.mark.slow
async def test_more_text_than_the_hosted_limit_is_refused(parsing: Parsing) -> None:
    assert "5,000,000" in await refused(parsing, b"x y\n" * 2_600_000, "x.txt", "invalid_file")


@linux
async def test_cancelling_stops_the_reader(parsing: Parsing) -> None:
    busy = asyncio.create_task(parsing.cut(streamed(SLOW.encode() * 2), "x.txt", Auto()))
    process = await reader()
    busy.cancel()
    with pytest.raises(asyncio.CancelledError):
        await busy
    await until(lambda: not exists(process))
    assert len(await parsing.cut(streamed(b"fine"), "y.txt", Auto())) == 1


@linux
async def test_readers_know_no_secret_and_have_no_network(parsing: Parsing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNDERSTUDY_SECRET", "sk-very-secret")
    busy = asyncio.create_task(parsing.cut(streamed(SLOW.encode() * 2), "x.txt", Auto()))
    process = await reader()
    assert b"secret" not in environment(process)
    if can_leave_the_network():
        await until(lambda: os.readlink(f"/proc/{process}/ns/net") != os.readlink("/proc/self/ns/net"))
        opened = [os.readlink(f"/proc/{process}/fd/{name}") for name in os.listdir(f"/proc/{process}/fd")]
        assert not [path for path in opened if path.startswith("socket:")]
    busy.cancel()


@linux
async def test_reading_gives_way_to_the_servers_own_work(parsing: Parsing) -> None:
    busy = asyncio.create_task(parsing.cut(streamed(SLOW.encode()), "x.txt", Auto()))
    for process in (await reader(), *hosts()):
        assert os.getpriority(os.PRIO_PROCESS, process) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + NICE)
    busy.cancel()


@linux
async def test_the_host_leaves_when_it_has_nothing_to_do() -> None:
    parsing = Parsing(idle_s=0.2)
    await parsing.cut(streamed(b"fine"), "y.txt", Auto())
    [process] = hosts()
    await until(lambda: not exists(process))
    assert len(await parsing.cut(streamed(b"fine"), "y.txt", Auto())) == 1
    await parsing.close()


@linux
async def test_closing_ends_host_and_readers() -> None:
    parsing = Parsing()
    busy = asyncio.create_task(parsing.cut(streamed(SLOW.encode() * 2), "x.txt", Auto()))
    processes = [await reader(), *hosts()]
    await parsing.close()
    with pytest.raises(asyncio.CancelledError):
        await busy
    await until(lambda: not exists(*processes))


class Wrapped:
    """A jail that is a command before the command, and that may be left where nothing comes up inside."""

    def __init__(self, *before: str, may_be_left: bool = False) -> None:
        self._before = before
        self._may_be_left = may_be_left
        self.heard: list[str] = []

    async def around(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        return [*self._before, *command], [os.open("/dev/null", os.O_RDONLY)]

    def stood(self) -> None:
        self.heard.append("stood")

    def fell(self) -> bool:
        self.heard.append("fell")
        self._before, left = ((), True) if self._may_be_left else (self._before, False)
        self._may_be_left = False
        return left


async def test_the_host_starts_in_the_jail_that_it_is_given() -> None:
    jail = Wrapped("/usr/bin/env", "JAIL=yes")
    parsing = Parsing(jail=jail)
    try:
        assert len(await parsing.cut(streamed(hamlet.pdf()), "x.pdf", Auto())) == len(hamlet.SCENES)
        assert b"JAIL=yes" in environment(hosts()[0])
        assert "password" in await refused(parsing, hostile.locked_pdf(), "x.pdf", "invalid_file")
        assert set(jail.heard) == {"stood"}
    finally:
        await parsing.close()


@pytest.mark.parametrize("broken", ["/nowhere/at/all", "/bin/false"])
async def test_a_jail_that_does_not_start_is_told(broken: str) -> None:
    jail = Wrapped(broken)
    parsing = Parsing(jail=jail)
    assert "log" in await refused(parsing, b"fine", "x.txt")
    assert set(jail.heard) == {"fell"}
    await parsing.close()


@pytest.mark.parametrize("broken", ["/nowhere/at/all", "/bin/false"])
async def test_a_jail_that_does_not_start_may_be_left(broken: str) -> None:
    jail = Wrapped(broken, may_be_left=True)
    parsing = Parsing(jail=jail)
    several = (parsing.cut(streamed(b"fine"), "x.txt", Auto()) for _ in range(3))
    assert [len(pieces) for pieces in await asyncio.gather(*several)] == [1] * 3
    assert jail.heard == ["fell", "stood", "stood", "stood"]
    await parsing.close()


async def test_others_run_while_a_file_is_read(parsing: Parsing) -> None:
    busy = asyncio.create_task(parsing.cut(streamed(SLOW.encode()), "x.txt", Static(800, 400)))
    ticks = 0
    while not busy.done():
        await asyncio.sleep(0.005)
        ticks += 1
    assert len(await busy) > 500
    assert ticks > 50


async def test_there_are_never_more_readers_than_allowed() -> None:
    parsing = Parsing(concurrency=1)
    try:
        jobs = [asyncio.create_task(parsing.cut(streamed(SLOW[:200_000].encode()), "x.txt", Auto())) for _ in range(4)]
        seen = set()
        while not all(job.done() for job in jobs):
            seen.add(len(readers()))
            await asyncio.sleep(0.005)
        assert max(seen) <= 1
    finally:
        await parsing.close()


@pytest.mark.parametrize(
    "line",
    ["", "x", "[]", "{}", "7", '["piece", 1]', '["piece", "t", "a", 1, null, [], 1]', '["refusal", "ok", ""]', "[[]]"],
)
def test_a_reader_that_was_taken_over_may_write_what_it_likes(line: str) -> None:
    with tempfile.TemporaryFile() as found:
        found.write(line.encode())
        with pytest.raises(Unreadable) as caught:
            _result(found)
    assert caught.value.code == "server_error"
