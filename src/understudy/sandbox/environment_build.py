"""`understudy sandbox setup`: build the Python that model-written code runs in.

It is built beside its place and moved there when it is whole, so a setup that broke off leaves nothing that counts.
Only wheels are installed, and only this program's own code is run on the way. Raises Unavailable, saying what to do.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from filelock import FileLock

from understudy.errors import Unavailable
from understudy.sandbox import environment
from understudy.sandbox.environment import Environment
from understudy.sandbox.inside.places import PYTHON

Say = Callable[[str], None]

_NOT_COPIED = shutil.ignore_patterns(
    *("site-packages", "dist-packages", "test", "tests", "ensurepip", "config-*", "*.a"),
    *("idlelib", "turtledemo", "tkinter"),
)
_LAST_WORDS = 12  # lines of a failed step that are shown


def setup(folder: Path, say: Say) -> Environment:
    """Return the environment, building it first if it is not there. `say` is told of each step."""
    if found := environment.find(folder):
        return found
    mask = os.umask(0o022)  # another user than this one will read it
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            return environment.find(folder) or _build(folder, say)
    except OSError as problem:
        raise Unavailable(f"the sandbox's Python cannot be built in {folder}: {problem}") from None
    finally:
        os.umask(mask)


def _build(folder: Path, say: Say) -> Environment:
    for rest in folder.iterdir():
        if rest.name.startswith("partial-"):
            shutil.rmtree(rest)
    with tempfile.TemporaryDirectory(prefix="partial-", dir=folder) as temporary:
        partial = Environment(Path(temporary) / "environment")
        partial.folder.mkdir(mode=0o755)
        Path(temporary).chmod(0o755)
        _install(partial, say)
        say("Preparing fonts")
        _prepare_fonts(partial)
        say("Moving in")
        _move_in(partial)
        whole = Environment(folder / environment.identity())
        partial.folder.rename(whole.folder)
    for old in folder.iterdir():  # a server that still uses one keeps what it has mounted
        if old.is_dir() and old != whole.folder:
            shutil.rmtree(old, ignore_errors=True)
    return whole


def _install(partial: Environment, say: Say) -> None:
    say(f"Making a Python {sys.version_info.major}.{sys.version_info.minor} of its own")
    _run([sys.executable, "-m", "venv", str(partial.venv)], "Its `venv` module is needed (Debian: python3-venv).")
    pins = partial.folder / "requirements.txt"
    pins.write_text(environment.requirements(), encoding="utf-8")
    progress = _Progress(say, sum("==" in line for line in environment.requirements().splitlines()))
    command = [str(_python(partial)), "-m", "pip", "install", "--only-binary", ":all:", "--no-input", "-r", str(pins)]
    _run(command, "The package registry has to be reachable; setup can simply be run again.", progress.line)


class _Progress:
    """Turns pip's lines into a count."""

    def __init__(self, say: Say, total: int) -> None:
        self._say = say
        self._total = total
        self._seen = 0

    def line(self, line: str) -> None:
        if found := re.match(r"Collecting (\S+==\S+)|Processing .*?([^/\\\s]+\.whl)", line):
            self._seen += 1
            self._say(f"Fetching {found[1] or found[2]} ({self._seen} of {self._total})")
        elif line.startswith("Installing"):
            self._say("Installing them")


def _prepare_fonts(partial: Environment) -> None:
    """Give matplotlib the CJK fonts among its own, and write down which fonts there are."""
    partial.font_lists.mkdir()
    script = resources.files("understudy.sandbox.inside").joinpath("fonts.py").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as home:
        command = [str(_python(partial)), "-c", script, str(partial.venv), str(partial.font_lists)]
        _run(command, "", environment={"HOME": home, "MPLCONFIGDIR": home, "PATH": os.defpath})


def _move_in(partial: Environment) -> None:
    """Turn the environment towards its paths inside the jail. It does not run outside of it any more."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    _run([str(_python(partial)), "-m", "pip", "uninstall", "--yes", "pip"], "")
    if environment.uses_system_python():
        binary = Path("/usr/bin") / name
    else:
        _copy_interpreter(partial.python, name)
        binary = Path(PYTHON) / "bin" / name
    commands = partial.venv / "bin"
    shutil.rmtree(commands)
    commands.mkdir()
    for command in ("python", "python3", name):
        (commands / command).symlink_to(binary)
    (partial.venv / "pyvenv.cfg").write_text(f"home = {binary.parent}\ninclude-system-site-packages = false\n")


def _copy_interpreter(target: Path, name: str) -> None:
    """Copy the interpreter without what is installed into it: that may be the server itself."""
    base = Path(sys.base_prefix)
    (target / "bin").mkdir(parents=True)
    shutil.copy2(Path(sysconfig.get_path("scripts", vars={"base": str(base)})) / name, target / "bin" / name)
    shutil.copytree(base / "lib" / name, target / "lib" / name, ignore=_NOT_COPIED, symlinks=False)
    for library in (base / "lib").glob("*.so*"):
        shutil.copy2(library, target / "lib" / library.name)


def _python(partial: Environment) -> Path:
    return partial.venv / "bin" / "python"


def _run(
    command: Sequence[str], advice: str, told: Say | None = None, environment: dict[str, str] | None = None
) -> None:
    lines: list[str] = []
    kept = environment or {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "UNDERSTUDY_"))}
    out, err = subprocess.PIPE, subprocess.STDOUT
    with subprocess.Popen(command, stdout=out, stderr=err, text=True, env=kept) as process:  # noqa: S603  # all ours
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if told:
                told(line)
    if process.returncode:
        words = "".join(lines[-_LAST_WORDS:]).strip()
        raise Unavailable(f"the sandbox's Python could not be built. {advice}\n{words}")
