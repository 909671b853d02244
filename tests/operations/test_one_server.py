"""One server per data folder: the second is told who the first is."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import MakeServer
from tests.harness.server import Server
from tests.harness.upstream import Upstream


def second(first: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "understudy", "serve", "--port", "0", *arguments]
    return subprocess.run(command, env=first.environment, capture_output=True, text=True, timeout=30)


def test_a_second_server_is_refused_and_told_who_holds_the_folder(make_server: MakeServer) -> None:
    first = make_server()
    done = second(first)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"Error: {first.data_dir} is in use by another understudy process (id {first.pid}); "
        "stop that one, or give another --data-dir"
    )


def test_a_database_outside_the_folder_is_guarded_too(make_server: MakeServer, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'elsewhere' / 'db.sqlite3'}"
    first = make_server(UNDERSTUDY_DATABASE_URL=url)
    done = second(first, "--data-dir", str(tmp_path / "other"))
    assert done.returncode == 1
    assert f"{tmp_path / 'elsewhere'} is in use by another understudy process (id {first.pid})" in done.stderr


def test_a_kill_leaves_no_lock_behind(make_server: MakeServer) -> None:
    server = make_server()
    server.kill()
    server.start()
    assert server.stop() == 0


def test_a_folder_that_is_a_file_is_told(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    done = second(Server(tmp_path / "data", upstream.url))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'data'} cannot be written to: ")
