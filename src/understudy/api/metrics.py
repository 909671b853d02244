"""`GET /metrics`, for Prometheus."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from understudy.api import auth

router = APIRouter(tags=["health"])


async def may_measure(request: Request) -> None:
    """Raise for callers who may not see the counters: they tell of all projects."""
    auth.require_admin(request.scope)


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, _: Annotated[None, Depends(may_measure)]) -> Response:
    """Show the counters. An extension."""
    return Response(await request.app.state.measured(), media_type="text/plain; version=0.0.4; charset=utf-8")
