"""What the papers tell operators to type is there: settings, commands, files. No container engine is needed."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import pytest
import yaml
from tests.harness.server import Server

from understudy import config
from understudy.cli import cli
from understudy.sandbox import seccomp

ROOT = Path(__file__).parent.parent
PAGES = ("docs/deployment.md", "docs/operations.md", "docs/reliability.md", "README.md", "SECURITY.md", "Dockerfile")
OF_DOCKER = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD"}


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text(page), re.M | re.S)


def insist_on(words: list[str]) -> None:
    """Let the command line read a command; nothing is carried out."""
    command: click.Command = cli
    with click.Context(cli) as context:
        while isinstance(command, click.Group):
            assert words, f"{command.name} needs a command"
            found = command.get_command(context, words[0])
            assert found is not None, f"there is no command {words[0]!r}"
            command, words = found, words[1:]
        with suppress(click.BadParameter):  # paths are examples, and running text leaves arguments out
            command.make_context(command.name, list(words))


def commands(page: str) -> Iterator[list[str]]:
    """Yield what is typed after `understudy`, in code and in running text."""
    for code in [*blocks(page, "sh"), *re.findall(r"`([^`\n]+)`", text(page))]:
        for line in code.splitlines():
            for part in re.split(r"&&|\|\|", line.partition(" #")[0]):
                program, _, rest = part.strip().partition(" ")
                if program.rpartition("/")[2] == "understudy" and rest:
                    yield shlex.split(rest.replace("…", "/x"))


@pytest.mark.parametrize("page", PAGES)
def test_every_variable_is_a_setting(page: str) -> None:
    known = {f"UNDERSTUDY_{name.upper()}" for name in config.SCALARS}
    told = set(re.findall(r"\bUNDERSTUDY_[A-Z_]+\b", text(page)))
    assert told <= known, f"{page} tells of {sorted(told - known)}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.endswith(".md")])
def test_every_command_is_one(page: str) -> None:
    for words in commands(page):
        insist_on(words)


def test_enough_commands_are_looked_at() -> None:
    assert len(list(commands("docs/deployment.md"))) > 12
    with pytest.raises(click.NoSuchOption):
        insist_on(["serve", "--no-such-thing"])


# --- Compose ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def compose() -> Any:
    [found] = blocks("docs/deployment.md", "yaml")
    return yaml.safe_load(found)


def test_the_compose_file_is_whole(compose: Any) -> None:
    services = compose["services"]
    assert {"postgres", "nats", "migrate", "server", "worker"} <= services.keys()
    for name, service in services.items():
        assert "image" in service, name
        for other, condition in service.get("depends_on", {}).items():
            assert other in services
            wanted = condition["condition"]
            assert wanted in ("service_started", "service_healthy", "service_completed_successfully")
            assert wanted != "service_healthy" or "healthcheck" in services[other], f"{other} has no health check"
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in compose["volumes"]


def test_the_compose_files_services_are_ours(compose: Any) -> None:
    ours = {name: each for name, each in compose["services"].items() if each["image"] == "understudy"}
    assert ours.keys() == {"migrate", "server", "worker"}
    for each in ours.values():
        insist_on(each["command"])
    environment = ours["server"]["environment"]
    names = compose["services"].keys()
    for variable in ("UNDERSTUDY_DATABASE_URL", "UNDERSTUDY_BUS_URL"):
        assert urlsplit(environment[variable].replace("${DB_PASSWORD}", "x")).hostname in names
    given = {name: re.sub(r"\$\{\w+\}", "http://x/v1-0123456789abcdef", value) for name, value in environment.items()}
    settings = {name.removeprefix("UNDERSTUDY_").lower(): value for name, value in given.items() if "UNDERST" in name}
    settings["database_url"] = "postgresql://understudy:secret@postgres/understudy"
    assert config.load(settings).bus_url == "nats://nats:4222"


# --- the Dockerfile --------------------------------------------------------------------------------------------------


def instructions() -> list[tuple[str, str]]:
    lines = [line for line in text("Dockerfile").splitlines() if line.strip() and not line.startswith("#")]
    whole = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in whole.splitlines()]


def test_the_dockerfile_is_of_known_instructions_and_there_are_its_files() -> None:
    kept = [line.strip() for line in text(".dockerignore").splitlines() if line.strip()]
    for name, rest in instructions():
        assert name in OF_DOCKER
        if name == "COPY" and not rest.startswith("--from"):
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), f"COPY {source}"
                assert not any(fnmatch(source, pattern) for pattern in kept), f"{source} is ignored"
        if name == "RUN":
            checked = subprocess.run(["sh", "-n", "-c", rest], capture_output=True, text=True, check=False)
            assert checked.returncode == 0, checked.stderr


def test_the_dockerfile_starts_the_server_and_sets_what_there_is() -> None:
    of = dict(instructions())
    insist_on(json.loads(of["CMD"]))
    assert json.loads(of["ENTRYPOINT"]) == ["understudy"]
    given = dict(pair.split("=", 1) for pair in of["ENV"].split())
    settings = config.load({name.removeprefix("UNDERSTUDY_").lower(): value for name, value in given.items()})
    assert str(settings.data_dir) == of["VOLUME"], "what is kept is kept in the volume"
    assert str(settings.port) == of["EXPOSE"]
    assert of["USER"] != "root"


def test_the_images_health_check_tells_a_server_that_is_well(server: Server) -> None:
    check = shlex.split(dict(instructions())["HEALTHCHECK"].partition("CMD ")[2])
    assert check[:2] == ["python", "-c"]
    for url, well in ((server.url, True), ("http://127.0.0.1:1", False)):
        code = check[2].replace("http://127.0.0.1:8000", url)
        assert code != check[2]
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=20, check=False)
        assert (done.returncode == 0) is well


# --- systemd and nginx -----------------------------------------------------------------------------------------------


def test_the_unit_starts_the_server() -> None:
    [unit] = blocks("docs/deployment.md", "ini")
    [start] = re.findall(r"^ExecStart=(.*)$", unit, re.M)
    program, *words = shlex.split(start)
    assert program.endswith("/understudy")
    insist_on(words)
    assert {"[Unit]", "[Service]", "[Install]"} <= set(unit.splitlines())


def test_the_proxys_directives_are_given_once() -> None:
    [block] = blocks("docs/deployment.md", "nginx")
    names = [line.split()[0] for line in block.splitlines() if ";" in line and "proxy_set_header" not in line]
    assert sorted(names) == sorted(set(names))


# --- the seccomp profile ---------------------------------------------------------------------------------------------

_UNDER_THE_PROFILE = """
import ctypes, errno, os, struct, sys
numbers = [int(number) for number in sys.argv[1].split(",")]
code = [(0x20, 0, 0, 0)]  # load the call's number
for number in numbers:
    code += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
