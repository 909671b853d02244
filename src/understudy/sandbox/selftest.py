"""What is tried before any code of a model is run: hostile probes in a jail exactly like every other.

`bwrap --version` proves nothing: whether walls stand is known after somebody ran against them. The worker's word is not
taken where the kernel's can be had.
"""

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from understudy.sandbox.jail import Jail
from understudy.sandbox.probes import WAYS, bait
from understudy.sandbox.session import JailSession

_NAMESPACES = ("user", "pid", "net", "ipc", "uts", "cgroup", "mnt")
_VARIABLE = "UNDERSTUDY_SANDBOX_SELF_TEST"
_TIMEOUT_S = 20.0

PROBES = (
    WAYS
    + r"""
import ctypes, errno, json
libc = ctypes.CDLL(None, use_errno=True)
found = []
def probe(name):
    def run(attempt):
        try:
            if attempt():
                found.append(name)
        except OSError:
            pass
    return run
def call(function, *arguments):
    if function(*arguments) == -1:
        raise OSError(ctypes.get_errno(), "")
    return True
probe("it reads the server's files")(lambda: open(CANARY, "rb").read())
probe("it sees the server's environment")(lambda: any(
    VARIABLE.encode() in open(f"/proc/{each}/environ", "rb").read() for each in os.listdir("/proc") if each.isdigit()))
probe("it sees the machine's processes")(lambda: len([each for each in os.listdir("/proc") if each.isdigit()]) > 3)
probe("it reaches the network")(lambda: connects(socket.AF_INET, ("127.0.0.1", PORT)))
probe("it opens network sockets")(lambda: socket.socket(socket.AF_INET))
probe("it reaches the machine's abstract sockets")(lambda: connects(socket.AF_UNIX, ABSTRACT))
probe("it makes user namespaces")(lambda: call(libc.unshare, 0x10000000))
probe("it mounts")(lambda: call(libc.mount, b"none", b"/tmp", b"tmpfs", 0, None))
def traces():
    child = os.fork()
    if not child:
        os._exit(libc.ptrace(0, 0, 0, 0) != 0)
    return os.waitpid(child, 0)[1] == 0
probe("it traces processes")(traces)
probe("it makes memory that nobody counts")(lambda: os.memfd_create("x"))
for place in ("/", "/usr", "/dev", "/opt", "/etc"):
    probe(f"it writes to {place}")(lambda: writes(place + "/probe"))
probe("it has devices")(lambda: set(os.listdir("/dev")) - DEVICES)
import resource
probe("it has no limits")(lambda: resource.RLIM_INFINITY in [resource.getrlimit(each)[0] for each in (
    resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_CPU)])
for place in ("/mnt/data", "/tmp", "/dev/shm", "/home/sandbox", "/"):
    sizes = os.statvfs(place)
    probe(f"{place} has no size")(lambda: sizes.f_blocks * sizes.f_frsize > MOST)
children = []
def forks():
    for _ in range(PROCESSES + 8):
        child = os.fork()
        if not child:
            import time
            time.sleep(30)
            os._exit(0)
        children.append(child)
    return True
probe("it starts any number of processes")(forks)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
print(json.dumps(found))
"""
)

_DEVICES = {
    *("null", "zero", "full", "random", "urandom", "tty", "console", "pts", "ptmx", "shm"),
    *("stdin", "stdout", "stderr", "fd", "core"),
}


async def findings(session: JailSession, *, uid: int | None, processes: int, disk: int) -> list[str]:
    """Return what a session can do that it must not, each as a clause; nothing, if the walls stand."""
    with bait() as laid:
        os.environ[_VARIABLE] = secrets.token_hex()
        try:
            names = {"CANARY": laid.canary, "PORT": laid.port, "ABSTRACT": "\0" + laid.abstract, "PROCESSES": processes}
            names |= {"DEVICES": _DEVICES, "VARIABLE": _VARIABLE, "MOST": disk}
            head = "".join(f"{name} = {value!r}\n" for name, value in names.items())
            result = await session.run(head + PROBES, _TIMEOUT_S)
        finally:
            del os.environ[_VARIABLE]
    try:
        told = json.loads(result.logs)
    except ValueError:
        return [f"the probes did not end well: {result.logs.strip()[-300:] or result.outcome}"]
    return [str(each) for each in told] + list(_what_the_kernel_says(session.jail, uid))


def _what_the_kernel_says(jail: Jail, uid: int | None) -> Iterator[str]:
    lines = Path(f"/proc/{jail.worker_id}/status").read_text().splitlines()
    status = {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}
    wanted = str(os.geteuid() if uid is None else uid)
    if set(status["Uid"]) != {wanted} or wanted == "0":
        yield f"it runs as user {status['Uid'][0]} of this machine"
    if int(status["CapEff"][0], 16) or int(status["CapPrm"][0], 16) or int(status["CapBnd"][0], 16):
        yield "it has capabilities"
    if status["NoNewPrivs"] != ["1"]:
        yield "it may gain privileges"
    if status["Seccomp"] != ["2"]:
        yield "it has no filter of system calls"
    for name in _NAMESPACES:
        try:
            if os.readlink(f"/proc/{jail.worker_id}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}"):
                yield f"it shares the {name} namespace"
        except OSError as problem:
            yield f"its {name} namespace cannot be examined ({problem.strerror})"
