"""What a process that runs a student's code gives up before it does, and can never have again.

It imports nothing of the package, since it runs where there is none. Three locks, each of which may be missing: bounds and
another user (POSIX), no file that is not open yet (Linux's Landlock, or as root an empty root folder), and no system call
that reaches other processes, the network or memory that outlives the process (Linux's seccomp).
"""

import contextlib
import ctypes
import os
import platform
import struct
import sys

# Names of what is refused, and their numbers on x86_64 and on aarch64 (None: there is no such call).
REFUSED = {
    # other processes, and programs
    "clone": (56, 220), "fork": (57, None), "vfork": (58, None), "clone3": (435, 435), "execve": (59, 221),
    "execveat": (322, 281), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119), "sched_setaffinity": (203, 122), "sched_setattr": (314, 274),
    # the network, and memory that outlives the process or that its bounds do not count
    "socket": (41, 198), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "io_uring_setup": (425, 425),
    # files by other doors than opening them
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "lchown": (94, None),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14), "lremovexattr": (198, 15), "truncate": (76, 45),
    "inotify_init": (253, None), "inotify_init1": (294, 26), "fanotify_init": (300, 262),
    # the system
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "open_by_handle_at": (304, 265)}
OWN = {"kill": (62, 129), "tgkill": (234, 131), "prlimit64": (302, 261)}      # refused but for the process itself
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}       # a column above, and its name in the kernel
LANDLOCK_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}          # the version that knows so many rights on files
ALLOW, REFUSE, END = 0x7FFF0000, 0x00050001, 0x80000000          # go on; EPERM; end the process
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


def limit(seconds, memory, file_size):
    """Bind this process for good: processor seconds, bytes of memory and of a file, no new processes, no core dumps."""
    try:
        import resource
    except ImportError:          # Windows
        return
    for name, most in (("RLIMIT_CPU", seconds), ("RLIMIT_AS", memory), ("RLIMIT_FSIZE", file_size), ("RLIMIT_CORE", 0),
                       ("RLIMIT_NPROC", 1), ("RLIMIT_NOFILE", 64), ("RLIMIT_MSGQUEUE", 0)):
        which = getattr(resource, name, None)
        if which is None:
            continue
        _, hard = resource.getrlimit(which)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)       # where there is less already, it stays
        try:
            resource.setrlimit(which, (most, most))
        except (ValueError, OSError):
            if sys.platform == "linux":          # macOS knows the name of RLIMIT_AS and refuses most values
                raise


def drop_rights(user):
    """Become `user`, a number that nobody has, for good. What is imported by then stays, even from where only root reads."""
    if user is not None:
        os.setgroups([])
        os.setgid(user)          # of root these set the real, the effective and the saved one
        os.setuid(user)


def leave_files(folder):
    """As root, make an empty folder the root of all paths; where the container does not grant that, go on."""
    with contextlib.suppress(OSError):
        os.chroot(folder)
        os.chdir("/")


def close_files():
    """Refuse every file that is not open yet; False where the kernel has no Landlock."""
    version = landlock_version()
    if version < 1:
        return False
    rights = max(count for since, count in LANDLOCK_RIGHTS.items() if since <= version)
    libc = ctypes.CDLL(None, use_errno=True)
    asked = struct.pack("=Q", (1 << rights) - 1)
    ruleset = libc.syscall(ctypes.c_long(444), asked, ctypes.c_size_t(len(asked)), ctypes.c_uint(0))
    if ruleset < 0:
        return False
    try:
        libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        return libc.syscall(ctypes.c_long(446), ctypes.c_int(ruleset), ctypes.c_uint(0)) == 0
    finally:
        os.close(ruleset)


def landlock_version():
    """Return the version of Landlock that the kernel has, 0 or less for none."""
    if sys.platform != "linux":
        return 0
    return ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(444), None, ctypes.c_size_t(0), ctypes.c_uint(1))


def close_calls():
    """Refuse the system calls named above; False where the processor or the kernel is none that this knows."""
    column, named = ARCHITECTURES.get(platform.machine(), (None, None))
    if sys.platform != "linux" or column is None or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        return False
    program = b"".join(struct.pack("=HBBI", *step) for step in rules(column, named, os.getpid()))
    held = ctypes.create_string_buffer(program, len(program))
    about = struct.pack("@HP", len(program) // 8, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    return libc.prctl(SECCOMP, ctypes.c_ulong(FILTER), about, ctypes.c_ulong(0), ctypes.c_ulong(0)) == 0


def rules(column, named, own):
    """Return the filter's program, as (operation, jump if true, jump if false, number)."""
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    steps = [(load, 0, 0, 4), (equal, 1, 0, named), (answer, 0, 0, END), (load, 0, 0, 0)]
    if column == 0:
        steps += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, REFUSE)]          # the same calls by other numbers
    for numbers in REFUSED.values():
        if numbers[column] is not None:
            steps += [(equal, 0, 1, numbers[column]), (answer, 0, 0, REFUSE)]
    for name, numbers in OWN.items():
        allowed = [own, *([0] if name == "prlimit64" else [])]
        steps += [(equal, 0, 2 + 2 * len(allowed), numbers[column]), (load, 0, 0, 16)]
        for each in allowed:
            steps += [(equal, 0, 1, each), (answer, 0, 0, ALLOW)]
        steps.append((answer, 0, 0, REFUSE))
    return [*steps, (answer, 0, 0, ALLOW)]


def weaknesses():
    """List what does not protect here, a line each; empty where everything does."""
    found = []
    if sys.platform == "win32":
        return ["nothing bounds a student's code on Windows"]
    root = os.geteuid() == 0
    if landlock_version() < 1:
        found.append("the kernel has no Landlock: a student's code reads every file that "
                     + ("everybody may read, where root may not change its root folder" if root else "you may read, and "
                        "writes and deletes yours"))
    if sys.platform != "linux" or platform.machine() not in ARCHITECTURES:
        found.append("system calls are not filtered here: a student's code can open network connections"
                     + ("" if root else " and end your processes"))
    return found
