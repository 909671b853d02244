"""The wheel, installed without the tree: what `pip install understudy` gives."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Wire

from understudy import __version__

ROOT = Path(__file__).parent.parent
INSTALL_S = 300
UNREACHABLE = ("No matching distribution", "Temporary failure in name resolution", "Connection refused", "timed out")


def run(*command: str | Path, env: Mapping[str, str] | None = None, cwd: Path) -> str:
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    said = done.stdout + done.stderr
    if done.returncode and any(words in said for words in UNREACHABLE):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, said
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy: a build leaves nothing behind in the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "src", tree / "src", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", folder, tree, cwd=folder)
    return next(folder.glob("understudy-*.whl"))


def environment_of(python: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("UNDERSTUDY_", "OPENAI_", "PYTHON"))}
    return kept | {"PATH": f"{python.parent}{os.pathsep}{kept['PATH']}"} | more


def use(python: Path, upstream: Upstream, folder: Path) -> None:
    """Look where it was installed to; ask its version; serve and go through one flow."""
    environment = environment_of(python)
    where = run(python, "-c", "import understudy; print(understudy.__file__)", env=environment, cwd=folder)
    assert Path(where.strip()).is_relative_to(python.parent.parent)
    assert run(python.parent / "understudy", "--version", env=environment, cwd=folder) == f"understudy {__version__}\n"
    server = Server(folder / "data", upstream.url, python=python, cwd=folder)
    wire = Wire(server.start().url)
    done = wire.settle(wire.assistant(), wire.thread("부산은 어때?"))
    assert done["status"] == "completed"
    assert wire.texts(done["thread_id"]) == ["부산은 어때?", "You said: 부산은 어때?"]
    wire.close()
    assert server.stop() == 0


def test_migrations_type_marker_and_licences_are_inside(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    versions = {path.name for path in (ROOT / "src/understudy/storage/migrations/versions").glob("[0-9]*.py")}
    assert {f"understudy/storage/migrations/versions/{name}" for name in versions} < names
    assert {"understudy/sandbox/requirements.txt", "understudy/sandbox/inside/worker.py"} < names
    assert {"understudy/py.typed", "understudy/storage/migrations/env.py"} < names
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.startswith("tests") or "__pycache__" in name]


def test_the_wheel_serves_without_the_tree(wheel: Path, upstream: Upstream, tmp_path: Path) -> None:
    """The wheel alone is installed; what it needs is borrowed from this environment, which takes no time."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    target = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet", wheel, cwd=tmp_path)
    (target / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    use(python, upstream, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(INSTALL_S)
def test_the_wheel_brings_all_that_it_needs(wheel: Path, upstream: Upstream, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", wheel, cwd=tmp_path)
    use(python, upstream, tmp_path)
