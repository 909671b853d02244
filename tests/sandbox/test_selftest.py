"""The self-test bites: with any wall missing it says which, and no code is run."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox.conftest import MakeSandbox, settings

from understudy.errors import Unavailable
from understudy.sandbox import bubblewrap, jail, mending, seccomp
from understudy.sandbox.bubblewrap import BubblewrapSandbox
from understudy.sandbox.limits import Limits

ALLOW_ALL = bytes.fromhex("06000000") + (0x7FFF0000).to_bytes(4, "little")
real_arguments = jail.arguments


def without(*words: str) -> Callable[..., list[str]]:
    def arguments(*given: Any) -> list[str]:
        found = real_arguments(*given)
        for word in words:
            found.remove(word)  # the first of its kind
        return found

    return arguments


def before_the_last(*words: str) -> Callable[..., list[str]]:
    def arguments(*given: Any) -> list[str]:
        found = real_arguments(*given)
        place = found.index("--remount-ro", found.index("/home/sandbox"))
        return [*found[:place], *words, *found[place:]]

    return arguments


async def why_off(**changes: Any) -> str:
    sandbox = BubblewrapSandbox(settings(**changes))
    why = await sandbox.tried()
    assert why is not None
    assert sandbox.status() == {"state": "off", "kind": "bubblewrap", "why": why}
    with pytest.raises(Unavailable, match="The code interpreter is off: "):
        async with sandbox.session("a"):
            pytest.fail("code could be run")
    await sandbox.aclose()
    return why


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (without("--unshare-net"), "it shares the net namespace"),
        (without("--unshare-ipc"), "it shares the ipc namespace"),
        (without("--unshare-uts", "--hostname", "sandbox"), "it shares the uts namespace"),
        (without("--unshare-cgroup"), "it shares the cgroup namespace"),
        (before_the_last("--ro-bind", "/var/tmp", "/var/tmp"), "it reads the server's files"),
        (before_the_last("--tmpfs", "/etc"), "it writes to /etc"),
        (before_the_last("--tmpfs", "/mnt/data"), "/mnt/data has no size"),
        (before_the_last("--dev-bind", "/dev", "/dev"), "it has devices"),
    ],
)
async def test_a_missing_wall_is_named(
    make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch, arguments: Callable[..., list[str]], says: str
) -> None:
    monkeypatch.setattr(jail, "arguments", arguments)
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")
    assert says in await why_off()


async def test_a_missing_filter_is_named(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "program", lambda: ALLOW_ALL)
    assert "it opens network sockets" in await why_off()


async def test_missing_limits_are_named(make_sandbox: MakeSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Limits, "inside", lambda _: {})
    why = await why_off()
    assert "it has no limits" in why
    assert "it starts any number of processes" in why


async def test_code_is_never_run_as_root(make_sandbox: MakeSandbox) -> None:

    if os.geteuid() != 0:
        pytest.skip("only root could")
    assert "never run as root" in await why_off(uid=0)


async def test_what_is_missing_is_told(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "run `understudy sandbox setup`" in await why_off(folder=tmp_path)
    assert "the setting `sandbox` is off" in await why_off(enabled=False)


async def test_missing_bubblewrap_is_told_with_what_else_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(bubblewrap, "_NOT_ON_PATH", str(tmp_path / "bwrap"))
    why = await why_off(folder=tmp_path)
    assert "apt-get install bubblewrap" in why
    assert "run `understudy sandbox setup`" in why


@pytest.mark.parametrize("says", ["bubblewrap 0.6.2", "hello"])
async def test_another_bubblewrap_is_told(
    make_sandbox: MakeSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\necho {says}\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert f"{tmp_path / 'bwrap'} is {says}; 0.8 or newer is needed" in await why_off()


async def test_it_is_on_as_soon_as_the_environment_is_there(make_sandbox: MakeSandbox, tmp_path: Any) -> None:
    folder = settings().folder
    sandbox = BubblewrapSandbox(settings(folder=folder.parent / "not there yet"))
    assert await sandbox.tried()
    sandbox._settings = settings()
    assert await sandbox.tried() is None
    assert sandbox.status() == {"state": "ok", "kind": "bubblewrap"}
    await sandbox.aclose()


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        ("bwrap: Can't find source path /root/x: Permission denied", "chmod o+x"),
        ("bwrap: No permissions to create new namespace", "No permissions to create"),
        ("", "bubblewrap says"),
    ],
)
def test_bubblewraps_words_become_advice(words: str, helps: str) -> None:
    assert helps in mending.mend(words)


def test_switches_of_the_kernel_that_stand_wrong(tmp_path: Any) -> None:
    for name, value in {
        "kernel/unprivileged_userns_clone": "0",
        "kernel/apparmor_restrict_unprivileged_userns": "1",
        "user/max_user_namespaces": "1000",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    said = mending._switches(tmp_path)
    assert "sysctl -w kernel.unprivileged_userns_clone=1" in said
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in said
    assert "max_user_namespaces" not in said
    assert mending._switches(tmp_path / "elsewhere") == ""
