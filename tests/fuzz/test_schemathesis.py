"""Requests made up from the server's own OpenAPI document: no answer is a 500, and none is undocumented.

Valid ones and broken ones, for things that do not exist and for things that do. schemathesis makes the requests;
its pytest fixtures are not used, since they need a pytest older than ours.
"""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance
from tests.harness.server import Server
from tests.harness.upstream import Upstream
from tests.harness.wire import Json, Wire, run_path

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]
HEADERS = {"Authorization": "Bearer sk-test", "OpenAI-Beta": "assistants=v2"}
CALL_S = 20.0
NO_BODY = {
    "/v1/threads/{thread_id}/runs/{run_id}/cancel",
    "/v1/uploads/{upload_id}/cancel",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
}
_COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.generate], "database": None}
QUICK = settings(max_examples=25, derandomize=True, **_COMMON)
THOROUGH = settings(max_examples=200, **_COMMON)

MODES = pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "broken"])
EXISTING = pytest.mark.parametrize("existing", [False, True], ids=["nothing there", "something there"])


@pytest.fixture
def operations(server: Server) -> list[APIOperation]:
    schema = schemathesis.openapi.from_url(server.url + "/openapi.json")
    return [result.ok() for result in schema.get_all_operations()]


def test_every_body_is_described(operations: list[APIOperation]) -> None:
    bodyless = [one.label for one in operations if one.method == "post" and not one.body and one.path not in NO_BODY]
    assert not bodyless


@MODES
@EXISTING
@pytest.mark.timeout(600)
def test_no_request_gets_an_answer_that_is_not_documented(
    operations: list[APIOperation], wire: Wire, mode: GenerationMode, existing: bool
) -> None:
    fuzz_all(operations, mode, QUICK, wire if existing else None)


@pytest.mark.slow
@MODES
@EXISTING
@pytest.mark.timeout(1800)
def test_no_request_of_many_gets_an_answer_that_is_not_documented(
    operations: list[APIOperation], wire: Wire, upstream: Upstream, mode: GenerationMode, existing: bool
) -> None:
    fuzz_all(operations, mode, THOROUGH, wire if existing else None)


def fuzz_all(operations: list[APIOperation], mode: GenerationMode, effort: settings, wire: Wire | None) -> None:
    outcomes = [fuzz(operation, mode, effort, wire) for operation in operations]
    unasked = [operation.label for operation, (sent, _) in zip(operations, outcomes, strict=True) if not sent]
    spoilable = {operation.label for operation in operations if operation.query or operation.body}
    assert not (spoilable.intersection(unasked) if mode == GenerationMode.NEGATIVE else unasked), "nothing was sent"
    troubles = [trouble for _, found in outcomes for trouble in found]
    assert not troubles, "\n\n".join(troubles)


def fuzz(operation: APIOperation, mode: GenerationMode, effort: settings, wire: Wire | None) -> tuple[int, list[str]]:
    """Send made-up requests to one operation; return how many, and what is wrong with the answers."""
    ids = known_ids(wire) if wire else {}
    parameters = {item.name: ids[item.name] for item in operation.path_parameters if item.name in ids}
    sent = []

    @effort
    @given(case=operation.as_strategy(mode, path_parameters=parameters or None))
    def send(case: schemathesis.Case) -> None:
        if wire and isinstance(case.body, dict) and "assistant_id" in case.body:
            case.body["assistant_id"] = ids["assistant_id"]
        sent.append(case)
        case.call_and_validate(checks=CHECKS, headers=HEADERS, timeout=CALL_S)

    try:
        send()
    except FailureGroup as failures:
        return len(sent), [f"{operation.label}: {failure}" for failure in failures.exceptions]
    except Unsatisfiable:  # an operation without parameters cannot be asked wrongly
        pass
    return len(sent), []


def known_ids(wire: Wire) -> Json:
    """Make a run that waits, and return the ids around it by the name of the path parameter."""
    run = wire.settle(wire.assistant("weather"))
    file = wire.send_file("/files", "file", b"Ophelia drowns.", "a.txt", purpose="vision")
    store, batch, chunk = _shelved(wire, file["id"])
    given = {"filename": "a.txt", "purpose": "batch", "bytes": 3, "mime_type": "text/plain"}
    upload = wire.make("/uploads", given)
    part = wire.send_file(f"/uploads/{upload['id']}/parts", "data", b"abc")
    return {
        "assistant_id": run["assistant_id"],
        "thread_id": run["thread_id"],
        "run_id": run["id"],
        "step_id": wire.steps(run)[0]["id"],
        "model_call_id": wire.read(f"{run_path(run)}/model_calls")["data"][0]["id"],
        "message_id": wire.read(f"/threads/{run['thread_id']}/messages")["data"][0]["id"],
        "file_id": file["id"],
        "file_ids": file["id"],
        "upload_id": upload["id"],
        "part_ids": part["id"],
        "vector_store_id": store,
        "vector_store_ids": store,
        "batch_id": batch,
        "chunk_id": chunk,
    }


def _shelved(wire: Wire, file_id: str) -> tuple[str, str, str]:
    """Put a file into a new vector store; return the ids of the store, of the batch, and of the file's one passage."""
    store: str = wire.make("/vector_stores")["id"]
    batch: str = wire.make(f"/vector_stores/{store}/file_batches", {"file_ids": [file_id]})["id"]
    poll = {"X-Stainless-Poll-Helper": "true", "X-Stainless-Read-Timeout": "60"}
    while (file := wire.get(f"/vector_stores/{store}/files/{file_id}", headers=poll).json())["status"] != "completed":
        assert file["status"] == "in_progress", file
    [found] = wire.make(f"/vector_stores/{store}/search", {"query": "Ophelia"})["data"]
    return store, batch, found["chunk_id"]
