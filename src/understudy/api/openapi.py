"""The server's own OpenAPI document: FastAPI's, plus the bodies that routes read themselves."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from understudy.api.requests import JsonBody

REFERENCE = "#/components/schemas/{model}"


def document(app: FastAPI, routers: Sequence[APIRouter], prefix: str) -> dict[str, Any]:
    """Make the document once, at its first request. The routers are those included under the prefix."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute):
                    _describe_body(made, route, prefix)
        app.openapi_schema = made
    return app.openapi_schema


def _describe_body(made: dict[str, Any], route: APIRoute, prefix: str) -> None:
    for dependency in route.dependant.dependencies:
        if not isinstance(dependency.call, JsonBody):
            continue
        model = dependency.call.model
        schema = model.model_json_schema(by_alias=True, ref_template=REFERENCE)
        schemas = made["components"]["schemas"]
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
        content = {"application/json": {"schema": {"$ref": REFERENCE.format(model=model.__name__)}}}
        for method in route.methods or ():
            operation = made["paths"][prefix + route.path_format][method.lower()]
            operation["requestBody"] = {"content": content, "required": bool(schema.get("required"))}
