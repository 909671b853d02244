"""Sessions in real jails: what code sees, what comes out, what their ends look like."""

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.sandbox.conftest import MakeSandbox

from understudy.errors import NoRoom, SessionEnded
from understudy.sandbox.base import Image, Output, Result
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.session import JailSession

pytestmark = pytest.mark.asyncio(loop_scope="module")
MiB = 1024 * 1024
SOON_S = 20.0


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared(make_sandbox: MakeSandbox) -> AsyncIterator[BubblewrapSandbox]:
    limits = {"grace_s": 1.0, "output": 4000, "memory": 512 * MiB, "disk": 64 * MiB}
    async with make_sandbox(**limits) as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="module")
async def session(shared: BubblewrapSandbox, request: pytest.FixtureRequest) -> AsyncIterator[JailSession]:
    async with shared.session(request.node.name) as session:
        yield session
    await shared.end(request.node.name)


def is_running(process: int) -> bool:
    return Path(f"/proc/{process}").exists()


async def test_a_busy_server_has_sessions_too(make_sandbox: MakeSandbox) -> None:
    """Its connections take the first thousand handles."""
    had = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (had[1], had[1]))
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        async with make_sandbox() as sandbox, sandbox.session("late") as session:
            assert (await session.run("print(6 * 7)")).logs == "42\n"
    finally:
        for handle in held:
            os.close(handle)
        resource.setrlimit(resource.RLIMIT_NOFILE, had)


class TestCode:
    async def test_errors_show_the_line_and_nothing_of_ours(self, session: JailSession) -> None:
        logs = (await session.run("def f(x):\n    return 1 / x\n\nf(0)")).logs
        assert "ZeroDivisionError" in logs
        assert "return 1 / x" in logs
        assert "/opt/inside" not in logs
        assert "\x1b" not in logs

    async def test_a_syntax_error_is_told(self, session: JailSession) -> None:
        result = await session.run("for in x")
        assert "SyntaxError" in result.logs
        assert result.outcome == "error"

    async def test_errors_and_prints_come_in_their_order(self, session: JailSession) -> None:
        code = "import sys\nfor n in range(3):\n    print(n)\n    print('e', n, file=sys.stderr)"
        assert (await session.run(code)).logs == "0\ne 0\n1\ne 1\n2\ne 2\n"

    async def test_the_last_value_counts_and_none_is_none(self, session: JailSession) -> None:
        assert (await session.run("1\n2")).logs == "2\n"
        assert (await session.run("None")).logs == ""
        assert (await session.run("x = 3")).logs == ""
        assert (await session.run("4;")).logs == ""
        logs = (await session.run("import pandas as pd\npd.DataFrame({'값': [1, 2]})")).logs
        assert logs.split() == ["값", "0", "1", "1", "2"]

    async def test_models_write_as_in_notebooks(self, session: JailSession) -> None:
        code = (
            "%matplotlib inline\nfrom IPython.display import display\ndisplay(5)\n!echo shell\n"
            "import asyncio\nawait asyncio.sleep(0)"
        )
        assert (await session.run(code)).logs == "5\nshell\n"

    async def test_exit_and_input_do_no_harm(self, session: JailSession) -> None:
        for code in ("exit()", "quit()", "import sys; sys.exit(3)", "input('?')"):
            await session.run(code)
        assert (await session.run("'here'")).logs == "'here'\n"

    async def test_helpers_and_state_of_all_kinds_live_on(self, session: JailSession) -> None:
        await session.run(
            "import math\ndef area(r): return math.pi * r * r\nfile = open('/mnt/data/x', 'w'); file.write('a')"
        )
        logs = (await session.run("file.write('b'); file.close()\nprint(open('x').read(), round(area(1), 2))")).logs
        assert logs == "ab 3.14\n"

    async def test_modules_beside_the_data_can_be_imported_and_hide_no_other(self, session: JailSession) -> None:
        await session.put("mine.py", b"value = 7")
        await session.put("random.py", b"raise SystemError('the wrong one')")
        assert (await session.run("import mine, random, subprocess\nmine.value")).logs == "7\n"

    async def test_scripts_and_processes_can_be_started(self, session: JailSession) -> None:
        code = (
            "script = 'import numpy, matplotlib.pyplot as plt; plt.plot([1]); plt.show(); print(numpy.ones(2))'\n"
            "open('s.py', 'w').write(script)\n"
            "import subprocess, sys\nprint(subprocess.run([sys.executable, 's.py'], capture_output=True, text=True))"
        )
        assert "[1. 1.]" in (await session.run(code)).logs
        code = "import math, multiprocessing\nprint(multiprocessing.Pool(3).map(math.factorial, range(5)))"
        assert (await session.run(code)).logs == "[1, 1, 2, 6, 24]\n"

    async def test_every_promised_package_is_there(self, session: JailSession) -> None:
        code = (
            "import numpy, pandas, scipy.stats, matplotlib, sympy, sklearn.linear_model\n"
            "import openpyxl, docx, pptx, pypdf, PIL, tabulate\n"
            "x = sympy.symbols('x'); print(sympy.integrate(x ** 2))\n"
            "pandas.DataFrame({'a': [1]}).to_excel('a.xlsx'); print(pandas.read_excel('a.xlsx').shape)\n"
            "print(sklearn.linear_model.LinearRegression().fit([[0], [1]], [0, 2]).coef_)"
        )
        assert (await session.run(code)).logs == "x**3/3\n(1, 2)\n[2.]\n"

    async def test_a_prime_of_the_walkthrough(self, session: JailSession) -> None:
        code = "import sympy\nprimes = [n for n in range(414, 500) if sympy.isprime(n)]\nprimes[3] ** 3"
        assert (await session.run(code)).logs == "81182737\n"


