"""Take the libraries of the playground's page from the npm registry: `make vendored`, after a change of vendored.toml.

Each package is fetched by `npm pack` in the version that the table names and must have the integrity that it names
(npm's own: sha512 of the archive); an empty one is printed, to be filled in by hand. Licences go beside the files.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GOAL = HERE.parent / "src" / "understudy" / "playground" / "static" / "vendor"
MAP = "//# sourceMappingURL="


def main() -> None:
    """Write the folder anew."""
    table = tomllib.loads((HERE / "vendored.toml").read_text(encoding="utf-8"))
    shutil.rmtree(GOAL, ignore_errors=True)
    GOAL.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        for name, package in table.items():
            _take(name, package, Path(folder))


def _take(name: str, package: dict[str, Any], folder: Path) -> None:
    command = ["npm", "pack", "--json", f"{name}@{package['version']}"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603 - our own
    (packed,) = json.loads(done.stdout)
    if packed["integrity"] != package["integrity"]:
        sys.exit(f"{name}: the integrity is {packed['integrity']}, not {package['integrity']!r}")
    with tarfile.open(folder / packed["filename"]) as archive:
        for inside, goal in package["files"].items():
            _write(GOAL / goal, _text(archive, inside), package)
        licence = next((m.name for m in archive if m.name in ("package/LICENSE", "package/LICENSE.md")), None)
        text = _text(archive, licence.removeprefix("package/")) if licence else f"{package['licence']}\n"
    plain = name.removeprefix("@").replace("/", "-")
    (GOAL / f"{plain}.LICENSE").write_text(text, encoding="utf-8")


def _text(archive: tarfile.TarFile, inside: str) -> str:
    member = archive.extractfile(f"package/{inside}")
    assert member is not None, inside
    return member.read().decode()


def _write(path: Path, text: str, package: dict[str, Any]) -> None:
    for old, new in package.get("become", {}).items():
        text = text.replace(old, new)
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith(MAP)]
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines).rstrip("\n") + "\n" + package.get("append", ""), encoding="utf-8")


if __name__ == "__main__":
    main()
