"""The papers are true: short where they promise it, complete, and without dead links."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from understudy.config import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_for_people_in_a_hurry() -> None:
    assert len(text("README.md").splitlines()) < 100


def configuration_page() -> ModuleType:
    spec = importlib.util.spec_from_file_location("configuration_page", ROOT / "docs" / "configuration.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_page_is_what_the_settings_say() -> None:
    assert text("docs/configuration.md") == configuration_page().page(), "run `make docs`"


def test_every_default_is_told_in_words() -> None:
    assert "Undefined" not in text("docs/configuration.md")
    page = configuration_page()
    made = {name for name, field in Settings.model_fields.items() if field.default_factory is not None}
    assert made == set(page.DEFAULTS) - {"sandbox_dir"}
    for name in made:
        words = page.DEFAULTS.pop(name)
        with pytest.raises(LookupError, match=name):
            page.page()
        page.DEFAULTS[name] = words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name} links to {target}"


def test_the_compatibility_page_has_all_51_operations() -> None:
    rows = re.findall(r"^\| (?:GET|POST|DELETE) \| `(/\S+)` \|", text("docs/compatibility.md"), re.M)
    assert len(rows) == 51
    assert sum(path.startswith(("/assistants", "/threads")) for path in rows) == 23


def test_every_target_of_the_makefile_is_told_of_or_inner() -> None:
    makefile = text("Makefile")
    told = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.M))
    assert {"install", "demo", "test", "test-all", "test-fast", "lint", "clean", "help"} <= told


def test_pins_are_names_and_versions() -> None:
    for name in ("runtime", "dev"):
        lines = [line for line in text(f"requirements/{name}.txt").splitlines() if not line.startswith("#")]
        assert lines
        for line in lines:
            assert re.fullmatch(r"[a-z0-9-]+==[0-9][\w.]*(; sys_platform != 'win32')?", line), line


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = sorted(int(path.name[:4]) for path in (ROOT / "docs" / "adr").glob("*.md"))
    assert numbers == list(range(len(numbers)))
