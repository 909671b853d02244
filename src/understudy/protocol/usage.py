"""Usage over time: an extension. Tokens come from the record of model calls, counts of runs from the runs."""

from typing import Literal

from pydantic import Field

from understudy.protocol.base import WireModel
from understudy.protocol.runs import RunStatus

BucketWidth = Literal["1h", "1d"]
WIDTH_S: dict[BucketWidth, int] = {"1h": 3600, "1d": 86_400}
DEFAULT_BUCKETS: dict[BucketWidth, int] = {"1h": 24, "1d": 7}
MAX_BUCKETS: dict[BucketWidth, int] = {"1h": 168, "1d": 31}


class TokensUsed(WireModel):
    """What one model used in one project. `model` is null for what no call tells of.

    It was used in threads that are deleted since, or by calls that were cancelled or broke off.
    """

    object: Literal["usage.tokens"] = "usage.tokens"
    project: str
    model: str | None
    model_calls: int | None = Field(description="null where the calls are deleted and only their tokens are known")
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    total_tokens: int


class RunsBegun(WireModel):
    """How many of the runs that were created in a time have which status now."""

    object: Literal["usage.runs"] = "usage.runs"
    project: str
    status: RunStatus
    runs: int


class UsageBucket(WireModel):
    """An hour or a day (UTC); times are Unix seconds, the end is the first second that is not in it."""

    object: Literal["usage.bucket"] = "usage.bucket"
    start_time: int
    end_time: int
    tokens: list[TokensUsed]
    runs: list[RunsBegun]


class UsageReport(WireModel):
    """Buckets, oldest first; empty ones are among them."""

    object: Literal["list"] = "list"
    data: list[UsageBucket]
