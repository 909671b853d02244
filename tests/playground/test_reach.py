"""Is the page within everybody's reach? The rules of axe-core (WCAG 2.1 A and AA), on every page, in light and dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from tests.harness.replies import Call, Reply
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, function_tool
from tests.playground.conftest import OpenPage, visit
from tests.playground.test_chat import RICH, say

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def broken(page: Any) -> list[str]:
    """Return the rules that are broken, each with its first elements."""
    page.evaluate("document.getAnimations().forEach(one => one.finish())")
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{one['id']}: {one['help']}: "
        + " ".join(n["html"][:300] + str(n["any"][0]["message"] if n["any"] else "") for n in one["nodes"][:3])
        for one in found
    ]


@pytest.fixture
def told(wire: Wire, upstream: Upstream) -> Json:
    """A thread with what a conversation may hold: code, a table, formulas, a call that has been answered."""
    place = {"type": "object", "properties": {"city": {"type": "string"}}}
    assistant = wire.assistant(name="Weather", tools=[function_tool("weather", place)], metadata={"team": "red"})
    upstream.script(Reply("Let me look.", calls=[Call("weather", '{"city": "부산"}')]), Reply(RICH))
    thread = wire.make(
        "/threads", {"metadata": {"customer": "42"}, "messages": [{"role": "user", "content": "How is it?"}]}
    )
    run = wire.settle(assistant, thread)
    wire.submit(run, "21 °C")
    return wire.until(run, {"completed"})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_rule_is_broken_on_any_page(
    open_page: OpenPage, wire: Wire, upstream: Upstream, told: Json, scheme: str
) -> None:
    page = open_page(color_scheme=scheme)
    seen = {}
    for place in (
        "",
        f"chat/{told['thread_id']}",
        "assistants",
        f"assistants/{told['assistant_id']}",
        "threads",
        f"threads/{told['thread_id']}",
        "files",
        "overview",
    ):
        visit(page, place)
        seen[place] = broken(page)
    visit(page, f"threads/{told['thread_id']}")
    page.get_by_role("button", name="Model call 1").click()
    page.locator(".sent").first.wait_for()
    seen["a dialog"] = broken(page)
    page.keyboard.press("Escape")
    upstream.script(Reply(calls=[Call("weather", '{"city": "부산"}')]))
    visit(page, f"chat/{told['thread_id']}")
    say(page, "And now?")
    page.get_by_label("Output of weather").wait_for()
    seen["a call that waits"] = broken(page)
    assert not (bad := [f"{place}: {one}" for place, all_ in seen.items() for one in all_]), "\n".join(bad)