class TestImages:
    async def test_figures_come_one_by_one_between_the_prints(self, session: JailSession) -> None:
        told: list[Output] = []
        code = (
            "import matplotlib.pyplot as plt\n"
            "for n in (1, 2):\n    plt.plot([n])\n    plt.show()\n    print(n)\nplt.plot([3]);"
        )
        result = await session.run(code, on_output=told.append)
        assert [piece if isinstance(piece, str) else "image" for piece in told] == [
            "image",
            "1\n",
            "image",
            "2\n",
            "image",
        ]
        assert len({image.content for image in result.images}) == 3

    async def test_a_figure_that_is_a_value_comes_once(self, session: JailSession) -> None:
        code = "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1])\nfigure"
        assert len((await session.run(code)).images) == 1
        assert (await session.run("1")).images == ()

    async def test_pil_images_come_as_values_and_when_shown(self, session: JailSession) -> None:
        result = await session.run("from PIL import Image\nred = Image.new('RGB', (9, 9), 'red')\nred.show()\nred")
        assert len(result.images) == 2

    @pytest.mark.parametrize(
        "font", ["", "plt.rcParams['font.family'] = 'Malgun Gothic'", "plt.rcParams['font.sans-serif'] = ['SimHei']"]
    )
    async def test_korean_and_chinese_labels_show(self, session: JailSession, font: str) -> None:
        text = {"": "매출 销售额", "plt.rcParams['font.family'] = 'Malgun Gothic'": "매출"}.get(font, "销售额")
        code = f"import matplotlib.pyplot as plt\n{font}\nplt.title({text!r}); plt.plot([-1, 1]); plt.show()"
        result = await session.run(code)
        assert result.logs == ""  # a missing glyph or font is warned of
        assert len(result.images) == 1

    async def test_a_figure_that_cannot_be_drawn_is_an_error(self, session: JailSession) -> None:
        result = await session.run("import matplotlib.pyplot as plt\nplt.title('$\\\\frac{$');")
        assert result.outcome == "error"
        assert "ParseException" in result.logs or "ValueError" in result.logs


class TestFiles:
    async def test_changed_files_are_told_once(self, session: JailSession) -> None:
        await session.put("in.csv", b"a\n1\n")
        first = await session.run(
            "import os; os.mkdir('out'); open('out/b.csv', 'w').write('1'); open('.hidden', 'w').write('1')"
        )
        assert [(file.name, file.size) for file in first.files] == [("out/b.csv", 1)]
        assert (await session.run("1")).files == ()
        again = await session.run("open('in.csv', 'a').write('2\\n'); open('out/b.csv', 'a').write('2')")
        assert sorted((file.name, file.size) for file in again.files) == [("in.csv", 6), ("out/b.csv", 2)]
        assert b"".join([piece async for piece in session.fetch("out/b.csv")]) == b"12"

    async def test_large_files_go_both_ways(self, session: JailSession) -> None:
        piece = bytes(range(256)) * 4096

        async def content() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield piece
                yield b""

        await session.put("big.bin", content())
        await session.run("open('twice.bin', 'wb').write(open('big.bin', 'rb').read()[:-1])")
        back = b"".join([part async for part in session.fetch("twice.bin")])
        assert back == (piece * 20)[:-1]

    async def test_what_does_not_fit_is_refused_and_gone(self, session: JailSession) -> None:
        async def endless() -> AsyncIterator[bytes]:
            for _ in range(80):
                yield bytes(MiB)

        with pytest.raises(NoRoom, match=r"big\.bin"):
            await session.put("big.bin", endless())
        assert (await session.run("import os; os.listdir('.')")).logs == "[]\n"

    async def test_a_file_lies_there_under_its_id_and_its_name(self, session: JailSession) -> None:
        await session.put("s.csv", b"x", also=["file-abc123"])
        assert (await session.run("open('/mnt/data/file-abc123').read() + open('s.csv').read()")).logs == "'xx'\n"
        assert (await session.put("s.csv", b"y", also=["file-abc123"])) == "s.csv"
        assert (await session.run("open('file-abc123').read()")).logs == "'y'\n"


