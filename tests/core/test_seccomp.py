"""The filter's decisions on both machines, as the kernel would compute them."""

import errno
import struct
from typing import Final

import pytest

from myna.core.seccomp import program

ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID: Final = 4321
ALLOWED, FORBIDDEN, ABSENT = 0, errno.EPERM, errno.ENOSYS


def decision(machine: str, number: int, *arguments: int, architecture: int = 0) -> int:
    """Interprets the program, which is classic BPF; returns the error of the call, 0 if it is allowed."""
    values = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    call = struct.pack("<IIQ6Q", number, architecture or ARCHITECTURES[machine], 0, *values)
    code = [*struct.iter_unpack("<HBBI", program(machine, PID))]
    index = loaded = 0
    while True:
        operation, if_true, if_false, value = code[index]
        index += 1
        if operation == 0x20:
            (loaded,) = struct.unpack_from("<I", call, value)
        elif operation == 0x06:
            return value & 0xFFFF if value != 0x7FFF0000 else ALLOWED
        else:
            is_true = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[operation]
            index += if_true if is_true else if_false


@pytest.mark.parametrize(
    ("x86_64", "aarch64", "arguments", "expected"),
    [
        pytest.param(0, 63, (3,), ALLOWED, id="read"),
        pytest.param(257, 56, (0, 1, 0), ALLOWED, id="openat"),
        pytest.param(9, 222, (), ALLOWED, id="mmap"),
        pytest.param(28, 233, (), ALLOWED, id="madvise"),
        pytest.param(202, 98, (), ALLOWED, id="futex"),
        pytest.param(203, 122, (), ALLOWED, id="sched_setaffinity"),
        pytest.param(41, 198, (1,), FORBIDDEN, id="socket"),
        pytest.param(59, 221, (), FORBIDDEN, id="execve"),
        pytest.param(101, 117, (), FORBIDDEN, id="ptrace"),
        pytest.param(425, 425, (), FORBIDDEN, id="io_uring_setup"),
        pytest.param(56, 220, (0x3D0F00,), ALLOWED, id="clone for a thread"),
        pytest.param(56, 220, (17,), FORBIDDEN, id="clone for a process"),
        pytest.param(56, 220, (17 | 1 << 48,), FORBIDDEN, id="clone, upper half set"),
        pytest.param(435, 435, (), ABSENT, id="clone3"),
        pytest.param(62, 129, (PID, 6), ALLOWED, id="kill itself"),
        pytest.param(62, 129, (1, 9), FORBIDDEN, id="kill another"),
        pytest.param(62, 129, (2**64 - 1, 9), FORBIDDEN, id="kill all"),
        pytest.param(234, 131, (PID, PID + 1, 6), ALLOWED, id="tgkill itself"),
        pytest.param(234, 131, (1, 1, 9), FORBIDDEN, id="tgkill another"),
        pytest.param(302, 261, (0, 3, 0, 0x7F0000001000), ALLOWED, id="read a limit"),
        pytest.param(302, 261, (0, 3, 0x1000, 0), FORBIDDEN, id="set a limit"),
        pytest.param(302, 261, (0, 3, 1 << 40, 0), FORBIDDEN, id="set a limit, upper half"),
        pytest.param(470, 470, (), ABSENT, id="a later kernel's call"),
        pytest.param(1 << 30 | 41, 1 << 30 | 41, (), ABSENT, id="32-bit pointers"),
    ],
)
def test_decides_by_number_and_arguments(
    x86_64: int, aarch64: int, arguments: tuple[int, ...], expected: int
) -> None:
    assert decision("x86_64", x86_64, *arguments) == expected
    assert decision("aarch64", aarch64, *arguments) == expected


def test_another_architectures_calls_do_not_exist() -> None:
    assert decision("x86_64", 0, architecture=0x40000003) == ABSENT  # 32-bit calls on a 64-bit kernel


def test_the_kernel_takes_a_program_of_this_length() -> None:
    for machine in ARCHITECTURES:
        assert len(program(machine, PID)) // 8 < 4096  # the kernel's limit
