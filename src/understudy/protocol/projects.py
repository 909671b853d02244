"""The projects that a key may enter: an extension."""

from typing import Literal

from understudy.protocol.base import WireModel


class Project(WireModel):
    """One project. It is there as soon as a key is of it, or something was made in it."""

    object: Literal["project"] = "project"
    id: str
    current: bool
    """Whether the request that asks is in it."""


class ProjectList(WireModel):
    """Projects by name. `admin` tells whether the key may enter others too, by the OpenAI-Project header."""

    object: Literal["list"] = "list"
    data: list[Project]
    admin: bool
