"""What routes ask of a request: its body, its page, its ids, its project, the server's services.

All dependencies are coroutines, also those that wait for nothing: FastAPI runs plain functions in a thread each. They
depend on the request alone: FastAPI goes through what a dependency depends on anew for each that does.
"""

import math
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ValidationError
from pydantic_core import from_json
from starlette.types import Scope

from understudy.api.complaints import null_character
from understudy.api.keyring import Caller, Keyring
from understudy.engine.conversation import Conversations
from understudy.engine.follow import Followers
from understudy.engine.retries import Refused
from understudy.engine.service import RunService
from understudy.errors import InvalidRequest, quoted
from understudy.ids import PREFIXES, Clock
from understudy.inference.base import Routes
from understudy.ingest.files import Files
from understudy.ingest.search import Search
from understudy.ingest.stores import VectorStores
from understudy.ingest.uploads import Uploads
from understudy.ingest.waiting import Waits
from understudy.protocol.steps import INCLUDE_RESULTS
from understudy.protocol.text import NUL
from understudy.storage.base import Store
from understudy.storage.rows import Order, Window


@dataclass(frozen=True, slots=True)
class Services:
    """All that routes work with; made by the composition root."""

    store: Store
    runs: RunService
    followers: Followers
    conversations: Conversations
    refused: Refused
    vector_stores: VectorStores
    waits: Waits
    search: Search
    routes: Routes
    clock: Clock
    keyring: Keyring
    files: Files
    uploads: Uploads
    health: Callable[[], Awaitable[dict[str, Any]]]


async def services(request: Request) -> Services:
    """Return the server's services, to which no address with a null character leads. Raises InvalidRequest."""
    if NUL in request.scope["path"] or b"%00" in request.scope["query_string"]:
        _refuse_nul(request)
    return services_of(request.scope)


def _refuse_nul(request: Request) -> None:
    """Tell of a null character as it is told of in bodies: PostgreSQL cannot even look for one."""
    for param, value in [*request.path_params.items(), *request.query_params.multi_items()]:
        if NUL in value or NUL in param:
            told = null_character(quoted(param.replace(NUL, "")))
            raise InvalidRequest(told.message, param=told.param, code=told.code)


def services_of(scope: Scope) -> Services:
    """Return the services of the server that a request came to."""
    found: Services = scope["app"].state.services
    return found


async def caller(request: Request) -> Caller:
    """Return on whose behalf a request is made; `api/auth.py` has found it out."""
    found: Caller = request.scope["caller"]
    return found


async def project(request: Request) -> str:
    """Return whose objects a request may see."""
    return project_of(request.scope)


def project_of(scope: Scope) -> str:
    """Return whose objects a request may see."""
    found: Caller = scope["caller"]
    return found.project


CallerDep = Annotated[Caller, Depends(caller)]
ServicesDep = Annotated[Services, Depends(services)]
ProjectDep = Annotated[str, Depends(project)]

M = TypeVar("M", bound=BaseModel)


_MAY_OVERFLOW = re.compile(rb"[0-9](?:[eE]\+?[0-9]{3}|[0-9]{308})")


def _parsed(raw: bytes) -> Any:
    """Parse JSON. Raises ValueError, also for a number that only infinity could stand for: it cannot be sent on."""
    content = from_json(raw, allow_inf_nan=False)
    if _MAY_OVERFLOW.search(raw) and _has_infinity(content):
        raise ValueError("number out of range")
    return content


def _has_infinity(content: Any) -> bool:
    if isinstance(content, dict):
        return any(_has_infinity(value) for value in content.values())
    if isinstance(content, list):
        return any(_has_infinity(value) for value in content)
    return isinstance(content, float) and math.isinf(content)


def _place_of_nul(content: Any, place: tuple[str | int, ...] = ()) -> tuple[str | int, ...] | None:
    """Return where the first string with a null character stands; PostgreSQL cannot keep one."""
    if isinstance(content, str):
        return place if NUL in content else None
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for step, value in items:
        if isinstance(step, str) and NUL in step:
            return place
        if (found := _place_of_nul(value, (*place, step))) is not None:
            return found
    return None


