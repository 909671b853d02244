"""The command line, as a person or a service manager meets it: each test starts the real command."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.replies import Reply
from tests.harness.upstream import Upstream

from understudy import __version__, config

WAIT_S = 60
NOWHERE = "http://127.0.0.1:9/v1"


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(config.PREFIX)}
    return kept | {"UNDERSTUDY_DATA_DIR": str(tmp_path / "data"), "UNDERSTUDY_MODEL_URL": NOWHERE}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "understudy", *arguments]


def run(environment: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=WAIT_S)


def refused(environment: Mapping[str, str], *arguments: str) -> str:
    """Run a command that cannot work, and return the sentence it ends with."""
    done = run(environment, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()[-1]


class Serving:
    """`understudy serve` on a free port."""

    def __init__(self, environment: Mapping[str, str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            command("serve", "--port", "0", *arguments),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.line = self.process.stdout.readline().rstrip("\n")

    def end(self, number: signal.Signals) -> tuple[int, str]:
        """Send a signal; return the exit code and the rest of stdout."""
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, rest


@pytest.fixture
def serving(environment: Mapping[str, str]) -> Iterator[Serving]:
    serving = Serving(environment)
    yield serving
    serving.process.kill()
    serving.process.communicate()


def test_help_lists_the_commands_and_loads_nothing_heavy(environment: Mapping[str, str]) -> None:
    assert set(re.findall(r"^  (\w+)  ", run(environment, "--help").stdout, re.M)) == {
        "backup",
        "chat",
        "demo",
        "export",
        "import",
        "doctor",
        "keys",
        "models",
        "migrate",
        "restore",
        "worker",
        "sandbox",
        "serve",
    }
    heavy = "{'fastapi', 'openai', 'pydantic', 'sqlalchemy', 'uvicorn', 'asyncio'} & set(sys.modules)"
    code = f"import sys\nfrom understudy.cli import cli\ncli(['--help'], standalone_mode=False)\nprint({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_version(environment: Mapping[str, str]) -> None:
    assert run(environment, "--version").stdout == f"understudy {__version__}\n"


def test_every_setting_has_an_option_that_names_its_variable(environment: Mapping[str, str]) -> None:
    shown = run(environment, "serve", "--help").stdout
    for name in config.SCALARS:
        assert re.search(rf"^  --{name.replace('_', '-')} ", shown, re.M), name
        assert f"UNDERSTUDY_{name.upper()}" in re.sub(r"\s+", "", shown), name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_says_once_where_it_listens_and_ends_on_a_signal(serving: Serving, number: signal.Signals) -> None:
    found = re.fullmatch(r"Understudy is listening on (http://127\.0\.0\.1:(\d+))", serving.line)
    assert found
    assert found[2] != "0"
    with urllib.request.urlopen(f"{found[1]}/health", timeout=10) as answer:
        assert json.load(answer)["version"] == __version__
    assert serving.end(number) == (0, "")


def test_an_ipv6_address_stands_in_brackets(environment: Mapping[str, str]) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    serving = Serving(environment, "--host", "::1")
    assert re.fullmatch(r"Understudy is listening on http://\[::1\]:\d+", serving.line)
    assert serving.end(signal.SIGTERM)[0] == 0


def test_a_taken_port_is_told_in_a_sentence(environment: Mapping[str, str], serving: Serving) -> None:
    port = serving.line.rsplit(":", 1)[1]
    folder = environment["UNDERSTUDY_DATA_DIR"] + "2"
    said = refused(environment, "serve", "--port", port, "--data-dir", folder)
    assert said.startswith(f"Error: cannot listen on 127.0.0.1 port {port}: another program uses it")


def test_an_unknown_host_is_told_in_a_sentence(environment: Mapping[str, str]) -> None:
    assert "'no.such.host.invalid'" in refused(environment, "serve", "--host", "no.such.host.invalid")


def test_a_wrong_value_is_told_in_a_sentence(environment: Mapping[str, str]) -> None:
    said = "Error: port is '99999' (from --port); allowed: a whole number from 0 to 65535"
    assert refused(environment, "serve", "--port", "99999") == said


def test_an_unknown_option_is_a_usage_error(environment: Mapping[str, str]) -> None:
    assert run(environment, "serve", "--prot", "1").returncode == 2


def test_a_database_that_cannot_be_used_is_told_in_a_sentence(environment: Mapping[str, str]) -> None:
    folder = Path(environment["UNDERSTUDY_DATA_DIR"])
    folder.mkdir()
    with closing(sqlite3.connect(folder / "understudy.sqlite3")) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
        connection.commit()
    assert "newer than this server's" in refused(environment, "serve", "--port", "0")


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_server_that_others_can_reach_has_keys(environment: Mapping[str, str], host: str) -> None:
    if host == "::" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    assert refused(environment, "serve", "--port", "0", "--host", host) == (
        f"Error: host is {host!r}, which others can reach, and there is no API key yet: "
        "make one with `understudy keys create`, or set UNDERSTUDY_API_KEY"
    )


def test_a_server_that_others_can_reach_starts_with_a_key(environment: Mapping[str, str]) -> None:
    given = Serving({**environment, "UNDERSTUDY_API_KEY": "a-key-for-containers"}, "--host", "0.0.0.0")
    assert given.line.startswith("Understudy is listening on http://0.0.0.0:")
    assert given.end(signal.SIGTERM)[0] == 0
    run(environment, "keys", "create")
    made = Serving(environment, "--host", "0.0.0.0")
    assert made.line.startswith("Understudy is listening on http://0.0.0.0:")
    assert made.end(signal.SIGTERM)[0] == 0


def test_models_list_shows_where_each_name_leads(environment: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text(
        """
        default_upstream = "far"
        [upstreams.far]
        url = "https://me:hunter2@models.example.com/v1"
        [models."gpt-4o"]
        upstream = "embedded"
        """
    )
    assert run(environment, "models", "list", "--config", str(file)).stdout.splitlines() == [
        "gpt-4o -> the embedded model, qwen2.5-coder-1.5b-instruct",
        "every other name -> far, by the same name, at https://…@models.example.com/v1",
    ]


def test_a_route_to_nowhere_is_told_in_a_sentence(environment: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[models.a]\nupstream = "nowhere"\n')
    assert "leads to upstream 'nowhere'" in refused(environment, "models", "list", "--config", str(file))


def test_the_demo_shows_three_languages(environment: Mapping[str, str], upstream: Upstream) -> None:
    done = run(environment, "demo", "--model-url", upstream.url, "--model-key", "sk-demo")
    assert done.returncode == 0, done.stdout + done.stderr
    for language in ("English", "한국어", "中文"):
        assert f"=== {language} ===" in done.stdout
    assert done.stdout.count("> get_current_temperature({") == 3
    assert done.stdout.count("The tools said: 57; 0.06") == 3
    assert done.stdout.count("thread.run.completed") == 3
    assert done.stdout.count("usage: 40 prompt + 20 completion = 60 tokens") == 3
    assert upstream.requests[0].headers["authorization"] == "Bearer sk-demo"


def test_the_demo_fails_where_the_model_calls_nothing(environment: Mapping[str, str], upstream: Upstream) -> None:
    upstream.script(Reply("It is sunny."))
    done = run(environment, "demo", "--model-url", upstream.url)
    assert done.returncode == 1
    said = "Error: English: the model did not call get_current_temperature and get_rain_probability"
    assert done.stderr.splitlines()[-1] == said
    assert "Traceback" not in done.stderr