class TestStops:
    async def test_a_timeout_keeps_the_state(self, session: JailSession) -> None:
        begun = time.monotonic()
        result = await session.run("kept = 1\nprint('before', flush=True)\nwhile True: pass", timeout_s=2)
        assert time.monotonic() - begun < SOON_S
        assert result.outcome == "timeout"
        assert result.logs.startswith("before\n")
        assert "ran for more than 2 s" in result.logs
        assert (await session.run("kept")).logs == "1\n"

    async def test_further_interrupts_do_not_spoil_how_the_error_is_told(self, session: JailSession) -> None:
        code = (
            "import time\nkept = 1\nclass Slow(Exception):\n    def _render_traceback_(self):\n"
            "        begun = time.process_time()\n        while time.process_time() < begun + 0.6: pass\n"
            "        return ['told whole']\n"
            "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    raise Slow from None"
        )
        result = await session.run(code, timeout_s=1.5)
        assert result.outcome == "timeout"
        assert "told whole" in result.logs
        assert "KeyboardInterrupt" not in result.logs
        assert (await session.run("kept")).logs == "1\n"

    async def test_what_heeds_no_interrupt_is_killed(self, session: JailSession) -> None:
        code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
        result = await session.run(code, timeout_s=1.5)
        assert result.outcome == "ended"
        assert "after it had been interrupted" in result.logs
        with pytest.raises(SessionEnded):
            await session.run("1")

    async def test_cancelling_interrupts_and_the_next_call_waits(self, session: JailSession) -> None:
        await session.run("import time\nkept = 1")
        code = "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    time.sleep(0.2)\n    kept = 2\n    raise"
        calling = asyncio.create_task(session.run(code))
        await asyncio.sleep(0.3)
        begun = time.monotonic()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert time.monotonic() - begun < 0.5
        assert session.busy
        assert (await session.run("kept")).logs == "2\n"

    async def test_cancelling_before_the_code_has_begun(self, session: JailSession) -> None:
        await session.run("import time\nkept = 1")
        calling = asyncio.create_task(session.run("time.sleep(600)"))
        await asyncio.sleep(0)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        async with asyncio.timeout(SOON_S):
            assert (await session.run("kept")).logs == "1\n"
            assert (await session.run("time.sleep(1); kept + 1")).logs == "2\n"  # no late interrupt hits it

    async def test_cancelled_code_stops_within_a_second(self, session: JailSession) -> None:
        await session.run("import time\nticks = 0")
        calling = asyncio.create_task(session.run("while True:\n    ticks += 1\n    time.sleep(0.01)"))
        await asyncio.sleep(0.3)
        calling.cancel()
        begun = time.monotonic()
        await session.settled()
        assert time.monotonic() - begun < 1
        first = (await session.run("ticks")).logs
        await asyncio.sleep(0.2)
        assert (await session.run("ticks")).logs == first

    async def test_much_output_keeps_its_beginning_and_its_end(self, session: JailSession) -> None:
        told: list[Output] = []
        result = await session.run("print('first')\nprint('x' * 50_000)\n1 / 0", on_output=told.append)
        assert result.logs.startswith("first\nxxx")
        assert "bytes of output are left out here" in result.logs
        assert result.logs.rstrip().endswith("ZeroDivisionError: division by zero")
        assert len(result.logs) < 4200
        assert result.truncated
        assert "".join(piece for piece in told if isinstance(piece, str)) == result.logs

    async def test_nothing_of_a_jail_is_left(self, shared: BubblewrapSandbox) -> None:
        async with shared.session("to be ended") as session:
            await session.run("import os\nif not os.fork(): os.setsid(); __import__('time').sleep(600)")
            jail = session.jail
            processes = [jail.process.pid, jail.init_id, jail.worker_id]
            assert all(map(is_running, processes))
        await shared.end("to be ended")
        assert not any(map(is_running, processes))


class TestLimits:
    async def test_the_processor_time_of_a_session(self, make_sandbox: MakeSandbox) -> None:
        async with make_sandbox(cpu_s=1.5) as sandbox, sandbox.session("a") as session:
            result: Result = await session.run("print('on', flush=True)\nwhile True: pass", timeout_s=SOON_S)
        assert result.outcome == "ended"
        assert "processor time" in result.logs or "SIGXCPU" in result.logs or "SIGKILL" in result.logs

    async def test_what_goes_on_after_a_call_is_watched_too(self, make_sandbox: MakeSandbox) -> None:
        async with make_sandbox(memory=300 * MiB) as sandbox:
            async with sandbox.session("a") as session:
                await session.run(
                    "import os, time\nif not os.fork():\n    time.sleep(0.5)\n    kept = b'x' * (250 << 20)\n"
                    "    more = b'x' * (150 << 20)\n    time.sleep(600)"
                )
                for _ in range(100):
                    if not session.alive:
                        break
                    await asyncio.sleep(0.1)
                assert not session.alive
            async with sandbox.session("a") as session:
                assert session.restarted

    async def test_images_are_counted(self, make_sandbox: MakeSandbox) -> None:
        async with make_sandbox(images=2) as sandbox, sandbox.session("a") as session:
            result = await session.run(
                "import matplotlib.pyplot as plt\n"
                "for n in range(4):\n    plt.figure(figsize=(1, 1)); plt.plot([n])\nplt.show()"
            )
            assert len(result.images) == 2
            assert all(isinstance(image, Image) for image in result.images)
            assert "left out" in result.logs
