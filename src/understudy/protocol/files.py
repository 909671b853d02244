"""Files. Source of shapes: recordings of files; surface.md, section 3."""

import unicodedata
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from understudy.protocol.base import RequestPart, WireModel

GivenPurpose = Literal["fine-tune", "assistants", "batch", "user_data", "vision", "evals"]
Purpose = Literal[GivenPurpose, "assistants_output", "batch_output", "fine-tune-results"]
GIVEN_PURPOSES: tuple[GivenPurpose, ...] = get_args(GivenPurpose)
"""What a client may upload for, in the order in which the hosted API names them (recorded)."""

NOT_GIVEN_OUT: frozenset[Purpose] = frozenset({"assistants", "user_data"})
"""Purposes whose files are not given out again (behaviours.md, row 25)."""

MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_FILENAME = 255
MIN_EXPIRY_S, MAX_EXPIRY_S = 3_600, 2_592_000


def has_controls(name: str) -> bool:
    """Tell whether a file's name holds what cannot be written down: control characters, halves of characters."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in name)


def _without_controls(name: str) -> str:
    if has_controls(name):
        raise PydanticCustomError("control_characters", "it has control characters; leave them out")
    return name


Filename = Annotated[str, Field(min_length=1, max_length=MAX_FILENAME), AfterValidator(_without_controls)]


class ExpiresAfter(RequestPart):
    """When a file is to vanish: so many seconds after it was created."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=MIN_EXPIRY_S, le=MAX_EXPIRY_S)]


class FileObject(WireModel):
    """A file; its bytes lie in the file store under its id."""

    id: str
    object: Literal["file"] = "file"
    purpose: Purpose
    filename: str
    bytes: int
    created_at: int
    expires_at: int | None
    status: Literal["processed"] = "processed"
    status_details: None = None
