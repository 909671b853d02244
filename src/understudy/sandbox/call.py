"""One call of a session: its output, its clocks, and how it is stopped.

Time up, a cancelled run and too much output are stopped in the same way: SIGINT, again every little while, since what
the code has started takes the first one; after the grace the jail is killed. On a busy machine code that would stop may
not have come to it: as long as it waits for a processor, the grace is longer.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Any, Literal

from understudy.sandbox.base import Image, Outcome, Output, OutputFile, Result
from understudy.sandbox.jail import Jail
from understudy.sandbox.limits import Limits
from understudy.sandbox.logs import Logs
from understudy.sandbox.names import relative_path

_AGAIN_S = 0.4
_STARVED_GRACES = 4
_ENOUGH_CPU_S = 1.0  # to stop takes a twentieth of it
_READ = 65_536
_LAST_READS = 32  # what a pipe can hold when the call is over, and more: what goes on writing belongs to the next call
_SLOW_READS_S = 0.005
_SLOW_READS = 4  # 64 MB/s: a flood on its way to being stopped is not the event loop's main business
_MAGIC: dict[bytes, Literal["image/png", "image/jpeg"]] = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
}

Why = Literal["timeout", "cancelled", "output"]


class Call:
    """Lives from when the code is sent until its session is free again or dead."""

    def __init__(
        self, jail: Jail, limits: Limits, timeout_s: float, on_output: Callable[[Output], None] | None
    ) -> None:
        self._jail = jail
        self._limits = limits
        self.timeout_s = timeout_s
        self._on_output = on_output
        self._loop = asyncio.get_running_loop()
        self._logs = Logs(limits.output)
        self._images: list[Image] = []
        self._image_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reading = False
        self._slow: asyncio.TimerHandle | None = None
        self._grace_ends = 0.0
        self._used_s = 0.0
        self._over = False
        self.stopped: Why | None = None
        self.killed = False
        self.truncated = False

    # --- clocks ---------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start the clock and listen to what is printed."""
        if self.stopped is None:  # it may have been cancelled before it began: then that clock runs already
            self._timer = self._loop.call_later(self.timeout_s, self.stop, "timeout")
        self._loop.add_reader(self._jail.output, self._read)
        self._reading = True

    def stop(self, why: Why) -> None:
        """Interrupt the code, and kill the jail if that does not help in time."""
        if self.stopped is None and not self._over:
            self.stopped = why
            self._grace_ends = self._loop.time() + self._limits.grace_s
            self._used_s, _ = self._jail.worker_time()
            self._interrupt()

    def mute(self) -> None:
        """Nobody listens any more."""
        self._on_output = None

    def end(self) -> None:
        """Stop the clock, and take what was printed last. What comes after it is the next call's."""
        self._over = True
        for timer in (self._timer, self._slow):
            if timer:
                timer.cancel()
        self._stop_reading()
        self._read_rest()
        self._say(self._logs.end())

    def _interrupt(self) -> None:
        if self._timer:
            self._timer.cancel()
        left = self._grace_ends - self._loop.time()
        if left <= 0 and not self._is_starved(-left):
            self.killed = True
            self._jail.kill()
            return
        self._jail.interrupt()
        self._timer = self._loop.call_later(min(_AGAIN_S, left) if left > 0 else _AGAIN_S, self._interrupt)

    def _is_starved(self, overdue_s: float) -> bool:
        used_s, waits = self._jail.worker_time()
        longest_s = (_STARVED_GRACES - 1) * self._limits.grace_s
        return waits and used_s - self._used_s < _ENOUGH_CPU_S and overdue_s < longest_s

    # --- output ---------------------------------------------------------------------------------------------------

    def image(self, content: bytes) -> None:
        """Take an image, unless it is none or there are too many."""
        self._read_rest()  # what was printed before it was shown
        mime = next((mime for magic, mime in _MAGIC.items() if content.startswith(magic)), None)
        self._image_bytes += len(content)
        if (
            mime is None
            or len(self._images) >= self._limits.images
            or len(content) > self._limits.image
            or self._image_bytes > self._limits.images_together
        ):
            self.truncated = True
            return
        image = Image(content, mime)
        self._images.append(image)
        self._tell(image)

    def result(self, outcome: Outcome, remark: str, files: tuple[OutputFile, ...]) -> Result:
        """Return what the call gave; a remark tells what the sandbox did."""
        if remark:
            self._say(self._logs.remark(remark))
        truncated = self.truncated or bool(self._logs.left_out) or self.stopped == "output"
        return Result(self._logs.text, tuple(self._images), files, outcome, truncated)

    def _read(self) -> None:
        """Called when there is something to read."""
        if not self._take():
            return
        if self._logs.total > self._limits.output_stop:
            self.stop("output")
            self._stop_reading()
            self._read_slowly()

    def _read_rest(self) -> None:
        for _ in range(_LAST_READS):
            if not self._take():
                break

    def _read_slowly(self) -> None:
        for _ in range(_SLOW_READS):
            if not self._take():
                break
        self._slow = self._loop.call_later(_SLOW_READS_S, self._read_slowly)

    def _take(self) -> bool:
        """Read once; say whether there was something."""
        try:
            content = os.read(self._jail.output, _READ)
        except BlockingIOError:
            return False
        if content:
            self._say(self._logs.take(content))
        else:
            self._stop_reading()  # nobody in there can write any more, and a reader would be called for ever
        return bool(content)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._jail.output)

    def _say(self, text: str) -> None:
        if text:
            self._tell(text)

    def _tell(self, piece: Output) -> None:
        if self._on_output:
            self._on_output(piece)


def reported(files: Any, limits: Limits) -> dict[str, tuple[str, int]]:
    """Return what a worker says of its files, as far as it makes sense: by clean name, the name inside and the size."""
    found: dict[str, tuple[str, int]] = {}
    for entry in files if isinstance(files, list) else ():
        match entry:
            case [str(name), int(size)] if 0 <= size <= limits.disk and len(found) < limits.reported_files:
                found.setdefault(relative_path(name), (name, size))
    return found
