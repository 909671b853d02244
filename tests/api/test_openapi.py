"""The server's own OpenAPI document."""

import json
from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.api.server import app_of

BODILESS = {
    "/v1/threads/{thread_id}/runs/{run_id}/cancel",
    "/v1/uploads/{upload_id}/cancel",
    "/v1/vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel",
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return app_of().openapi()


async def test_it_is_served(client: AsyncClient, document: dict[str, Any]) -> None:
    assert (await client.get("/openapi.json")).json() == json.loads(json.dumps(document))


def test_every_post_tells_its_body(document: dict[str, Any]) -> None:
    posts = {url: operations["post"] for url, operations in document["paths"].items() if "post" in operations}
    assert len(posts) >= 11
    without = {url for url, operation in posts.items() if "requestBody" not in operation}
    assert without == BODILESS


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    references = [piece.split('"')[0] for piece in json.dumps(document).split('"$ref": "')[1:]]
    assert references
    known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert set(references) <= known


def test_a_body_is_required_where_something_in_it_is(document: dict[str, Any]) -> None:
    assert document["paths"]["/v1/assistants"]["post"]["requestBody"]["required"] is True
    assert document["paths"]["/v1/threads"]["post"]["requestBody"]["required"] is False


def test_every_operation_tells_its_errors(document: dict[str, Any]) -> None:
    for url, operations in document["paths"].items():
        if url.startswith("/v1"):
            for operation in operations.values():
                assert {"400", "404"} <= set(operation["responses"]), url


def test_names_that_python_cannot_have_are_told_as_they_are(document: dict[str, Any]) -> None:
    assert "schema" in document["components"]["schemas"]["JsonSchemaDefinition"]["properties"]


def test_the_states_that_runs_are_listed_by_are_told(document: dict[str, Any]) -> None:
    told = {one["name"]: one["schema"] for one in document["paths"]["/v1/runs"]["get"]["parameters"]}
    assert "requires_action" in told["status"]["items"]["enum"]
    assert {"limit", "order", "after", "before", "assistant_id"} <= told.keys()
