"""Take away what reading a capture never needs: connections, other programs, and looking into other processes.

Linux only (seccomp), by a filter of system calls that neither this process nor what it starts can lift again. It holds as
root too, and where no namespaces may be made. Numbers of system calls: the kernel's ``syscall_64.tbl`` and
``asm-generic/unistd.h``; the filter's form: ``linux/filter.h``, ``linux/seccomp.h``.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

NEVER = ("ptrace", "unshare", "io_uring_setup")
"""Tampering, new namespaces; io_uring can do what a filter forbids. Sockets are refused as well, see :func:`_filter`."""
STARTING = ("fork", "vfork", "execve", "execveat")
"""What it takes to start a program, besides clone, which also makes threads."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_CLONE_THREAD = 0x10000
_NETLINK = 16
"""The one family of sockets that leads no further than to the kernel; scapy asks there for interfaces when it is loaded."""
_X32 = 0x40000000
"""From here on: a second set of numbers for the same calls."""
_NO_NEW_PRIVILEGES, _SET_FILTER, _FILTER_MODE = 38, 22, 2


class Machine(NamedTuple):
    """A processor as the filter sees it."""

    audit: int
    """Its number in ``linux/audit.h``."""
    numbers: dict[str, int]
    """Of system calls, by name; a call it does not have is missing."""


MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        {
            "socket": 41, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "ptrace": 101, "unshare": 272,
            "execveat": 322, "io_uring_setup": 425, "clone3": 435,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        {
            "unshare": 97, "ptrace": 117, "socket": 198, "clone": 220, "execve": 221, "execveat": 281,
            "io_uring_setup": 425, "clone3": 435,
        },
    ),
}  # fmt: skip


def seal(*, programs: bool) -> bool:
    """Give up connections, and starting programs unless ``programs``; return whether the system could.

    Threads can still be started.
    """
    if (ready := prepared(programs=programs)) is None:
        return False
    prctl, program, _ = ready
    kept = prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return bool(kept == 0 and prctl(_SET_FILTER, _FILTER_MODE, program, 0, 0) == 0)


@cache
def prepared(*, programs: bool) -> tuple[Any, int, object] | None:
    """Return the call, the filter's address and what must live as long; None where there is no such thing.

    A process that forks prepares, so that its children need not.
    """
    import ctypes

    machine = MACHINES.get(platform.machine())
    if not sys.platform.startswith("linux") or machine is None or sys.maxsize < 1 << 32:
        return None
    steps = [struct.pack("HBBI", *step) for step in _filter(machine, programs=programs)]
    code = ctypes.create_string_buffer(b"".join(steps))
    program = ctypes.create_string_buffer(struct.pack("H6xQ", len(steps), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    return prctl, ctypes.addressof(program), (code, program)


def _filter(machine: Machine, *, programs: bool) -> Iterator[tuple[int, int, int, int]]:
    """Yield the filter's steps: operation, steps to skip when true, when false, operand."""
    refuse = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
    yield _LOAD, 0, 0, _MACHINE_AT
    yield _EQUAL, 1, 0, machine.audit
    yield _RETURN, 0, 0, _KILL
    yield _LOAD, 0, 0, _NUMBER_AT
    yield _AT_LEAST, 0, 1, _X32
    yield refuse
    yield _EQUAL, 0, 4, machine.numbers["socket"]
    yield _LOAD, 0, 0, _FIRST_ARGUMENT_AT
    yield _EQUAL, 0, 1, _NETLINK
    yield _RETURN, 0, 0, _ALLOW
    yield refuse
    for name in (*NEVER, *(() if programs else STARTING)):
        if name in machine.numbers:
            yield _EQUAL, 0, 1, machine.numbers[name]
            yield refuse
    if not programs:
        yield _EQUAL, 0, 1, machine.numbers["clone3"]  # its arguments cannot be seen; without it, clone is used
        yield _RETURN, 0, 0, _REFUSE | errno.ENOSYS
        yield _EQUAL, 0, 4, machine.numbers["clone"]
        yield _LOAD, 0, 0, _FIRST_ARGUMENT_AT
        yield _ANY_BIT, 0, 1, _CLONE_THREAD
        yield _RETURN, 0, 0, _ALLOW
        yield refuse
    yield _RETURN, 0, 0, _ALLOW
