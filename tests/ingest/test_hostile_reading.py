"""What a document can do that has taken its parser over: in the jail nothing, and less than the server without one.

The hole is made (`taken_over.py`): the parser runs the document as a program. All around it is what users have.
"""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.ingest.test_parsing import hosts, streamed
from tests.retrieval import hamlet, hostile, samples, scans

from understudy.ingest.parsing import Limits, MiB, Parsing
from understudy.retrieval.chunk import Auto, chunks
from understudy.retrieval.documents import Unreadable
from understudy.retrieval.parse import parse
from understudy.sandbox.reader_jail import ReaderJail

HERE = Path(__file__).parent
HOLE = HERE / "taken_over.py"
GOT = "it got out"


def is_there() -> bool:
    async def ask() -> bool:
        return await ReaderJail().tried() is None

    return asyncio.run(ask())


pytestmark = pytest.mark.skipif(not is_there(), reason="no jail can be had here")


class Holed:
    """A jail, or none, around the host with the hole."""

    def __init__(self, jail: ReaderJail | None) -> None:
        self._jail = jail

    async def around(self, command: Sequence[str]) -> tuple[list[str], list[int]]:
        flag = command.index("-m")
        holed = [*command[:flag], str(HOLE), *command[flag + 2 :]]
        return await self._jail.around(holed) if self._jail else (holed, [])

    def stood(self) -> None:
        if self._jail:
            self._jail.stood()

    def fell(self) -> bool:
        return False


@pytest.fixture
async def jailed() -> AsyncIterator[Parsing]:
    parsing = Parsing(jail=Holed(ReaderJail([HERE])))
    yield parsing
    await parsing.close()


@pytest.fixture
async def free() -> AsyncIterator[Parsing]:
    parsing = Parsing(jail=Holed(None))
    yield parsing
    await parsing.close()


async def said(parsing: Parsing, program: str, **names: object) -> str:
    """Have a document read whose text is a program; return what that printed."""
    head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
    pieces = await parsing.cut(streamed((head + program).encode()), "innocent.txt", Auto())
    return "".join(piece.text for piece in pieces).strip()


# --- attacks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bait:
    """What nobody who reads a document may reach."""

    secret: str
    folder: str
    process: int
    port: int
    abstract: str
    path: str


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    words, folder = secrets.token_hex(), tmp_path / "server"
    folder.mkdir(mode=0o755)
    (folder / "secret").write_text(words)
    path, abstract = f"{folder}/unix", f"understudy-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket(family)) for family in (socket.AF_INET, *[socket.AF_UNIX] * 2)]
        for listener, address in zip(listeners, [("127.0.0.1", 0), f"\0{abstract}", path], strict=True):
            listener.bind(address)
            listener.listen()
        beside = subprocess.Popen(["/bin/cat"], env={"SECRET": words}, stdin=subprocess.PIPE)
        stack.callback(beside.communicate)
        yield Bait(words, str(folder), beside.pid, listeners[0].getsockname()[1], abstract, path)


ATTEMPT = f"""
def attempt(what):
    try:
        return {GOT!r} if what() else "nothing there"
    except (OSError, AttributeError) as problem:
        return f"refused: {{problem}}"
import ctypes, os, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def connects(family, address):
    with socket.socket(family) as one:
        one.settimeout(2)
        one.connect(address)
    return True
def runs(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout
def reads_memory():
    class Part(ctypes.Structure):
        _fields_ = [("start", ctypes.c_void_p), ("size", ctypes.c_size_t)]
    there = open(f"/proc/{{PROCESS}}/maps").readline().split("-")[0]
    room = ctypes.create_string_buffer(4)
    here, far = Part(ctypes.addressof(room), 4), Part(int(there, 16), 4)
    return libc.process_vm_readv(PROCESS, ctypes.byref(here), 1, ctypes.byref(far), 1, 0) == 4
"""

WITHOUT_A_JAIL_IT_CAN = {
    "read a file": "open(FOLDER + '/secret').read() == SECRET",
    "list a folder": "os.listdir(FOLDER)",
    "write a file": "open(FOLDER + '/more', 'w').write('x')",
    "run a program that reads": "SECRET in runs('/bin/cat', FOLDER + '/secret')",
    "see a process": "os.kill(PROCESS, 0) is None",
    "reach a socket that has a path": "connects(socket.AF_UNIX, PATH)",
    "make memory that nobody counts": "os.memfd_create('x')",
    "open a socket": "socket.socket(socket.AF_INET)",
}
NEVER = {  # where the kernel lets a reader have a user namespace of its own, which also keeps it from the network
    "see a process's variables": "SECRET in open(f'/proc/{PROCESS}/environ').read()",
    "read a process's memory": "reads_memory()",
    "connect": "connects(socket.AF_INET, ('127.0.0.1', PORT))",
    "reach an abstract socket": "connects(socket.AF_UNIX, chr(0) + ABSTRACT)",
    "see the server's variables": "any(SECRET in value for value in os.environ.values())",
}


def names(bait: Bait) -> dict[str, object]:
    return {
        "SECRET": bait.secret,
        "FOLDER": bait.folder,
        "PROCESS": bait.process,
        "PORT": bait.port,
        "ABSTRACT": bait.abstract,
        "PATH": bait.path,
    }


