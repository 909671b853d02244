"""The HTTP side of a server: every route, and what happens to every request on its way to one."""

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from understudy import __version__
from understudy.api import (
    assistants,
    auth,
    errors,
    file_batches,
    files,
    health,
    messages,
    middleware,
    model_calls,
    models,
    multipart,
    openapi,
    projects,
    rates,
    retries,
    run_list,
    runs,
    steps,
    threads,
    uploads,
    usage,
    vector_store_files,
    vector_stores,
    webpages,
)
from understudy.api import metrics as api_metrics
from understudy.api.access import Access, Meter
from understudy.api.limits import RootPath, TimeLimit
from understudy.api.limits import full as one_too_many
from understudy.api.requests import Services
from understudy.config import Settings
from understudy.playground import page

V1 = "/v1"
NOUNS = (
    assistants,
    runs,
    threads,
    messages,
    steps,
    models,
    files,
    uploads,
    vector_stores,
    vector_store_files,
    file_batches,
    run_list,
    model_calls,
    projects,
    usage,
)


def web(
    settings: Settings, services: Services, lifespan: Any = None, meter: Meter | None = None, *, api: bool = True
) -> FastAPI:
    """Put the HTTP side together, over services that somebody else has made. No `api`: health and counters only."""
    nouns = NOUNS if api else ()
    app = FastAPI(
        title="Understudy",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # an id that is empty makes no new object
    )
    app.state.services = services
    for noun in nouns:  # each by itself: FastAPI matches a path once more for every router around a router
        app.include_router(noun.router, prefix=V1, responses=errors.DOCUMENTED)
    app.include_router(health.router)
    app.include_router(api_metrics.router)
    if settings.playground and api:
        app.router.routes.extend(page.routes())
    errors.install(app)
    retries.install(app)
    app.openapi = lambda: openapi.document(app, [noun.router for noun in NOUNS], V1)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    if settings.strict_beta_header:
        app.add_middleware(middleware.BetaHeader)
    app.add_middleware(TimeLimit, seconds=settings.request_timeout_s)
    max_bytes = int(settings.max_body_bytes)
    streamed = multipart.takes_form([noun.router for noun in NOUNS], V1)
    app.add_middleware(middleware.BodyLimit, max_bytes=max_bytes, timeout_s=settings.body_timeout_s, streamed=streamed)
    app.add_middleware(rates.RequestRates)
    app.add_middleware(auth.Door, also_open=page.paths() if settings.playground else frozenset())
    app.add_middleware(webpages.WebPages, origins=settings.cors_origins)
    app.add_middleware(retries.NoteRefused)
    app.add_middleware(Access, meter=meter, log_content=settings.log_content)
    app.add_middleware(middleware.ResponseHeaders)
    if settings.root_path:
        app.add_middleware(RootPath, path=settings.root_path)
    return app


def full(app: FastAPI, root_path: str) -> ASGIApp:
    """Return what answers connections that are more than an app may have. It too notes whom it refuses."""
    answering: ASGIApp = middleware.ResponseHeaders(retries.NoteRefused(one_too_many))
    below = RootPath(answering, root_path) if root_path else answering

    async def full_app(scope: Scope, receive: Receive, send: Send) -> None:
        await below({**scope, "app": app}, receive, send)

    return full_app