code.append((0x06, 0, 0, 0x7FFF0000))
packed = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *one) for one in code))
program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(packed)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # no new privileges
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())  # seccomp, a filter
refused = libc.syscall(numbers[0], 0) == -1 and ctypes.get_errno() == errno.EPERM
print("refused" if refused else "let through", flush=True)
os.execv(sys.executable, [sys.executable, "-m", "understudy", "doctor"])
"""


def refused_calls() -> list[str]:
    (rule,) = json.loads(text("deploy/seccomp.json"))["syscalls"]
    assert rule["action"] == "SCMP_ACT_ERRNO"
    names: list[str] = rule["names"]
    assert names == sorted(set(names))
    return names


def test_the_profile_refuses_nothing_that_the_jail_is_built_with() -> None:
    needed = {"clone", "clone3", "unshare", "mount", "umount2", "pivot_root", "chroot", "prctl", "seccomp"}
    assert not needed & set(refused_calls())
    assert set(refused_calls()) <= seccomp.REFUSED.keys() | seccomp.REFUSED_ON_X86_64.keys()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers below are those of x86-64")
def test_the_jail_holds_under_the_profile(tmp_path: Path) -> None:
    """As in a container: the profile's filter first, then the doctor, who tries the jail."""
    known = {name: numbers[0] for name, numbers in seccomp.REFUSED.items()} | seccomp.REFUSED_ON_X86_64
    numbers = ",".join(str(known[name]) for name in refused_calls())
    script = [sys.executable, "-c", _UNDER_THE_PROFILE, numbers]
    environment = os.environ | {"UNDERSTUDY_DATA_DIR": str(tmp_path)}
    environment.pop("UNDERSTUDY_SANDBOX", None)
    told = subprocess.run(script, capture_output=True, text=True, env=environment, timeout=60, check=False).stdout
    assert told.startswith("refused\n")
    jail = next(line for line in told.splitlines() if "code interpreter" in line)
    if "is not there" in jail:
        pytest.skip(f"no jail here: {jail}")
    assert "its jail holds" in jail
