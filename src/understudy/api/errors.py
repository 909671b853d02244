"""The only place that knows both errors and HTTP.

Policy: the caller's mistakes are 4xx with the hosted API's texts (behaviours.md, section 1); never 409, which the SDKs
would retry. What fails on our side is 5xx, says no more than it must, and names the request to look for in the log.
"""

import logging
import re
from collections.abc import Sequence
from math import ceil
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from understudy.api.complaints import complaint
from understudy.errors import ApiError, ConfigurationError, TooManyRequests, Unavailable
from understudy.protocol.base import ErrorAnswer

log = logging.getLogger(__name__)

DOCUMENTED: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request is not right; the message says what is allowed."},
    401: {"model": ErrorAnswer, "description": "The key is missing or unknown."},
    403: {"model": ErrorAnswer, "description": "This is nobody's to do, or a web page asks that may not."},
    404: {"model": ErrorAnswer, "description": "There is no such object."},
    413: {"model": ErrorAnswer, "description": "The body is too large."},
    429: {"model": ErrorAnswer, "description": "A limit is reached; see the retry-after header."},
    503: {"model": ErrorAnswer, "description": "A part of the server is off or cannot write."},
}

_TOLD_TWICE = re.compile(r"/v1/files(/|$)")
"""Where a mistake is also told beside the error, as the hosted API does it (recorded)."""

SERVER_FAILURE = (
    "The server had an error processing your request. Sorry about that! You can retry your request. "
    "(Please include the request ID {request_id} in a report.)"
)


def answer(
    status: int,
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
    headers: dict[str, str] | None = None,
    twice: bool = False,
) -> JSONResponse:
    """An error in the API's shape; `twice` puts its sentence beside it too."""
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return JSONResponse(body | ({"detail": {"message": message, "code": code}} if twice else {}), status, headers)


def install(app: FastAPI) -> None:
    """Turn every error into an answer."""
    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(ValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Unavailable, _refused)
    app.add_exception_handler(ConfigurationError, _refused)
    app.add_exception_handler(ClientDisconnect, _unheard)
    app.add_exception_handler(Exception, _defect)


def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError | Unavailable | ConfigurationError)
    return refusal(error, twice=_is_told_twice(request))


def _is_told_twice(request: Request) -> bool:
    return _TOLD_TWICE.match(request.scope.get("path", "")) is not None


def refusal(error: ApiError | Unavailable | ConfigurationError, *, twice: bool = False) -> JSONResponse:
    """A mistake of the caller, or a part of the server that is off, in the API's shape."""
    if not isinstance(error, ApiError):
        return answer(503, str(error), kind="server_error")
    headers, kind = None, "invalid_request_error"
    if isinstance(error, TooManyRequests):
        headers, kind = {"retry-after": str(max(1, ceil(error.retry_after)))}, error.kind
    return answer(
        error.status, error.message, kind=kind, param=error.param, code=error.code, headers=headers, twice=twice
    )


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError | ValidationError)
    found: Sequence[Any] = error.errors()
    wrong = complaint(found[0], getattr(error, "body", None))
    return answer(400, wrong.message, param=wrong.param, code=wrong.code, twice=_is_told_twice(request))


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    texts = {
        404: f"Invalid URL ({request.method} {request.url.path})",
        405: f"Not allowed to {request.method} on {request.url.path} (HINT: Perhaps you meant to use another method?)",
    }
    message = texts.get(error.status_code, str(error.detail))
    headers = dict(error.headers) if error.headers else None
    return answer(error.status_code, message, headers=headers)


def _unheard(_: Request, __: Exception) -> Response:
    """The client left before it had sent its request: nobody hears this."""
    return Response(status_code=400)


def _defect(request: Request, error: Exception) -> JSONResponse:
    request_id = request.scope.get("request_id", "unknown")
    facts = {"request_id": request_id, "method": request.method, "path": request.url.path}
    log.error("a request failed on a defect of this server", exc_info=error, extra={"facts": facts})
    error.is_logged = True  # type: ignore[attr-defined]  # the server below would log it again
    text = SERVER_FAILURE.format(request_id=request_id)
    return answer(500, text, kind="server_error", headers={"x-request-id": request_id})
