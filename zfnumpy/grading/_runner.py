"""What runs a student's function in a process of its own: read the calls, make them, write back raw values.

Run as a script (`python -I _runner.py`), it imports nothing of the package: beside NumPy there is only this file. First
come limits that cannot be raised again and the loss of all rights, then the student's code. The process that grades
imports what packs and unpacks from here. Frames: eight bytes of length, then a JSON structure in which
arrays are numbers, then the arrays' bytes.
"""

import collections
import contextlib
import copy
import dataclasses
import functools
import io
import itertools
import json
import math
import operator
import os
import random
import struct
import sys
import time
import traceback
import typing

import numpy as np

# What a task may import without asking the disk, which the rights may not suffice for.
PRELOADED = (collections, contextlib, copy, dataclasses, functools, itertools, math, operator, random, time, typing,
             np.fft, np.linalg, np.random)
KINDS = "biufc"          # numbers and bools: no objects, which would have to be unpickled
DEEPEST = 20


def pack(value):
    """Turn nested lists, tuples, dicts, numbers, strings and arrays into the bytes of a frame."""
    arrays = []

    def plain(value, depth=0):
        if depth > DEEPEST:
            return {"?": "a structure nested too deeply"}
        if isinstance(value, (np.ndarray, np.generic)):
            array = np.asarray(value)
            if array.dtype.kind not in KINDS:
                return {"?": f"an array of {array.dtype}"}
            arrays.append(np.ascontiguousarray(array))
            return {"a": len(arrays) - 1, "shape": list(array.shape), "scalar": isinstance(value, np.generic)}
        if isinstance(value, Code):
            return {"f": str(value)}
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, (int, float)):
            return value if isinstance(value, int) and abs(value) < 2**53 else {"n": repr(value)}
        if isinstance(value, (list, tuple)):
            return {"t" if isinstance(value, tuple) else "l": [plain(part, depth + 1) for part in value]}
        if isinstance(value, dict):
            return {"d": [[plain(k, depth + 1), plain(v, depth + 1)] for k, v in value.items()]}
        return {"?": f"a {type(value).__name__}"}

    head = json.dumps([plain(value), [array.dtype.str for array in arrays]]).encode()
    body = b"".join([struct.pack("<Q", len(head)), head, *(array.tobytes() for array in arrays)])
    return struct.pack("<Q", len(body)) + body


class Code(str):
    """The text of a function called f, as an argument: a loss, say. It is made a function where it is used."""

    def function(self):
        """Return the function."""
        scope = {"np": np}
        exec(compile(self, "<argument>", "exec"), scope)
        return scope["f"]


class Unknown(str):
    """What a value was that cannot be handed over, as text: "a function"."""


def unpack(body):
    """Turn a frame's bytes, without their length, back into values; ValueError where they are no such thing."""
    try:
        size, = struct.unpack_from("<Q", body)
        structure, dtypes = json.loads(body[8:8 + size])
        offset, arrays = 8 + size, []

        def array_of(about):
            dtype, shape = np.dtype(dtypes[about["a"]]), tuple(int(n) for n in about["shape"])
            if dtype.kind not in KINDS or about["a"] != len(arrays):
                raise ValueError("not one of our arrays")
            nonlocal offset
            count = int(np.prod(shape, dtype=np.int64))
            array = np.frombuffer(body, dtype, count, offset).reshape(shape)
            offset += array.nbytes
            arrays.append(array)
            return array[()] if about["scalar"] else array

        def value_of(part):
            if not isinstance(part, dict):
                return part
            if "a" in part:
                return array_of(part)
            if "f" in part:
                return Code(part["f"])
            if "n" in part:
                return float(part["n"]) if not part["n"].lstrip("-").isdecimal() else int(part["n"])
            if "t" in part:
                return tuple(map(value_of, part["t"]))
            if "l" in part:
                return list(map(value_of, part["l"]))
            if "d" in part:
                return {value_of(k): value_of(v) for k, v in part["d"]}
            return Unknown(part["?"])

        return value_of(structure)
    except (KeyError, TypeError, IndexError, AttributeError, struct.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a frame: {error}") from None


def limit(seconds, memory, file_size):
    """Bind this process for good: processor seconds, bytes of memory and of a file, no new processes, no core dumps."""
    try:
        import resource
    except ImportError:          # Windows: the caller's clock is what is left
        return
    for name, most in (("RLIMIT_CPU", seconds), ("RLIMIT_AS", memory), ("RLIMIT_FSIZE", file_size), ("RLIMIT_CORE", 0),
                       ("RLIMIT_NPROC", 1), ("RLIMIT_NOFILE", 64)):
        if hasattr(resource, name):
            resource.setrlimit(getattr(resource, name), (most, most))


def drop_rights(user):
    """Become `user`, a number that nobody has, for good. What is imported by then stays, even from where only root reads."""
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)


class _Refuse:
    """Keeps packages from being imported that hold what the student is to write."""

    def __init__(self, packages):
        self.packages = packages

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.packages:
            raise ImportError(f"{name} may not be imported in this task: write it yourself")


def main():
    """Read one request from standard input and answer every call on the descriptor that the first argument names."""
    reply = os.fdopen(int(sys.argv[1]), "wb")
    request = unpack(sys.stdin.buffer.read()[8:])
    limit(*request["limits"])
    drop_rights(request["user"])
    # NumPy is here by now; what else is installed beside it, and finders of others, are out of reach.
    sys.path[:] = [path for path in sys.path if os.path.basename(path) not in ("site-packages", "dist-packages")]
    usual = [finder for finder in sys.meta_path if "importlib" in getattr(finder, "__module__", "")]
    sys.meta_path[:] = [_Refuse(request["refused"]), *usual]
    calls, name = request["calls"], request["function"]
    sys.stdin, scope = io.StringIO(), {"__name__": "student", "__file__": request["file"]}

    def answer(value):
        reply.write(pack(value))
        reply.flush()

    try:
        exec(compile(request["source"], request["file"], "exec"), scope)
        function = scope[name]
    except BaseException as error:
        answer({"failed": {**_told(error, request["file"]), "before": True}})
        return
    for args, kwargs in calls:
        args, kwargs = own(args), own(kwargs)
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            answer({"failed": _told(error, request["file"])})
        else:
            answer({"value": value, "args": args, "kwargs": kwargs})


def own(value):
    """Return arguments as a function takes them: copies of arrays, which may be written to, and functions for Code."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, Code):
        return value.function()
    if isinstance(value, (list, tuple)):
        return type(value)(map(own, value))
    return {key: own(part) for key, part in value.items()} if isinstance(value, dict) else value


def _told(error, file):
    """Return what a student's exception says: its kind, its text, and the line of the file that it comes from."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return {"kind": type(error).__name__, "text": str(error)[:500], "line": lines[-1] if lines else None}


if __name__ == "__main__":
    main()
