"""When documents are read in a jail, when not, and what is said of it. What holds inside: tests/ingest."""

import asyncio
import logging
import os
import sys
from pathlib import Path

import pytest

from understudy.sandbox import bubblewrap, reader_jail
from understudy.sandbox.reader_jail import ReaderJail

HELLO = [sys.executable, "-I", "-S", "-c", "print('hello')"]


def program(folder: Path, script: str) -> str:
    """Make a program that stands in bubblewrap's place."""
    path = folder / "bwrap"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that is looked into for bubblewrap first."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


async def started(jail: ReaderJail) -> list[str]:
    command, files = await jail.around(HELLO)
    for file in files:
        os.close(file)
    return command


IS_NEW = '[ "$1" = --version ] && echo bubblewrap 0.9.0'


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo bubblewrap 0.4.1", "0.8 or newer"),
        (IS_NEW + ' || { echo "bwrap: No permissions" >&2; exit 1; }', "No perm"),
        (IS_NEW + " || exit 1", "without a word"),
        (f"{IS_NEW} || echo '[\"it reads too much\"]'", "it reads too much"),
        # one that builds no walls: the probes find that out
        (
            IS_NEW + ' || { while [ "$1" != -- ]; do shift; done; shift; "$@"; }',
            "/tmp",
        ),
    ],
)
async def test_without_a_jail_that_holds_a_program_runs_as_it_is(another: Path, script: str, why: str) -> None:
    program(another, script)
    jail = ReaderJail()
    assert jail.status() == {"state": "off", "kind": "bubblewrap", "why": "No documents are read here."}
    assert await started(jail) == HELLO
    assert why in str(await jail.tried())
    said = jail.status()
    assert (said["state"], said["kind"]) == ("ok", "process")
    assert why in said["why"]
    assert not jail.fell()


async def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_jail.sys, "platform", "darwin")
    assert "Linux" in str(await ReaderJail().tried())


async def test_the_trial_is_made_once_and_can_be_ended(another: Path) -> None:
    counted = another / "count"
    program(another, f"{IS_NEW} || {{ echo x >> {counted}; sleep 0.2; exit 1; }}")
    jail = ReaderJail()
    jail.begin()
    assert jail.status()["state"] == "starting"
    await asyncio.gather(*(jail.tried() for _ in range(5)))
    assert counted.read_text() == "x\n"
    await jail.aclose()
    await ReaderJail().aclose()


@pytest.fixture
async def jail() -> ReaderJail:
    try:
        bubblewrap.bubblewrap_path()
    except bubblewrap.Unavailable as problem:
        pytest.skip(str(problem))
    jail = ReaderJail()
    if why := await jail.tried():
        pytest.skip(why)
    return jail


async def test_what_runs_inside_is_given_back(jail: ReaderJail) -> None:
    command, [rules] = await jail.around(HELLO)
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, pass_fds=[rules])
    os.close(rules)
    assert (await process.communicate())[0] == b"hello\n"
    assert jail.status() == {"state": "ok", "kind": "bubblewrap"}


async def test_it_is_left_only_if_nothing_ever_came_up_inside(
    jail: ReaderJail, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert jail.fell()
    assert "without a jail" in caplog.text
    assert await started(jail) == HELLO
    assert jail.status()["kind"] == "process"


async def test_a_document_does_not_talk_its_way_out(jail: ReaderJail) -> None:
    jail.stood()
    assert not jail.fell()
    assert len(await started(jail)) > len(HELLO)


async def test_little_is_shown(jail: ReaderJail, tmp_path: Path) -> None:
    """Of a virtual environment or a source tree only what is the program."""
    look = "import os; print(*sorted(os.listdir('/')), *sorted(os.listdir(os.path.expanduser('~'))), sep=':')"
    command, [rules] = await jail.around([sys.executable, "-I", "-S", "-c", look])
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={"HOME": "/usr"}, pass_fds=[rules]
    )
    os.close(rules)
    out, err = await process.communicate()
    shown = set(out.decode().strip().split(":"))
    assert not err
    assert not {"proc", "sys", "run", "var", "srv", "boot", "mnt"} & shown
