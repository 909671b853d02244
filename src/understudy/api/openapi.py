"""The server's own OpenAPI document: FastAPI's, plus the bodies that routes read themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from understudy.api.requests import JsonBody

REFERENCE = "#/components/schemas/{model}"


def document(app: FastAPI) -> dict[str, Any]:
    """Make the document once, at its first request."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for route in app.routes:
            if isinstance(route, APIRoute):
                _describe_body(made, route)
        app.openapi_schema = made
    return app.openapi_schema


def _describe_body(made: dict[str, Any], route: APIRoute) -> None:
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
            operation = made["paths"][route.path_format][method.lower()]
            operation["requestBody"] = {"content": content, "required": bool(schema.get("required"))}