class JsonBody:
    """A dependency that reads a request's body as a model, whatever content type the client names.

    An absent body and null stand for `{}`. Problems are told in the hosted API's words.
    """

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model

    async def __call__(self, request: Request) -> BaseModel:
        raw = await request.body()
        try:
            content = _parsed(raw) if raw.strip() else {}
        except ValueError as problem:
            found = {"type": "json_invalid", "loc": ("body",), "msg": "", "input": None, "ctx": {"error": str(problem)}}
            raise RequestValidationError([found]) from None
        if b"\\u0000" in raw and (place := _place_of_nul(content)) is not None:
            nul: Any = {"type": "null_character", "loc": ("body", *place), "msg": "", "input": None}
            raise RequestValidationError([nul], body=content)
        try:
            return self.model.model_validate({} if content is None else content)
        except ValidationError as problem:
            errors = [{**error, "loc": ("body", *error["loc"])} for error in problem.errors(include_url=False)]
            raise RequestValidationError(errors, body=content) from None


def body(model: type[M]) -> M:
    """Declare a route's body; to be used as a parameter's default."""
    declared: M = Depends(JsonBody(model))
    return declared


_READABLE_DIGITS = 4300
"""Of a longer number the validator says that it cannot be read, not that it is above a limit."""


def _readable(given: object) -> object:
    return given[:_READABLE_DIGITS] if isinstance(given, str) else given


READABLE = BeforeValidator(_readable)
"""For a number of the query. It stands behind the limits, or the document would not tell of them."""


async def window(
    limit: Annotated[int, Query(ge=1, le=100), READABLE] = 20,
    order: Order = "desc",
    after: str | None = None,
    before: str | None = None,
) -> Window:
    """Read a list's page from the query. Empty cursors count as absent: some clients send them."""
    return Window(limit, order, after or None, before or None)


WindowDep = Annotated[Window, Depends(window)]


def listed(request: Request, name: str) -> list[str]:
    """Read an array of the query in all the forms that SDKs send it (surface.md, section 0.1)."""
    given = [*request.query_params.getlist(f"{name}[]"), *request.query_params.getlist(name)]
    return [value for joined in given for value in joined.split(",") if value]


async def included(request: Request) -> frozenset[str]:
    """Read `include[]`."""
    values = frozenset(listed(request, "include"))
    for value in sorted(values - {INCLUDE_RESULTS}):
        message = f"Invalid value: '{quoted(value)}'. Supported values are: '{INCLUDE_RESULTS}'."
        raise InvalidRequest(message, param="include", code="invalid_value")
    return values


async def _with_results(values: Annotated[frozenset[str], Depends(included)]) -> bool:
    return INCLUDE_RESULTS in values


WithResultsDep = Annotated[bool, Depends(_with_results)]
"""Whether steps are to show the passages that searches found."""


def checked_id(value: str, kind: str, param: str) -> str:
    """Refuse an id that cannot be one (behaviours.md, row 9): it tells the caller what they mixed up."""
    prefix = PREFIXES[kind]
    if not value.startswith(prefix):
        message = f"Invalid '{param}': '{quoted(value)}'. Expected an ID that begins with '{prefix}'."
        raise InvalidRequest(message, param=param, code="invalid_value")
    return value


async def _assistant_id(assistant_id: str) -> str:
    return checked_id(assistant_id, "assistant", "assistant_id")


async def _thread_id(thread_id: str) -> str:
    return checked_id(thread_id, "thread", "thread_id")


async def _message_id(message_id: str) -> str:
    return checked_id(message_id, "message", "message_id")


async def _run_id(run_id: str) -> str:
    return checked_id(run_id, "run", "run_id")


async def _step_id(step_id: str) -> str:
    return checked_id(step_id, "step", "step_id")


async def _vector_store_id(vector_store_id: str) -> str:
    return checked_id(vector_store_id, "vector_store", "vector_store_id")


async def _batch_id(batch_id: str) -> str:
    return checked_id(batch_id, "file_batch", "batch_id")


AssistantId = Annotated[str, Depends(_assistant_id)]
ThreadId = Annotated[str, Depends(_thread_id)]
MessageId = Annotated[str, Depends(_message_id)]
RunId = Annotated[str, Depends(_run_id)]
StepId = Annotated[str, Depends(_step_id)]
VectorStoreId = Annotated[str, Depends(_vector_store_id)]
BatchId = Annotated[str, Depends(_batch_id)]
