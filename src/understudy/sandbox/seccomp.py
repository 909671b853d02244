"""The system calls that the jail does without: a seccomp filter, as bubblewrap takes it.

Written out here because libseccomp's binding needs a shared library that wheels do not bring; what is needed of it is
one list and four comparisons. The filter is a list of refusals on top of namespaces, no capabilities and
no_new_privs: it takes away what has broken out of kernels before, and what would get around the limits. Calls newer
than NEWEST do not exist for the jail.

Numbers: the kernel's `unistd_64.h` (x86_64) and `asm-generic/unistd.h` (aarch64); a test compares them with those.
"""

import errno
import platform
import struct
from collections.abc import Iterator
from dataclasses import dataclass

NEWEST = 452  # fchmodat2

REFUSED = {  # x86_64, aarch64
    # into another process
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # another view of the files
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # namespaces of its own
    "unshare": (272, 97),
    "setns": (308, 268),
    # large and young parts of the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "vmsplice": (278, 75),
    "personality": (135, 92),
    "lookup_dcookie": (212, 18),
    "move_pages": (279, 239),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "migrate_pages": (256, 238),
    # memory that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}
REFUSED_ON_X86_64 = {
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "uselib": 134,
    "ustat": 136,
    "sysfs": 139,
    "_sysctl": 156,
    "vhangup": 153,
}

_LOAD, _EQUAL, _GREATER, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06  # BPF, on 32-bit words
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data; arguments: their low halves
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_CLONE3 = 435
_NEW_NAMESPACES = 0x7E020080
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into a terminal


@dataclass(frozen=True, slots=True)
class _Machine:
    column: int
    audit: int
    clone: int
    socket: int
    ioctl: int


_MACHINES = {
    "x86_64": _Machine(0, 0xC000003E, clone=56, socket=41, ioctl=16),
    "aarch64": _Machine(1, 0xC00000B7, clone=220, socket=198, ioctl=29),
}


def is_known(machine: str | None = None) -> bool:
    """Say whether there is a filter for this kind of processor."""
    return (machine or platform.machine()) in _MACHINES


def program(machine: str | None = None) -> bytes:
    """Return the filter in the kernel's form: 8 bytes an instruction."""
    name = machine or platform.machine()
    instructions = list(_instructions(_MACHINES[name], name == "x86_64"))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in instructions)


def _instructions(machine: _Machine, is_x86_64: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield code, how far to jump if true, if false, and the operand."""
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER
    yield _GREATER, 0, 1, NEWEST  # also the x32 calls, whose numbers begin at 0x40000000
    yield _RETURN, 0, 0, _ERROR | errno.ENOSYS
    yield _EQUAL, 0, 1, _CLONE3  # its flags lie in memory, out of sight; the C library falls back on clone
    yield _RETURN, 0, 0, _ERROR | errno.ENOSYS
    yield from _unless(machine.clone, _FIRST, [(_ANY_BIT, _NEW_NAMESPACES)], errno.EPERM)
    yield from _only(machine.socket, _FIRST, _AF_UNIX, errno.EAFNOSUPPORT)
    yield from _unless(machine.ioctl, _SECOND, [(_EQUAL, _TIOCSTI), (_EQUAL, _TIOCLINUX)], errno.EPERM)
    numbers = [pair[machine.column] for pair in REFUSED.values()]
    for number in numbers + (list(REFUSED_ON_X86_64.values()) if is_x86_64 else []):
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, _ERROR | errno.EPERM
    yield _RETURN, 0, 0, _ALLOW


def _unless(
    number: int, argument: int, tests: list[tuple[int, int]], error: int
) -> Iterator[tuple[int, int, int, int]]:
    """Allow a call unless a test of its argument holds."""
    yield _EQUAL, 0, 3 + len(tests), number
    yield _LOAD, 0, 0, argument
    for place, (code, operand) in enumerate(tests):
        yield code, len(tests) - place, 0, operand
    yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ERROR | error


def _only(number: int, argument: int, wanted: int, error: int) -> Iterator[tuple[int, int, int, int]]:
    """Allow a call if its argument is the one that is wanted."""
    yield _EQUAL, 0, 4, number
    yield _LOAD, 0, 0, argument
    yield _EQUAL, 0, 1, wanted
    yield _RETURN, 0, 0, _ALLOW
    yield _RETURN, 0, 0, _ERROR | error
