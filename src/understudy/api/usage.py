"""Usage over time: an extension."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from understudy.api.answers import json_answer
from understudy.api.requests import READABLE, CallerDep, ServicesDep
from understudy.errors import Forbidden, InvalidRequest, quoted
from understudy.protocol.usage import DEFAULT_BUCKETS, MAX_BUCKETS, WIDTH_S, BucketWidth, UsageReport
from understudy.storage import usage

router = APIRouter(prefix="/usage", tags=["usage"])

_YEAR_3000 = 32_503_680_000
NOT_ALL = "Only an admin key may ask for all projects: make one with `understudy keys create --admin`."


@router.get("", response_model=UsageReport)
async def report(
    services: ServicesDep,
    caller: CallerDep,
    bucket_width: BucketWidth = "1d",
    start_time: Annotated[int | None, Query(ge=0, le=_YEAR_3000), READABLE] = None,
    limit: Annotated[int | None, Query(ge=1), READABLE] = None,
    all_projects: bool = False,
) -> Response:
    """Tell tokens and runs by hour or day (UTC): the last ones, or `limit` from the one that holds `start_time`."""
    width_s, most = WIDTH_S[bucket_width], MAX_BUCKETS[bucket_width]
    count = limit or DEFAULT_BUCKETS[bucket_width]
    if count > most:
        expected = f"Expected a value <= {most} with bucket_width '{bucket_width}', but got {quoted(count)} instead."
        message = f"Invalid 'limit': integer above maximum value. {expected}"
        raise InvalidRequest(message, param="limit", code="integer_above_max_value")
    if all_projects and caller.key_id is not None and not caller.admin:
        raise Forbidden(NOT_ALL)
    last = int(services.clock.now()) // width_s * width_s
    start = last - (count - 1) * width_s if start_time is None else start_time // width_s * width_s
    project = None if all_projects else caller.project
    found = await services.store.read(lambda c: usage.buckets(c, project, start, width_s, count))
    return json_answer(UsageReport(data=found))
