"""Going round for ever: what every task does that looks after something, again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from logging import Logger

from understudy.errors import Unavailable


async def go_round(look: Callable[[], Awaitable[object]], every_s: float, log: Logger, complaint: str) -> None:
    """Look, and look again after `every_s` seconds, until cancelled.

    What is off (Unavailable) is complained of once, not at every round for as long as a disk is full; a defect is
    logged and does not end the rounds.
    """
    said = ""
    while True:
        try:
            await look()
            said = ""
        except Unavailable as fault:
            if said != str(fault):
                log.warning("%s. %s", complaint, fault)
            said = str(fault)
        except Exception:
            log.exception(complaint)
        await asyncio.sleep(every_s)
