"""A student's function called in a process of its own, which can harm neither the grader nor the grade.

Only raw values come back, and they are compared here, where a student's file is never imported. The process has bounds on
the processor, the clock, memory and what it returns and prints; it starts no other process and no thread. Where the grader
is root it belongs to a user id that nobody has, in an empty folder that it takes for the root of all paths. On Linux
(Landlock from 5.13, seccomp on x86_64 and aarch64) it can also open no file, send no signal, reach no network and leave no
shared memory behind, root or not; `_lock.weaknesses` lists what of that is missing on a system.

What it does not do:

- Points are for values. A reference that is public, such as this package's, can be copied, and a student's function can
  carry answers that were known beforehand: so cases are drawn anew.
- The time of a submission is bounded for each task (`Limits`), not for all: with n tasks it may take n · clock seconds, and
  memory on each of the jobs side by side.
- What one call of a task does to NumPy or to Python stays for the later calls of that task.
- The text is parsed in the grader's process (of bounded size), and comparing happens there, with NumPy.
- It is as good as the kernel: no container, no virtual machine. On macOS there is neither Landlock nor seccomp, and often no
  bound on memory: there, not as root, code can read, write and delete what you can, and end your processes. Where
  submissions are hostile, grade in a container on Linux, which the autograder's is. On Windows nothing runs.
"""

import contextlib
import math
import os
import random
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import _runner
from .tasks import GradingError

PACKAGES = ("zfnumpy", "torch", "torchvision", "tensorflow", "jax", "scipy", "sklearn", "skimage", "cv2", "numba")
MOST_OUTPUT = 1 << 16        # bytes of what a student prints that are kept
MOST_HEAD = 8 << 20          # bytes of an answer that are not arrays
START = 60                   # seconds that Python and NumPy may take to start on a busy machine
_READY = _runner.pack({"ready": True})


@dataclass(frozen=True)
class Limits:
    """What one process may take: seconds of the processor and on the clock, bytes of memory, of a file, of its answers."""

    seconds: float = 5
    clock: float = 15        # more, since others may want the processor too
    memory: int = 2 << 30
    file_size: int = 16 << 20
    answer: int = 64 << 20


@dataclass
class Outcome:
    """What came back: an answer for each call that was made, what the student printed, and how it ended where not well."""

    answers: list = field(default_factory=list)
    printed: str = ""
    ended: str = ""


def refuse_where_none_can_be():
    """Refuse in one line where there are no pipes to wait for and no bounds: on Windows."""
    if os.name != "posix":
        raise GradingError("a student's code is run on Linux and macOS only; on Windows use WSL or an autograder")


def call(source, function, calls, file="submission.py", refused=PACKAGES, limits=None):
    """Call `function` of a Python source with each (args, kwargs) of `calls`, in a process of its own: an Outcome.

    An answer is {"value", "args", "kwargs"}, the arguments as they are after the call, or {"failed": {"kind", "text",
    "line"}}. Fewer answers than calls: the process ended, and `ended` says how.
    """
    refuse_where_none_can_be()
    limits = limits or Limits()
    user = _unused_user() if hasattr(os, "geteuid") and os.geteuid() == 0 else None
    scratch = tempfile.mkdtemp(prefix="zfnumpy-check-")
    try:
        request = _runner.pack({"source": source, "function": function, "calls": [list(each) for each in calls],
                                "file": file, "refused": list(refused), "user": user, "folder": scratch,
                                "limits": [math.ceil(limits.seconds), limits.memory, limits.file_size]})
        os.chmod(scratch, 0o555)
        return _run(request, scratch, limits, len(calls))
    finally:
        _end_all(user)
        os.chmod(scratch, 0o700)
        shutil.rmtree(scratch, ignore_errors=True)


