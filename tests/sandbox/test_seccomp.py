"""The filter's numbers are the kernel's, and every jump in it lands."""

import re
import struct
from pathlib import Path

import pytest

from understudy.sandbox import seccomp

X86_64 = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
GENERIC = Path("/usr/include/asm-generic/unistd.h")
NO_ERROR, NOT_THERE, NOT_ALLOWED, WRONG_FAMILY = 0x7FFF0000, 0x50000 | 38, 0x50000 | 1, 0x50000 | 97
KILLED = 0x80000000
AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """Run the filter as the kernel would."""
    words = struct.pack("<iIQ6Q", number, audit or AUDIT[machine], 0, *(*arguments, *[0] * 6)[:6])
    program = [struct.unpack("<HBBI", part) for part in _parts(seccomp.program(machine))]
    place, accumulator = 0, 0
    while True:
        code, if_true, if_false, operand = program[place]
        match code:
            case 0x20:
                accumulator = struct.unpack_from("<I", words, operand)[0]
            case 0x06:
                return operand
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x25:
                place += if_true if accumulator > operand else if_false
            case 0x45:
                place += if_true if accumulator & operand else if_false
        place += 1


def _parts(content: bytes) -> list[bytes]:
    return [content[start : start + 8] for start in range(0, len(content), 8)]


@pytest.mark.parametrize(("machine", "header"), [("x86_64", X86_64), ("aarch64", GENERIC)])
def test_the_numbers_are_the_kernels(machine: str, header: Path) -> None:
    if not header.exists():
        pytest.skip(f"{header} is not there")
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text())
    known = {name: int(number) for name, number in found}
    column = ["x86_64", "aarch64"].index(machine)
    ours = {name: numbers[column] for name, numbers in seccomp.REFUSED.items()}
    if machine == "x86_64":
        ours |= seccomp.REFUSED_ON_X86_64
    assert {name: number for name, number in ours.items() if known.get(name, number) != number} == {}
    assert len(set(ours) & set(known)) > len(ours) * 0.9


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_what_is_refused_and_what_is_not(machine: str) -> None:
    column = ["x86_64", "aarch64"].index(machine)
    for name, numbers in seccomp.REFUSED.items():
        assert decide(machine, numbers[column]) == NOT_ALLOWED, name
    clone, socket, ioctl = [(56, 41, 16), (220, 198, 29)][column]
    assert decide(machine, clone, 0x3D0F00) == NO_ERROR  # a thread
    assert decide(machine, clone, 0x10000011) == NOT_ALLOWED  # a user namespace
    assert decide(machine, 435) == NOT_THERE
    assert decide(machine, 10_000) == NOT_THERE
    assert decide(machine, 0x40000000 + 1) == NOT_THERE
    assert decide(machine, socket, 1) == NO_ERROR
    assert decide(machine, socket, 2) == decide(machine, socket, 16) == WRONG_FAMILY
    assert decide(machine, ioctl, 1, 0x5412) == decide(machine, ioctl, 1, 0x541C) == NOT_ALLOWED
    assert decide(machine, ioctl, 1, 0x5412 | 1 << 40) == NOT_ALLOWED  # the kernel looks at the low half too
    assert decide(machine, ioctl, 1, 0x5413) == NO_ERROR
    assert decide(machine, 1, audit=0x40000003) == KILLED  # calls of 32 bits


def test_other_machines_have_none() -> None:
    assert not seccomp.is_known("riscv64")
    assert seccomp.is_known("x86_64")
