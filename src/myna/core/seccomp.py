"""A seccomp filter for Linux: forbids the system calls that reach beyond the process's open files.

Most calls are forbidden with EPERM, so that a library which tries one continues without it. This is a list of
what is forbidden, not of what is allowed: interpreters, C libraries and engines differ in what they need. It
is closed against later kernels: call numbers that are not known here don't exist for the process.
"""

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Iterator
from typing import Final

_ALLOW: Final = 0x7FFF0000
_ERROR: Final = 0x00050000
_SET_MODE_FILTER: Final = 1
_GET_ACTION_AVAIL: Final = 2
# Without it, kernels before 5.16 also turn off the processor's speculative loads, which slows everything.
_FLAG_SPEC_ALLOW: Final = 1 << 2
_CLONE_THREAD: Final = 0x10000
_LAST_KNOWN: Final = 469

# Offsets in the kernel's `struct seccomp_data`; arguments have 64 bits, little-endian.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
# Classic BPF: load a word, compare it with a constant, return.
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

# By machine: the kernel's name for its calls (AUDIT_ARCH_*), the number of seccomp(2), and the column below.
_MACHINES: Final = {"x86_64": (0xC000003E, 317, 0), "aarch64": (0xC00000B7, 277, 1)}

# The numbers on x86-64 and aarch64; None where there is no such call.
_FORBIDDEN: Final[dict[str, tuple[int | None, int | None]]] = {
    # Network. The worker's own socket is open already.
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # Other programs, other processes.
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "setpriority": (141, 140),
    "setrlimit": (160, 164),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # Changes to files other than writing, which Landlock restricts; it doesn't know owners, modes, times and
    # attributes.
    "creat": (85, None),
    "truncate": (76, 45),
    "mkdir": (83, None),
    "mkdirat": (258, 34),
    "mknod": (133, None),
    "mknodat": (259, 33),
    "rename": (82, None),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, None),
    "linkat": (265, 37),
    "symlink": (88, None),
    "symlinkat": (266, 36),
    "unlink": (87, None),
    "unlinkat": (263, 35),
    "rmdir": (84, None),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # The kernel and the machine: what root may do, and interfaces that are often attacked. io_uring would
    # make the other calls without the filter.
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "mount": (165, 40),
    "umount2": (166, 39),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "setns": (308, 268),
    "unshare": (272, 97),
    "fanotify_init": (300, 262),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
}
# Allowed or not by their arguments. clone3 takes its own from memory, where a filter can't look; without it,
# C libraries fall back to clone.
_CLONE: Final = (56, 220)
_CLONE3: Final = 435
_KILL: Final = (62, 129)
_TGKILL: Final = (234, 131)
_PRLIMIT64: Final = (302, 261)


def is_available() -> bool:
    """Whether `install` works here. Changes nothing."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES or struct.calcsize("P") != 8:
        return False
    _, number, _ = _MACHINES[platform.machine()]
    action = ctypes.c_uint32(_ERROR)
    result: int = _libc().syscall(_long(number), _long(_GET_ACTION_AVAIL), _long(0), ctypes.byref(action))
    return result == 0


def install() -> None:
    """Filter the calls of this thread, and of the threads that it starts, permanently. Needs no_new_privs.
    Raises `OSError`."""
    _, number, _ = _MACHINES[platform.machine()]
    code = program(platform.machine(), os.getpid())
    instructions = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: the number of instructions and their address
    header = struct.pack("HP", len(code) // 8, ctypes.addressof(instructions))
    result = _libc().syscall(_long(number), _long(_SET_MODE_FILTER), _long(_FLAG_SPEC_ALLOW), header)
    if result != 0:
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))


def program(machine: str, pid: int) -> bytes:
    """The filter's instructions, for the process with that id."""
    architecture, _, column = _MACHINES[machine]
    return b"".join(_instructions(architecture, column, pid))


def _instructions(architecture: int, column: int, pid: int) -> Iterator[bytes]:
    """Each rule ends the program if it applies; otherwise, the call's number is still loaded."""
    absent, forbidden = _ERROR | errno.ENOSYS, _ERROR | errno.EPERM
    yield _code(_LOAD, _ARCHITECTURE)
    yield from _returning(_IF_EQUAL, architecture, absent, is_match=False)
    yield _code(_LOAD, _NUMBER)
    yield from _returning(_IF_AT_LEAST, _LAST_KNOWN + 1, absent)  # also x86-64's calls with 32-bit pointers
    yield from _returning(_IF_EQUAL, _CLONE3, absent)
    for call in _FORBIDDEN.values():
        if (number := call[column]) is not None:
            yield from _returning(_IF_EQUAL, number, forbidden)
    # Threads, but no processes.
    yield from _rule(_CLONE[column], 0, _returning(_IF_BIT, _CLONE_THREAD, forbidden, is_match=False))
    for numbers in (_KILL, _TGKILL):  # abort() signals its own process
        yield from _rule(numbers[column], 0, _returning(_IF_EQUAL, pid, forbidden, is_match=False))
    # Limits may be read, which is a null pointer as the new ones.
    null = [*_returning(_IF_EQUAL, 0, forbidden, is_match=False)]
    yield from _rule(_PRLIMIT64[column], 2, [*null, _code(_LOAD, _ARGUMENTS + 8 * 2 + 4), *null])
    yield _code(_RETURN, _ALLOW)


def _rule(number: int, position: int, checks: Iterable[bytes]) -> Iterator[bytes]:
    """If it is that call, load the lower half of that argument and check it; allow the call if no check
    returns."""
    body = [_code(_LOAD, _ARGUMENTS + 8 * position), *checks, _code(_RETURN, _ALLOW)]
    yield _code(_IF_EQUAL, number, 0, len(body))
    yield from body


def _returning(test: int, value: int, result: int, *, is_match: bool = True) -> Iterator[bytes]:
    """Return the result if the loaded word passes the test, or if it doesn't."""
    yield _code(test, value, *((0, 1) if is_match else (1, 0)))
    yield _code(_RETURN, result)


def _code(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One instruction; the jumps count instructions to skip."""
    return struct.pack("HBBI", operation, if_true, if_false, value)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _long(value: int) -> ctypes.c_long:
    return ctypes.c_long(value)
