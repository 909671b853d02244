"""Traces of runs for OpenTelemetry, by its semantic conventions for generative AI.

Nothing is exported by itself: where OpenTelemetry's SDK is installed and set up (`opentelemetry-instrument`, `OTEL_*`),
the spans go where it sends them; elsewhere they cost next to nothing. They hold ids, names and counts, never what
somebody wrote.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Literal

from understudy import __version__

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

Operation = Literal["invoke_agent", "chat", "execute_tool"]
Attributes = Mapping[str, str | int]


@contextmanager
def span(operation: Operation, name: str, attributes: Attributes) -> Iterator["Span"]:
    """Trace what the context holds: an agent's run, or a call of its model or of a tool. Failures are told by type."""
    from opentelemetry.trace import SpanKind, Status, StatusCode

    kind = SpanKind.CLIENT if operation == "chat" else SpanKind.INTERNAL
    given = {"gen_ai.operation.name": operation, **attributes}
    with _tracer().start_as_current_span(
        f"{operation} {name}", kind=kind, attributes=given, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as failure:
            current.set_attribute("error.type", type(failure).__name__)
            current.set_status(Status(StatusCode.ERROR))
            raise


def ids(run_id: str, thread_id: str, attempt: int) -> dict[str, str | int]:
    """Return the attributes that name a run, wherever its spans come from."""
    return {"gen_ai.conversation.id": thread_id, "understudy.run.id": run_id, "understudy.run.attempt": attempt}


@cache
def _tracer() -> "Tracer":
    from opentelemetry.trace import get_tracer

    return get_tracer("understudy", __version__)
