"""Where a request can carry the id of an object: read off the server's own OpenAPI document."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.harness.wire import Json

HERE = "<here>"
CURSORS = ("after", "before")
DEEP = 8
"""No body carries an id further in; some may be nested without end."""


@dataclass(frozen=True)
class Request:
    """One operation, ready to be sent but for its path's ids. `spot` is the id in question; HERE stands for it."""

    method: str
    path: str
    query: Json = field(default_factory=dict)
    body: Any = None
    spot: str = ""
    is_form: bool = False

    def with_ids(self, ids: Json, here: str = "") -> "Request":
        """Fill the ids in; `here` goes to the spot."""
        in_path = {name: here if self.in_path and name == self.spot else ids[name] for name in _names(self.path)}
        return replace(
            self,
            path=self.path.format(**in_path),
            query={name: here if value == HERE else value for name, value in self.query.items()},
            body=_filled(self.body, ids, here),
        )

    @property
    def in_path(self) -> bool:
        return HERE not in self.query.values() and HERE not in str(self.body)


def _names(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _filled(value: Any, ids: Json, here: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled_in(ids.get(key), item, ids, here) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, ids, here) for item in value]
    return here if value == HERE else value


def _filled_in(known: str | None, item: Any, ids: Json, here: str) -> Any:
    if known is not None and isinstance(item, str) and item != HERE:
        return known
    if known is not None and isinstance(item, list) and HERE not in item:
        return [known] * len(item)
    return _filled(item, ids, here)


class Document:
    """The server's OpenAPI document."""

    def __init__(self, document: Json) -> None:
        self._schemas = document["components"]["schemas"]
        self._operations = [
            (path.removeprefix("/v1"), method, operation)
            for path, methods in document["paths"].items()
            if path.startswith("/v1/")
            for method, operation in methods.items()
        ]

    def plain(self) -> Iterator[Request]:
        """Yield every operation with the least that it takes."""
        for path, method, operation in self._operations:
            schema = self._body(operation)
            least = None if schema is None else self._least(schema)
            is_form = "multipart/form-data" in operation.get("requestBody", {}).get("content", {})
            yield Request(method, path, body=least, is_form=is_form)

    def spots(self) -> Iterator[Request]:
        """Yield every operation once for each place in it that takes an id."""
        for (path, _, operation), plain in zip(self._operations, self.plain(), strict=True):
            for name in _names(path):
                yield replace(plain, spot=name)
            for parameter in operation.get("parameters", []):
                name = parameter["name"]
                if parameter["in"] == "query" and (name in CURSORS or _is_id(name)):
                    yield replace(plain, query={name: HERE}, spot=name)
            for name, body in self._bodies(self._body(operation) or {}):
                yield replace(plain, body=body, spot=name)

    def _body(self, operation: Json) -> Json | None:
        content = operation.get("requestBody", {}).get("content", {})
        return next((kind["schema"] for kind in content.values()), None)

    def _resolved(self, schema: Json) -> list[Json]:
        """The forms that a schema allows, null left out."""
        if "$ref" in schema:
            return self._resolved(self._schemas[schema["$ref"].rsplit("/", 1)[1]])
        forms = schema.get("anyOf") or schema.get("oneOf")
        if forms is None or "properties" in schema:
            return [schema]
        return [form for one in forms for form in self._resolved(one) if form.get("type") != "null"]

    def _least(self, schema: Json, having: str = "") -> Any:
        """The least value that a schema allows; of an object that has alternatives, the one with `having`."""
        form = self._resolved(schema)[0]
        if "const" in form or "enum" in form:
            return form.get("const", form.get("enum", [None])[0])
        match form.get("type"):
            case "object":
                choices = [choice["required"] for choice in form.get("anyOf", [])]
                chosen = next((names for names in choices if having in names), [*choices, []][0])
                needed = [*form.get("required", []), *chosen]
                return {name: self._least(form["properties"][name]) for name in needed}
            case "array":
                return [self._least(form["items"])] * form.get("minItems", 0)
            case "integer" | "number":
                return form.get("minimum", 0)
            case "boolean":
                return False
        return "x" * form.get("minLength", 1)

    def _bodies(self, schema: Json, depth: int = 0) -> Iterator[tuple[str, Any]]:
        """Yield the least body around each id in a schema, with HERE in the id's place."""
        for form in self._resolved(schema) if depth < DEEP else ():
            if form.get("type") == "array":
                yield from ((name, [item]) for name, item in self._bodies(form["items"], depth + 1))
            for name, inner in form.get("properties", {}).items():
                if _is_id(name):
                    found = [(name, [HERE] if self._resolved(inner)[0].get("type") == "array" else HERE)]
                else:
                    found = list(self._bodies(inner, depth + 1))
                for spot, value in found:
                    yield spot, {**self._least(form, name), name: value}


def _is_id(name: str) -> bool:
    return name.endswith(("_id", "_ids"))
