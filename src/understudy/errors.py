"""What can go wrong, below HTTP. `api/errors.py` alone turns these into answers.

UnderstudyError
├── ApiError                  the caller's mistake; carries the hosted API's text, param and code
│   ├── InvalidRequest        400
│   ├── NotFound, NotInStore, NoSuchFile, FilesNotFound, ModelNotFound    404
│   ├── TooLarge              413
│   ├── TooSlow               408
│   ├── Unauthorized          401
│   ├── Forbidden             403
│   └── TooManyRequests       429, with the seconds to wait
├── Unavailable               503: a part of the server is off; says which and how to mend it
├── SessionEnded              a session of the code interpreter is gone; the next one begins anew
├── NoRoom                    a file does not fit into such a session
├── LeaseLost                 a worker found that the run is no longer its own
├── ToolUnavailable           a run needs a tool that is off; becomes the run's last_error
├── UpstreamError             the language model's server failed; becomes the run's last_error
└── ConfigurationError        the server cannot start like this
"""

from collections.abc import Sequence
from typing import Literal

MAX_QUOTED = 200
"""Characters of what a caller sent that an error repeats: a value may have megabytes."""


def quoted(value: object) -> str:
    """Return what a caller sent as an error repeats it."""
    text = str(value)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


class UnderstudyError(Exception):
    """Root of every error raised on purpose."""


class ApiError(UnderstudyError):
    """A mistake of the caller, told in the hosted API's own words."""

    status = 400

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code


class InvalidRequest(ApiError):
    """The request cannot be carried out as it is."""


class NotFound(ApiError):
    """No such object in the caller's project. Texts: behaviours.md, section 1, rows 1 to 5, and 7."""

    status = 404

    def __init__(self, noun: str, object_id: str) -> None:
        super().__init__(f"No {noun} found with id '{quoted(object_id)}'.")


class NoSuchFile(ApiError):
    """No such file in the caller's project. Text: behaviours.md, row 6 (recorded)."""

    status = 404

    def __init__(self, file_id: str) -> None:
        super().__init__(f"No such File object: {quoted(file_id)}", param="id")


class NotInStore(ApiError):
    """A vector store of the caller's has no such file or batch."""

    status = 404

    def __init__(self, noun: str, object_id: str, store_id: str) -> None:
        super().__init__(f"No {noun} found with id '{quoted(object_id)}' in vector store '{quoted(store_id)}'.")


class FilesNotFound(ApiError):
    """Files that a request refers to are not in the caller's project. Text: behaviours.md, row 34."""

    status = 404

    def __init__(self, file_ids: Sequence[str]) -> None:
        super().__init__(f"File ids {[quoted(file_id) for file_id in file_ids]} were not found.", param="file_ids")


class TooLarge(ApiError):
    """More bytes than may come at once."""

    status = 413


class TooSlow(ApiError):
    """The request's body took longer than it may."""

    status = 408


class ModelNotFound(ApiError):
    """The named model has no route. Text: behaviours.md, row 8."""

    status = 404

    def __init__(self, model: str) -> None:
        super().__init__(f"The model '{quoted(model)}' does not exist", param="model", code="model_not_found")


class Unauthorized(ApiError):
    """The key is missing or unknown."""

    status = 401


class Forbidden(ApiError):
    """Nobody may do this."""

    status = 403


class TooManyRequests(ApiError):
    """A limit is reached; `retry_after` is in seconds, `kind` is the error's type on the wire."""

    status = 429

    def __init__(self, message: str, retry_after: float, *, code: str | None = None, kind: str = "requests") -> None:
        super().__init__(message, code=code)
        self.retry_after = retry_after
        self.kind = kind


class Unavailable(UnderstudyError):
    """A part of the server that the request needs is off."""


class SessionEnded(UnderstudyError):
    """A session of the code interpreter died or was evicted: its state is lost. Ask the sandbox for the next one."""


class NoRoom(UnderstudyError):
    """The file does not fit into the session's folder; what was written of it has been removed."""


class LeaseLost(UnderstudyError):
    """The run was cancelled, expired or taken over: this worker must not write to it again."""


class UpstreamError(UnderstudyError):
    """The model's server failed. The message names no key and no address.

    `code` is a value of the run's `last_error.code`.
    """

    def __init__(
        self, message: str, code: Literal["server_error", "rate_limit_exceeded", "invalid_prompt"] = "server_error"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ToolUnavailable(UnderstudyError):
    """A run cannot go on without a tool that is off; says why and how to mend it."""


class ConfigurationError(UnderstudyError):
    """The settings contradict each other or the machine."""
