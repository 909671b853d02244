"""Models, as `GET /v1/models` lists them."""

from typing import Literal

from understudy.protocol.base import WireModel


class Model(WireModel):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(WireModel):
    object: Literal["list"] = "list"
    data: list[Model]
