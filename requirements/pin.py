"""Write runtime.txt and dev.txt: exactly what the running environment holds of our dependencies and of theirs."""

import re
import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
HEAD = "# Made by `make pins`: what {} needs, each part pinned.\n"


def needed(roots: list[str]) -> dict[str, str]:
    """Return name and version of everything that the roots need, here."""
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [(Requirement(root), {""}) for root in roots]
    while waiting:
        requirement, extras = waiting.pop()
        marker = requirement.marker
        if (marker and not any(marker.evaluate({"extra": extra}) for extra in extras)) or str(requirement) in seen:
            continue
        seen.add(str(requirement))
        part = distribution(requirement.name)
        found[re.sub(r"[-_.]+", "-", requirement.name).lower()] = part.version
        waiting += [(Requirement(text), {"", *requirement.extras}) for text in part.requires or []]
    return found


def write(path: Path, what: str, pins: dict[str, str]) -> None:
    """Write one file. uvloop has no build for Windows."""
    marker = {"uvloop": "; sys_platform != 'win32'"}
    lines = [f"{name}=={version}{marker.get(name, '')}\n" for name, version in sorted(pins.items())]
    path.write_text(HEAD.format(what) + "".join(lines), encoding="utf-8")


def main() -> None:
    """Write both files."""
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    runtime = needed(project["project"]["dependencies"])
    development = needed(project["dependency-groups"]["dev"])
    write(HERE / "runtime.txt", "the server", runtime)
    only = {name: version for name, version in development.items() if name not in runtime}
    write(HERE / "dev.txt", "the suite, beyond runtime.txt,", only)


if __name__ == "__main__":
    main()
