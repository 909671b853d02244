"""The environment: where it lies, when it counts, and that a setup that broke off counts for nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sandbox.conftest import settings

from understudy.errors import Unavailable
from understudy.sandbox import environment, environment_build

BUILD_S = 900


def test_an_environment_is_what_it_is_made_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert environment.find(tmp_path) is None
    (tmp_path / environment.identity()).mkdir()
    found = environment.find(tmp_path)
    assert found
    assert found.folder == tmp_path / environment.identity()
    monkeypatch.setattr(environment, "requirements", lambda: "numpy==99\n")
    assert environment.find(tmp_path) is None


def test_the_pins_name_what_is_promised() -> None:
    lines = [line for line in environment.requirements().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    names = {line.partition("==")[0] for line in lines}
    assert {"numpy", "pandas", "scipy", "matplotlib", "sympy", "scikit-learn", "openpyxl", "python-docx"} < names
    assert {"python-pptx", "pypdf", "pillow", "tabulate", "ipython"} < names


def test_a_closed_folder_is_none_for_the_user_that_code_runs_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    assert not environment.is_open_to_all(home / ".cache" / "understudy")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert environment.default_folder(home / ".cache" / "understudy") == environment.SHARED_CACHE
    assert environment.default_folder(Path("/usr/share/x")) == Path("/usr/share/x/sandbox")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert environment.default_folder(home) == home / "sandbox"


def test_a_setup_that_fails_says_why_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    monkeypatch.setattr(environment, "requirements", lambda: "understudy-no-such-package==1\n")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    rest = tmp_path / "partial-of-a-broken-one"
    rest.mkdir()
    with pytest.raises(Unavailable, match="understudy-no-such-package"):
        environment_build.setup(tmp_path, steps.append)
    assert steps[0].startswith("Making a Python")
    assert [place.name for place in tmp_path.iterdir()] in ([], [".lock"])  # the lock stays
    assert environment.find(tmp_path) is None


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be built"):
        environment_build.setup(tmp_path / "file" / "below", print)


def test_progress_counts_what_pip_says() -> None:
    said: list[str] = []
    progress = environment_build._Progress(said.append, 2)
    for line in (
        "Collecting numpy==2.4.6 (from -r x)",
        "  Downloading numpy",
        "Processing /x/y/pandas-3.1.1-cp311.whl (from -r x)",
        "Installing collected packages: numpy",
    ):
        progress.line(line)
    assert said == ["Fetching numpy==2.4.6 (1 of 2)", "Fetching pandas-3.1.1-cp311.whl (2 of 2)", "Installing them"]


def test_a_second_setup_has_nothing_to_do(tmp_path: Path) -> None:
    folder = settings().folder
    if environment.find(folder) is None:
        pytest.skip("run `understudy sandbox setup`")
    command = [sys.executable, "-m", "understudy", "sandbox", "setup", "--sandbox-dir", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "no code can be run" not in done.stderr:
        assert done.stdout == f"The code interpreter is ready; its Python is at {folder / environment.identity()}\n"
    assert "Fetching" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(BUILD_S)
def test_a_setup_from_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Build all of it again, in a place of its own, and run code with it."""
    folder = Path("/var/tmp") / f"understudy-sandbox-{os.getpid()}"
    command = [sys.executable, "-m", "understudy", "sandbox", "setup", "--sandbox-dir", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_S, check=False)
        if "Temporary failure in name resolution" in done.stderr:
            pytest.skip("the package registry cannot be reached")
        assert "Preparing fonts" in done.stderr
        assert done.returncode == 0 or "bubblewrap" in done.stderr, done.stderr
        assert environment.find(folder)
        assert not list(folder.glob("partial-*"))
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)