async def attempted(parsing: Parsing, bait: Bait, attacks: dict[str, str]) -> dict[str, str]:
    """Make all attempts out of one document; return how each ended."""
    program = ATTEMPT + "import json\nfound = {}\n"
    program += "".join(f"found[{name!r}] = attempt(lambda: {attack})\n" for name, attack in attacks.items())
    told = await said(parsing, program + "print(json.dumps(found))", **names(bait))
    return dict(json.loads(told))


async def test_a_document_that_took_its_parser_over_gets_nothing(jailed: Parsing, bait: Bait) -> None:
    ended = await attempted(jailed, bait, WITHOUT_A_JAIL_IT_CAN | NEVER)
    assert not {name: how for name, how in ended.items() if not how.startswith(("refused", "nothing"))}
    assert sorted(os.listdir(bait.folder)) == ["secret", "unix"]


async def test_without_a_jail_it_gets_what_the_account_may_have(free: Parsing, bait: Bait) -> None:
    """The attacks are real: what the jail refuses can be done without it."""
    ended = await attempted(free, bait, WITHOUT_A_JAIL_IT_CAN)
    assert set(ended.values()) == {GOT}, ended


async def test_there_is_nowhere_to_write_to(jailed: Parsing) -> None:
    program = """
import os
written = []
for folder, folders, _ in os.walk("/"):
    folders[:] = [name for name in folders if folder.count("/") < 4]
    try:
        open(folder + "/understudy-probe", "w").close()
        written.append(folder)
    except OSError:
        pass
print("nowhere" if not written else written)
"""
    assert await said(jailed, program) == "nowhere"


async def test_one_document_cannot_get_at_another(jailed: Parsing) -> None:
    """Readers share a jail, but see nothing of each other."""
    waits = "import time\ntime.sleep(2)\nprint('left alone')"
    other = asyncio.create_task(said(jailed, waits))
    await asyncio.sleep(1)
    program = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
found = []
for process in range(1, 60):
    if process == os.getpid():
        continue
    if libc.ptrace(16, process, 0, 0) == 0:
        found.append(f"ptrace {process}")
    for what in ("mem", "environ", "fd/3"):
        try:
            open(f"/proc/{process}/{what}", "rb")
            found.append(f"{what} of {process}")
        except OSError:
            pass
print("nothing" if not found else found)
"""
    assert await said(jailed, program) == "nothing"
    assert "left alone" in await other


async def test_what_a_reader_starts_ends_with_it(jailed: Parsing, tmp_path: Path) -> None:
    lingering = "import subprocess\nsubprocess.Popen(['/bin/sleep', '12345.6'])\nprint('done')"
    assert await said(jailed, lingering) == "done"
    end = time.monotonic() + 5
    while sleeping := [line for line in _commands() if b"12345.6" in line]:
        assert time.monotonic() < end, sleeping
        await asyncio.sleep(0.05)


def _commands() -> Iterator[bytes]:
    for process in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            yield Path("/proc", process, "cmdline").read_bytes()


async def test_limits_hold_in_the_jail() -> None:
    parsing = Parsing(jail=Holed(ReaderJail([HERE])), limits=Limits(memory_bytes=1024 * MiB, cpu_s=1, wall_s=5))
    try:
        for program, told in (
            ("print(len(bytearray(1 << 31)))", "memory"),
            ("while True: pass", "longer than is allowed"),
            ("import time\ntime.sleep(60)", "longer than is allowed"),
        ):
            with pytest.raises(Unreadable) as caught:
                await said(parsing, program)
            assert told in caught.value.message
        assert await said(parsing, "print('fine')") == "fine"
    finally:
        await parsing.close()


# --- documents --------------------------------------------------------------------------------------------------------


async def test_every_format_is_read_in_the_jail() -> None:
    """Nothing that a parser needs is missing inside."""
    jail = ReaderJail()
    parsing = Parsing(jail=jail)
    kinds = ["txt", "md", "docx", "pptx", "xlsx", "epub", "odt", "rtf", "eml", "doc", "html", "json", "csv", "tex"]
    try:
        found = await asyncio.gather(
            *(parsing.cut(streamed(samples.build(kind, "ko")), f"x.{kind}", Auto()) for kind in kinds)
        )
        assert found == [chunks(parse(samples.build(kind, "ko"), f"x.{kind}"), Auto()) for kind in kinds]
        assert await parsing.cut(streamed(hamlet.pdf()), "x.pdf", Auto()) == chunks(
            parse(hamlet.pdf(), "x.pdf"), Auto()
        )
        with pytest.raises(Unreadable, match="password"):
            await parsing.cut(streamed(hostile.locked_pdf()), "x.pdf", Auto())
        if scans.readable("en"):
            pieces = await parsing.cut(streamed(scans.scanned("The willow grows aslant.", "en")), "scan.pdf", Auto())
            assert "willow grows aslant" in pieces[0].text
        [host] = hosts()
        assert os.readlink(f"/proc/{host}/exe").endswith("bwrap")
        assert jail.status() == {"state": "ok", "kind": "bubblewrap"}
    finally:
        await parsing.close()
