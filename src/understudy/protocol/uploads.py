"""Uploads: a large file, sent in parts. Source of shapes: surface.md, section 3."""

from typing import Annotated, Literal

from pydantic import Field

from understudy.protocol.base import RequestModel, WireModel
from understudy.protocol.files import ExpiresAfter, Filename, FileObject, GivenPurpose

MAX_UPLOAD_BYTES = 8 * 1024 * 1024 * 1024
MAX_PART_BYTES = 64 * 1024 * 1024
UPLOAD_LIFE_S = 3_600

UploadStatus = Literal["pending", "completed", "cancelled", "expired"]


class CreateUpload(RequestModel):
    filename: Filename
    purpose: GivenPurpose
    bytes: Annotated[int, Field(ge=0, le=MAX_UPLOAD_BYTES)]
    mime_type: str
    expires_after: ExpiresAfter | None = None


class CompleteUpload(RequestModel):
    part_ids: list[str]
    md5: str | None = None


class Upload(WireModel):
    """An upload; once it is complete, `file` is what became of it, and until then absent (surface.md, section 6)."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    filename: str
    purpose: GivenPurpose
    status: UploadStatus
    expires_at: int
    file: FileObject | None = Field(None, exclude_if=lambda file: file is None)


class UploadPart(WireModel):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str
