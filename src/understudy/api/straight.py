"""A route that asks for what it needs straight away.

FastAPI goes through each dependency of a request as if it could be anything: a generator, a function for a thread, one
with fields to check, scopes and overrides. Ours are coroutines, and most want the request or an id of its path: what
they are is looked at once, when the route is made. All others are left to FastAPI.
"""

from collections.abc import Awaitable, Callable, Coroutine
from inspect import iscoroutinefunction, signature
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

Find = Callable[[Request], Coroutine[Any, Any, Any]]
"""Gives what a dependency gives for a request."""


class StraightRoute(APIRoute):
    """For routes that answer with a Response. What a dependency gives is not kept for another that wants the same."""

    def get_route_handler(self) -> Find:
        """Return what answers a request."""
        usual = super().get_route_handler()
        if signature(self.endpoint).return_annotation is not Response:
            return usual
        try:
            return _finder(self.dependant) or usual
        except AttributeError:  # another version of FastAPI describes dependencies in another way
            return usual


def _finder(asked: Dependant) -> Find | None:
    """Return what calls a dependency, or a route's function, with all it wants; None if that needs FastAPI."""
    call, finds = asked.call, _finds(asked)
    if call is None or finds is None or not (iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)):
        return None
    if [*finds] == [asked.request_param_name]:
        return call
    return _calling(call, finds)


def _finds(asked: Dependant) -> dict[str, Find] | None:
    """Return how each parameter is found; None if one is neither the request, an id of the path, nor a dependency."""
    assert asked.call is not None
    depended = {sub.name: sub for sub in asked.dependencies}
    in_path = {field.name for field in asked.path_params}
    finds = {}
    for name, parameter in signature(asked.call).parameters.items():
        if name == asked.request_param_name:
            find: Find | None = _itself
        elif name in in_path and parameter.annotation is str:
            find = _of_path(name)
        else:
            find = _finder(depended[name]) if name in depended else None
        if find is None:
            return None
        finds[name] = find
    return finds if set(depended) <= set(finds) else None


async def _itself(request: Request) -> Request:
    return request


def _of_path(name: str) -> Find:
    async def find(request: Request) -> Any:
        return request.path_params[name]

    return find


def _calling(call: Callable[..., Awaitable[Any]], finds: dict[str, Find]) -> Find:
    in_order = list(finds.items())

    async def find(request: Request) -> Any:
        return await call(**{name: await each(request) for name, each in in_order})

    return find
