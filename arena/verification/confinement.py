"""Confines this process before it reads what a stranger sent: no file, no network, no other process.

On Linux the kernel enforces it: Landlock refuses every path, seccomp the system calls that reach a network or another
process. Neither needs privileges, and nothing reverses them. What is open already stays usable.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
import sys
from typing import Literal

Right = Literal["files", "network and processes"]

NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER_MODE = 38, 22, 2  # of prctl
CREATE_RULESET, RESTRICT_SELF, ASK_VERSION = 444, 446, 1  # of Landlock, on every processor
FILE_RIGHTS = {1: 2**13 - 1, 2: 2**14 - 1, 3: 2**15 - 1, 5: 2**16 - 1}  # all that a version of Landlock knows
TCP_RIGHTS, TCP_VERSION = 2**2 - 1, 4
SCOPES, SCOPES_VERSION = 2**2 - 1, 6  # abstract sockets and signals

# System calls by machine: socket, connect, bind, io_uring_setup; execve, execveat; kill, tkill, tgkill,
# rt_sigqueueinfo, rt_tgsigqueueinfo, pidfd_send_signal; ptrace, process_vm_readv, process_vm_writev, pidfd_getfd. Then
# fork and vfork, where they exist; threads are made by clone.
REFUSED = {
    "x86_64": (41, 42, 49, 425, 59, 322, 62, 200, 234, 129, 297, 424, 101, 310, 311, 438, 57, 58),
    "aarch64": (198, 203, 200, 425, 221, 281, 129, 130, 131, 138, 240, 424, 117, 270, 271, 438),
}
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel numbers them for filters
X32_CALLS = 0x40000000  # from here on: the same calls of x86_64 under other numbers
LOAD, EQUAL, AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06  # instructions of a filter
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


def confine() -> list[Right]:
    """Take from this thread, and those it starts, every right that the system can take away.

    Returns:
        The rights that it still has.
    """
    if sys.platform != "linux":
        return ["files", "network and processes"]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return ["files", "network and processes"]
    rights: list[Right] = []
    if not _restrict_files(libc):
        rights.append("files")
    if not _restrict_calls(libc):
        rights.append("network and processes")
    return rights


def _restrict_files(libc: ctypes.CDLL) -> bool:
    """Refuse every path; whether the system could."""
    version = libc.syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    if version < 1:
        return False
    files = FILE_RIGHTS[max(known for known in FILE_RIGHTS if known <= version)]
    rules = struct.pack("=Q", files)
    if version >= TCP_VERSION:
        rules += struct.pack("=Q", TCP_RIGHTS)
    if version >= SCOPES_VERSION:
        rules += struct.pack("=Q", SCOPES)
    ruleset = libc.syscall(CREATE_RULESET, rules, ctypes.c_size_t(len(rules)), 0)
    return bool(ruleset >= 0 and libc.syscall(RESTRICT_SELF, ruleset, 0) == 0)


def _restrict_calls(libc: ctypes.CDLL) -> bool:
    """Refuse the system calls of `REFUSED`; whether the system could."""
    machine = platform.machine()
    if machine not in REFUSED or sys.maxsize < 2**32:
        return False
    calls = [(EQUAL, number) for number in REFUSED[machine]] + [(AT_LEAST, X32_CALLS)]
    refuse = len(calls) + 1  # instructions from the first of these to the one that refuses
    program = [
        (LOAD, 0, 0, 4),  # the architecture of the call
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, 0),  # its number
        *((test, refuse - place - 1, 0, number) for place, (test, number) in enumerate(calls)),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    return bool(libc.prctl(SET_SECCOMP, FILTER_MODE, header, 0, 0) == 0)
