"""Routes of models."""

from collections.abc import Sequence
from typing import Any

import pytest
from httpx2 import AsyncClient
from tests.api.server import client_of
from tests.engine.house import House

from understudy.errors import ModelNotFound
from understudy.inference.base import Route
from understudy.testing import OneRoute

NOT_FOUND = {
    "message": "The model 'fake_id' does not exist",
    "type": "invalid_request_error",
    "param": "model",
    "code": "model_not_found",
}


class Named(OneRoute):
    """Routes that know two names."""

    def find(self, model: str) -> Route:
        if model not in self.names():
            raise ModelNotFound(model)
        return super().find(model)

    def names(self) -> Sequence[str]:
        return ["gpt-4o", "org/model"]


async def test_the_list(client: AsyncClient) -> None:
    listed = (await client.get("/v1/models")).json()
    [model] = listed["data"]
    assert (listed["object"], model["id"], model["object"]) == ("list", "scripted", "model")
    assert set(model) == {"id", "object", "created", "owned_by"}


@pytest.mark.parametrize("name", ["gpt-4o", "org/model"])
async def test_one(house: House, name: str) -> None:
    house.routes = Named(house.model)
    async with client_of(house) as client:
        assert (await client.get(f"/v1/models/{name}")).json()["id"] == name


async def test_an_unknown_model(house: House) -> None:
    house.routes = Named(house.model)
    requests: list[tuple[str, str, Any]] = [
        ("GET", "/v1/models/fake_id", None),
        ("DELETE", "/v1/models/fake_id", None),
        ("POST", "/v1/assistants", {"model": "fake_id"}),
    ]
    async with client_of(house) as client:
        for method, url, body in requests:
            answer = await client.request(method, url, json=body)
            assert (answer.status_code, answer.json()) == (404, {"error": NOT_FOUND})


async def test_models_cannot_be_deleted(client: AsyncClient) -> None:
    answer = await client.delete("/v1/models/scripted")
    assert answer.status_code == 403
    assert "routes of this server's configuration" in answer.json()["error"]["message"]
