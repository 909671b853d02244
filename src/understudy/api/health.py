"""How the server is."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from understudy.api.requests import ServicesDep

router = APIRouter(tags=["health"])


@router.get("/health")
async def health(request: Request, services: ServicesDep) -> JSONResponse:
    """Tell the version, the state of each part, and why a part is off; without a key, the status alone."""
    report = await services.health()
    shown = report if request.scope["caller"] else {"status": report["status"]}
    return JSONResponse(shown, 503 if report["status"] == "failed" else 200)
