"""The house rules, read off the source itself: which room may import which, how long things are, how files are named.

A room is a folder of src/understudy, or one file beside the folders. Imports run downward only.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src" / "understudy"
FILES = sorted(SRC.rglob("*.py"))

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES_P90 = 30
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "handler", "impl", "data", "misc", "common"}

# "" is the package itself: its version
EVERYWHERE = {"protocol", "errors", "ids", "little_endian", "logs", "orphans", "rounds", "tracing", ""}
COMMANDS = {"archive", "backup", "chat", "cli", "connections", "serve", "demo", "doctor", "model_download", "keys"}
COMMANDS |= {"__main__"}
COMMANDS |= {"sandbox_setup"}
MAY_IMPORT: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "ids": set(),
    "logs": {"errors"},
    "little_endian": set(),
    "orphans": set(),
    "rounds": {"errors"},
    "tracing": {""},
    "metrics": {"protocol", "ids"},
    "protocol": {"errors", "ids"},
    "storage": EVERYWHERE,
    "bus": EVERYWHERE,
    "files": EVERYWHERE,
    "inference": EVERYWHERE,
    "retrieval": EVERYWHERE,
    "sandbox": EVERYWHERE,
    "tools": EVERYWHERE | {"sandbox.base"},
    "workload": EVERYWHERE | {"bus.base"},
    "engine": EVERYWHERE | {"storage", "bus.base", "workload", "inference.base", "tools"},
    "ingest": EVERYWHERE | {"storage", "bus.base", "workload", "files", "retrieval", "tools"},
    "api": EVERYWHERE | {"engine", "ingest", "storage", "files", "bus.base", "inference.base"},  # the ports: as types
    "playground": {"protocol"},
    "config": EVERYWHERE | {"config_file", "config_values", "inference"},
    "config_file": EVERYWHERE | {"inference.dialect"},
    "config_values": EVERYWHERE,
    "config_models": EVERYWHERE | {"config", "config_file", "inference"},
    "topology": EVERYWHERE | {"config", "storage", "bus.base"},
    "adapters": EVERYWHERE
    | {"topology", "config", "metrics"}
    | {"ingest", "storage", "bus", "files", "retrieval", "sandbox"},
    "parts": EVERYWHERE
    | {"adapters", "topology", "config", "config_models", "metrics"}
    | {"api", "engine", "ingest", "tools", "storage", "bus", "files", "inference", "retrieval", "sandbox"},
    "web": EVERYWHERE | {"config", "api", "playground"},
    "app": EVERYWHERE | {"parts", "web", "topology", "config", "api", "storage"},
    "testing": EVERYWHERE | {"bus", "engine", "files", "inference", "sandbox.base", "storage", "tools"},
} | {
    command: EVERYWHERE
    | COMMANDS
    | {
        "adapters",
        "app",
        "config",
        "topology",
        "config_file",
        "config_models",
        "files",
        "inference",
        "sandbox",
        "storage",
        "web",
    }
    for command in COMMANDS
}

ADAPTERS = {
    "storage.sqlite",
    "storage.postgres",
    "bus.local",
    "bus.nats",
    "inference.openai_compatible",
    "inference.constrained",
    "inference.embedded",
    "files.store",
    "storage.search_sqlite",
    "storage.search_postgres",
    "storage.nearest",
    "sandbox.bubblewrap",
    "retrieval.embed_local",
    "retrieval.embed_endpoint",
}
NAME_ADAPTERS = {"app", "adapters", "parts"}
CONFIG_IS_FOR = COMMANDS | {"adapters", "app", "config", "config_models", "parts", "topology", "web"}


def module_of(file: Path) -> str:
    """Return a file's name as its importers write it, below the package: `storage.runs`, `app`, or nothing."""
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file) for file in FILES}


def imports(file: Path) -> Iterator[str]:
    """Yield each module of ours that a file imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name[11:] for alias in node.names if alias.name.startswith("understudy."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            yield from _from(node)


def _from(node: ast.ImportFrom) -> Iterator[str]:
    base, _, below = (node.module or "").partition(".")
    if base != "understudy":
        return
    for alias in node.names:
        deeper = f"{below}.{alias.name}".lstrip(".")
        yield deeper if deeper in MODULES else below


def room(module: str) -> str:
    return module.split(".")[0]


def allowed(module: str, imported: str) -> bool:
    grants = MAY_IMPORT[room(module)]
    return room(imported) == room(module) or room(imported) in grants or imported in grants


def functions(file: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module_of(file)}.{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_every_room_is_in_the_table() -> None:
    assert {room(module) for module in MODULES} <= set(MAY_IMPORT)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_imports_run_downward(file: Path) -> None:
    module = module_of(file)
    assert [name for name in imports(file) if not allowed(module, name)] == []


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_few_name_adapters_and_config_stays_at_the_top(file: Path) -> None:
    module, names = module_of(file), set(imports(file))
    if module not in NAME_ADAPTERS:
        assert {name for name in names & ADAPTERS if room(name) != room(module)} == set()
    if room(module) not in CONFIG_IS_FOR:
        assert "config" not in names


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(SRC)))
def test_files_are_short_and_well_named(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    assert not FORBIDDEN_NAMES & {*file.relative_to(SRC).with_suffix("").parts, *file.stem.split("_")}


def test_functions_are_short() -> None:
    sizes = sorted(((lines, name) for file in FILES for name, lines in functions(file)), reverse=True)
    long = sizes[: len(sizes) // 10]
    assert long[-1][0] < MAX_FUNCTION_LINES_P90, f"the longest: {long[:10]}"


def test_the_rules_bite() -> None:
    """Show that the checks above see what they are to see."""
    assert not allowed("storage.runs", "engine.loop")
    assert not allowed("engine.loop", "bus.local")
    assert not allowed("engine.loop", "inference.registry")
    assert not allowed("protocol.runs", "storage.runs")
    assert allowed("engine.loop", "bus.base")
    assert "storage.sqlite" in set(imports(SRC / "adapters.py"))
    assert "app" in set(imports(SRC / "serve.py"))


def test_one_machine_loads_nothing_of_many() -> None:
    """Drivers of what is not there cost memory and time at every start."""
    code = (
        "import sys\nfrom understudy import app, config\n"
        "app.build(config.load({'model_url': 'http://127.0.0.1:1/v1'}))\n"
        "print({'psycopg', 'nats'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
