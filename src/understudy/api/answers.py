"""Objects to bytes. Answers are encoded by the models themselves, once, without a second validation."""

from collections.abc import Mapping

from fastapi import Response

from understudy.protocol.base import WireModel


def json_answer(body: WireModel, headers: Mapping[str, str] | None = None) -> Response:
    """A successful answer."""
    return Response(body.model_dump_json(), media_type="application/json", headers=headers)
