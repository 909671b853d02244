"""Kill -9 at random moments: after the restart every run ends properly, and nothing acknowledged is lost."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash.workload import Talk, Workload, brain, bring_to_its_end
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, text_of

SEED = 4711
RECOVERY_S = 40.0
LONGEST_LIFE_S = 1.5
LEASE_S = 2


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Server]:
    upstream.brain = brain
    server = Server(tmp_path / "data", upstream.url, {"UNDERSTUDY_LEASE_S": str(LEASE_S)}).start()
    yield server
    server.close()


@pytest.mark.timeout(200)
def test_four_kills(server: Server) -> None:
    kill_again_and_again(server, 4, random.Random(SEED))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills(server: Server) -> None:
    kill_again_and_again(server, 20, random.Random(SEED + 1))


def kill_again_and_again(server: Server, times: int, dice: random.Random) -> None:
    wire = server.wire()
    plain, calling = wire.assistant(), wire.assistant("weather")
    workload = Workload(server.url)
    troubles: list[str] = []
    for number in range(times):
        known = len(workload.ledger)
        with workload.busy(plain, calling):
            time.sleep(dice.uniform(0.1, LONGEST_LIFE_S))
            server.kill()
        server.start()
        fresh = workload.ledger[known:]
        troubles += [f"after kill {number}: {trouble}" for talk in fresh for trouble in look_at(wire, talk)]
    troubles += [f"at the end: {trouble}" for talk in workload.ledger for trouble in look_at(wire, talk)]
    assert not workload.errors, workload.errors
    assert not troubles, "\n".join(troubles)


def look_at(wire: Wire, talk: Talk) -> list[str]:
    """Tell what is not whole about a talk. Its client may have heard less than what happened, never more."""
    if not talk.thread:
        return []
    try:
        run = bring_to_its_end(wire, talk, RECOVERY_S)
    except AssertionError as error:
        return [f"{talk}: {error}"]
    messages = wire.read(f"/threads/{talk.thread}/messages", order="asc")["data"]
    texts = [text_of(message) for message in messages]
    if run is None:
        wrong = {"texts": texts != [talk.question]}
    elif run["status"] == "cancelled":
        wrong = {"status": not talk.may_be_cancelled, "texts": texts[0] != talk.question}
    else:
        wrong = {
            "status": run["status"] != "completed" or talk.cancelled,
            "texts": texts != talk.texts,
            "halves": any(message["status"] != "completed" for message in messages),
            "steps": wrong_steps(talk, wire.steps(run)),
        }
    seen = f"{talk}\n  run: {run and run['status']} {run and run['last_error']}\n  texts: {texts}"
    return [f"{name} of {seen}" for name, is_wrong in wrong.items() if is_wrong]


def wrong_steps(talk: Talk, steps: list[Json]) -> bool:
    """Tell whether steps beyond those that a kill broke off are not what they should be."""
    whole = [step for step in steps if step["status"] == "completed"]
    kinds = ["message_creation", "tool_calls", "message_creation"] if talk.with_call else ["message_creation"]
    outputs = [call["function"]["output"] for step in whole for call in step["step_details"].get("tool_calls", [])]
    unfinished = [step for step in steps if step["status"] not in {"completed", "failed"}]
    return bool(unfinished) or [step["type"] for step in whole] != kinds or outputs != ["57"] * talk.with_call
