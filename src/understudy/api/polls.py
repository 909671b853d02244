"""Polls by the SDKs' helpers: held until there is something to tell, for less than the client's patience."""

from typing import Annotated

from fastapi import Depends, Request

HOLD_S = 20.0
HOLD_WITHOUT_TIMEOUT_S = 4.0
POLL_AFTER = "openai-poll-after-ms"

HELD = {POLL_AFTER: "1"}
"""The answer to a held poll: the next one may come at once, it will be held too."""
NOT_HELD = {POLL_AFTER: "1000"}


async def hold_s(request: Request) -> float | None:
    """Return for how long a poll may be held; None if it is an ordinary read."""
    if request.headers.get("x-stainless-poll-helper", "").lower() != "true":
        return None
    try:
        patience = float(request.headers.get("x-stainless-read-timeout") or "nan")
    except ValueError:
        patience = float("nan")
    return min(HOLD_S, patience / 2) if patience > 0 else HOLD_WITHOUT_TIMEOUT_S


HoldDep = Annotated[float | None, Depends(hold_s)]