def _run(request, scratch, limits, most):
    ours, theirs = os.pipe()
    env = {"PATH": "/usr/bin:/bin", "HOME": scratch, "TMPDIR": scratch, "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1",
           "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    # Without it a Python that was loaded as a module does not start.
    env |= {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-I", "-B", str(Path(_runner.__file__)), str(theirs)]
    try:
        process = subprocess.Popen(command, cwd=scratch, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, pass_fds=(theirs,), start_new_session=True)
    except (OSError, subprocess.SubprocessError) as error:
        os.close(ours)
        raise GradingError(f"cannot start {sys.executable} for a student's code: {error}") from error
    finally:
        os.close(theirs)
    try:
        return _listen(process, ours, request, limits, most)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()
        os.close(ours)


def _listen(process, ours, request, limits, most):
    """Send the request and gather answers and prints until the process ends, or its time does."""
    found, printed, replied = Outcome(), bytearray(), bytearray()
    deadline, left, too_much = time.monotonic() + START + limits.clock, memoryview(request), False
    ready_in, is_ready = len(_READY), False
    for pipe in (process.stdin, process.stdout):
        os.set_blocking(pipe.fileno(), False)
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdin, selectors.EVENT_WRITE)
        ready.register(process.stdout, selectors.EVENT_READ)
        ready.register(ours, selectors.EVENT_READ)
        # The answers' pipe is what counts: what a student leaves running may hold the other open.
        while ours in {key.fd for key in ready.get_map().values()} and not too_much:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            for key, _ in ready.select(min(remaining, 0.2)):
                if key.fileobj is process.stdin:
                    try:
                        left = left[os.write(key.fd, left[:1 << 16]):]
                    except BlockingIOError:
                        continue
                    except BrokenPipeError:
                        left = left[:0]
                    if not len(left):
                        ready.unregister(process.stdin)
                        process.stdin.close()
                    continue
                got = os.read(key.fd, 1 << 16)
                if not got:
                    ready.unregister(key.fileobj)
                elif key.fd == ours:
                    replied += got
                    too_much = len(replied) > limits.answer
                    if not is_ready and len(replied) >= ready_in:            # the student's time begins here
                        is_ready, deadline = True, time.monotonic() + limits.clock
                elif len(printed) < MOST_OUTPUT:
                    printed += got
            if process.poll() is not None and ours in {key.fd for key in ready.get_map().values()}:
                deadline = min(deadline, time.monotonic() + 0.5)        # whoever else holds the pipe has that long
    if not too_much:          # the answers' pipe is closed: the process should be ending, and says what it still has to say
        _drain(process, printed, max(deadline, time.monotonic() + 0.5))
    found.printed = printed[:MOST_OUTPUT].decode(errors="replace")
    if not replied.startswith(_READY):
        why = found.printed.strip().splitlines()[-1:] or [f"nothing came back within {START} s"]
        raise GradingError(f"the process for the code did not start, which is not the student's fault: {why[0][:300]}")
    broken = _answers(memoryview(replied)[ready_in:], found.answers, most)
    if too_much:
        found.ended = f"it returned more than {limits.answer >> 20} MiB"
    elif broken:
        found.ended = "what came back is not what the function returned: something else wrote to the grader's pipe"
    elif process.poll() is None:
        found.ended = f"it did not end within {limits.clock:g} s"
    else:
        found.ended = _how(process.wait(), found.printed, limits)
    return found


def _drain(process, printed, deadline):
    """Read what a process prints until it ends, and what then is left in the pipe."""
    while True:
        ended = process.poll() is not None
        try:
            got = os.read(process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            got = b""
        if len(printed) < MOST_OUTPUT:
            printed += got
        if (ended and not got) or time.monotonic() >= deadline:
            return
        if not got:
            time.sleep(0.005)


def _answers(replied, answers, most):
    """Append the answers of all whole frames; True where the bytes are no answers, or more than `most`."""
    offset = 0
    while offset + 8 <= len(replied):
        size, = struct.unpack_from("<Q", replied, offset)
        if offset + 8 + size > len(replied):
            return False
        if len(answers) == most:
            return True
        try:
            answer = _runner.unpack(bytes(replied[offset + 8:offset + 8 + size]), MOST_HEAD)
        except ValueError:
            return True
        if not _is_answer(answer):
            return True
        answers.append(answer)
        offset += 8 + size
    return False


def _is_answer(answer):
    if not isinstance(answer, dict):
        return False
    if set(answer) == {"value", "args", "kwargs"}:
        return isinstance(answer["args"], (list, tuple)) and isinstance(answer["kwargs"], dict)
    failed = answer.get("failed")
    return (set(answer) == {"failed"} and isinstance(failed, dict) and set(failed) - {"before"} == {"kind", "text", "line"}
            and isinstance(failed["kind"], str) and isinstance(failed["text"], str)
            and isinstance(failed["line"], (int, type(None))))


def _how(code, printed, limits):
    """Return how a process ended, "" for well."""
    if code == 0:
        return ""
    if code in (-signal.SIGXCPU, -signal.SIGKILL):          # the latter where the former is ignored
        return f"it did not end within {limits.seconds:g} s of the processor's time"
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}"
    tail = printed.strip().splitlines()[-1:] or [""]
    return f"the process ended with exit code {code}" + (f": {tail[0][:200]}" if tail[0] else "")


def _unused_user():
    """Return a user id that nobody has and no process runs under; None where root is root of a single user only."""
    import pwd  # not there on Windows

    ranges = _granted_users()
    if not ranges:
        return None
    running = set()
    for entry in os.scandir("/proc") if os.path.isdir("/proc/self") else ():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal():
                running.add(entry.stat().st_uid)
    for _ in range(1000):
        low, high = random.SystemRandom().choice(ranges)
        user = random.SystemRandom().randrange(low, high)
        with contextlib.suppress(KeyError):
            pwd.getpwuid(user)
            continue
        if user not in running:
            return user
    raise GradingError("every user id that was tried is taken")


def _granted_users(path="/proc/self/uid_map"):
    """List the ranges (low, high) of high user ids that root may become: all, or in some containers only a few, or none."""
    try:
        lines = [tuple(map(int, line.split())) for line in Path(path).read_text().splitlines()]
    except (OSError, ValueError):
        lines = [(0, 0, 1 << 24)]
    for low, high in ((1 << 20, 1 << 24), (10_000, 65_000)):
        found = [(max(low, first), min(high, first + count)) for first, _, count in lines]
        found = [(a, b) for a, b in found if a < b]
        if found:
            return found
    return []


def _end_all(user):
    """End whatever still runs under a user id of ours."""
    if user is None:
        return
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(["/bin/sh", "-c", "kill -9 -1"], user=user, group=user, extra_groups=[], cwd="/",
                       stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
