"""Threads as a list shows them: an extension. A thread with what somebody who looks for one wants to see of it."""

from understudy.protocol.base import WireModel
from understudy.protocol.runs import LastError, RunStatus
from understudy.protocol.threads import Thread

MAX_TITLE = 120
"""Characters of the first message that are shown."""


class LastRun(WireModel):
    """The newest run of a thread."""

    id: str
    assistant_id: str
    model: str
    status: RunStatus
    created_at: int
    last_error: LastError | None


class TokenSum(WireModel):
    """Tokens of a thread's runs, as far as they have ended."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ListedThread(Thread):
    """`title` is how the first message of the user begins, null if there is none."""

    title: str | None
    message_count: int
    run_count: int
    last_run: LastRun | None
    usage: TokenSum
