"""What is noted of a request that fails on a defect."""

import pytest
from tests.api.server import app_of, client_of
from tests.engine.house import House


async def test_a_defect_is_logged_once_with_its_request(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async with client_of(house) as client:
        app_of().state.services = None
        answer = await client.get("/v1/models", headers={"authorization": "Bearer k"})
    assert answer.status_code == 500
    (defect,) = [one for one in caplog.records if one.exc_info]
    assert defect.facts["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["x-request-id"] in answer.json()["error"]["message"]
