"""How the server is."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from understudy.api.requests import ServicesDep

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(services: ServicesDep) -> JSONResponse:
    """Tell the version, the state of each part, and why a part is off. An extension."""
    report = await services.health()
    return JSONResponse(report, 200 if report["status"] == "ok" else 503)
