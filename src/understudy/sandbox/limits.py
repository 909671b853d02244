"""How much a session may take. Sizes are in bytes, times in seconds."""

from dataclasses import dataclass
from typing import Any

MiB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one session, but for `timeout_s` and what follows it: those are of one call."""

    memory: int = 1024 * MiB
    """Of all its processes together, shared pages counted once. Files lie in memory too, and are counted by `disk`."""

    disk: int = 512 * MiB
    temp: int = 64 * MiB
    files: int = 100_000
    """Files and folders. The kernel keeps each in memory that belongs to nobody."""

    processes: int = 64
    open_files: int = 256
    cpu_s: float = 600.0
    """Processor time, all calls together."""

    address_space: int = 1024 * MiB
    """What a process may map beside `memory`: libraries take much of it and use little."""

    timeout_s: float = 60.0
    grace_s: float = 3.0
    """How long interrupted code may take to stop."""

    answer_s: float = 15.0
    """How long a piece of a file may take: a worker that imports its modules is silent for a second or more."""

    output: int = 100_000
    """Bytes of logs that are kept: three quarters from their beginning, the rest from their end."""

    output_stop: int = 16 * MiB
    """Bytes of logs at which the code is stopped."""

    images: int = 20
    image: int = 16 * MiB
    images_together: int = 32 * MiB
    frames: int = 2_000
    """Messages of the code's side within a call: more are no mistake."""

    reported_files: int = 200

    def inside(self) -> dict[str, Any]:
        """Return what a process inside sets for itself and its children, by the names of setrlimit(2)."""
        return {
            "AS": self.memory + self.address_space,
            "NPROC": self.processes,
            "NOFILE": self.open_files,
            "FSIZE": self.disk,
            "CPU": int(self.cpu_s) + 1,
            "CORE": 1,  # 0 would still start the machine's crash reporter, if cores are piped to one; 1 does not
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
        }
