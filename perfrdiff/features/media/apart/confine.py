"""What shuts a decoding process in. Called before a byte of the file is read; nothing of it can be taken back.

Without root, and without a library: limits of the system (setrlimit), a network of its own where the system lets a user
have one (unshare), and a filter of system calls (seccomp) on x86-64.
"""

import contextlib
import ctypes
import platform
import resource
import struct

__all__ = ["confine", "leave_network"]

MEMORY = 4 << 30  # bytes of addresses; a picture of 8K in all its copies takes 1.2 GB, the libraries 1
PROCESSOR_SECONDS = 900  # of one reading; two minutes of 4K take two or three of them
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 4, 22, 38
FORBIDDEN = {
    "open": 2, "socket": 41, "connect": 42, "bind": 49, "listen": 50, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
    "rename": 82, "mkdir": 83, "unlink": 87, "symlink": 88, "chmod": 90, "ptrace": 101, "mount": 165, "tkill": 200,
    "openat": 257, "unlinkat": 263, "renameat": 264, "process_vm_readv": 310, "process_vm_writev": 311,
    "renameat2": 316, "bpf": 321, "execveat": 322, "io_uring_setup": 425, "pidfd_open": 434, "pidfd_getfd": 438,
    "openat2": 437,
}  # fmt: skip
"""System calls by their numbers on x86-64: what opens, reaches others, or becomes another program. They fail with
EPERM; threads, memory and the two descriptors that are open go on."""


def leave_network() -> bool:
    """Give this process, which may have one thread only, a network of its own, with nothing in it. False where the
    system does not let a user do so."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0


def confine() -> None:
    """Shut this process in. It has opened all that it needs; from now on it can open nothing."""
    for limit, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CPU, PROCESSOR_SECONDS),
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_NOFILE, 0),  # no new descriptor: neither file nor socket nor pipe
    ):
        hard = resource.getrlimit(limit)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(limit, (most, most))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with contextlib.suppress(OSError):  # a system without seccomp has the limits above
        _forbid(libc)


def _forbid(libc: ctypes.CDLL) -> None:
    """A filter of system calls, in the kernel's words (linux/filter.h, linux/seccomp.h). Raises OSError."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        return
    load, equal, greater, answer = 0x20, 0x15, 0x35, 0x06
    allow, refuse, end = 0x7FFF0000, 0x00050001, 0x80000000  # end: the process
    numbers = sorted(FORBIDDEN.values())
    program = [
        (load, 0, 0, 4),  # the machine of the call
        (equal, 1, 0, 0xC000003E),  # x86-64
        (answer, 0, 0, end),
        (load, 0, 0, 0),  # its number
        (greater, len(numbers) + 1, 0, 0x40000000),  # the x32 numbers, which nobody here uses
        *((equal, len(numbers) - index, 0, number) for index, number in enumerate(numbers)),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
    ]
    code = b"".join(struct.pack("<HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    filter_ = Program(len(program), ctypes.cast(buffer, ctypes.c_void_p))
    if libc.prctl(PR_SET_SECCOMP, 2, ctypes.byref(filter_), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp")
