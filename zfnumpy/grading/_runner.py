"""What runs a student's function in a process of its own: read the calls, make them, write back raw values.

Run as a script (`python -I _runner.py`), it imports nothing of the package but the file _lock beside it. First come limits
that cannot be raised again and the loss of all rights, then a frame that says so, then the student's code. The process
that grades imports what packs and unpacks from here. Frames: eight bytes of length, then a JSON structure in which arrays
are numbers, then the arrays' bytes.
"""

import abc
import bisect
import cmath
import collections
import contextlib
import copy
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import heapq
import io
import itertools
import json
import math
import numbers
import operator
import os
import random
import re
import statistics
import string
import struct
import sys
import textwrap
import time
import traceback
import types
import typing
import warnings

import numpy as np
import numpy.typing

# What a task may import: what is here by then, since no file can be opened any more.
PRELOADED = (abc, bisect, cmath, collections, contextlib, copy, dataclasses, datetime, decimal, enum, fractions, functools,
             heapq, itertools, math, numbers, operator, random, re, statistics, string, textwrap, time, types, typing,
             warnings, np.fft, np.linalg, np.ma, np.polynomial, np.random, numpy.typing)
MOST_VALUES = 100_000    # that one call may return, an array being one
KINDS = "biufc"          # numbers and bools: no objects, which would have to be unpickled
DEEPEST = 20


def pack(value, most=None):
    """Turn nested lists, tuples, dicts, numbers, strings and arrays into the bytes of a frame.

    most: of how many values there may be, an array being one; ValueError beyond.
    """
    arrays, count = [], itertools.count(1)

    def plain(value, depth=0):
        if most is not None and next(count) > most:
            raise ValueError(f"more than {most} values are returned; arrays count as one")
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


def unpack(body, most_head=None):
    """Turn a frame's bytes, without their length, back into values; ValueError where they are no such thing.

    most_head: bytes of the JSON structure, which takes far more room as Python's values.
    """
    try:
        size, = struct.unpack_from("<Q", body)
        if most_head is not None and size > most_head:
            raise ValueError("not a frame: too large a structure")
        structure, dtypes = json.loads(body[8:8 + size])
        offset, arrays = 8 + size, []

        def array_of(about):
            named, shape = dtypes[about["a"]], tuple(int(n) for n in about["shape"])
            fits = re.fullmatch(f"[<>|][{KINDS}][0-9]{{1,2}}", named) and min(shape, default=0) >= 0
            if not fits or about["a"] != len(arrays):
                raise ValueError("not one of our arrays")
            nonlocal offset
            array = np.frombuffer(body, np.dtype(named), math.prod(shape), offset).reshape(shape)
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


class _Refuse:
    """Keeps packages from being imported that hold what the student is to write, or that are out of reach."""

    def __init__(self, packages, reason):
        self.packages, self.reason = packages, reason

    def find_spec(self, name, path=None, target=None):
        if self.packages is None or name.partition(".")[0] in self.packages:
            raise ImportError(f"{name} may not be imported in this task: {self.reason}")


def main():
    """Read one request from standard input and answer every call on the descriptor that the first argument names."""
    reply = os.fdopen(int(sys.argv[1]), "wb")
    request = unpack(sys.stdin.buffer.read()[8:])
    give_up(request)
    calls, name = request["calls"], request["function"]
    sys.stdin, scope = io.StringIO(), {"__name__": "student", "__file__": request["file"]}

    def answer(value):
        reply.write(pack(value))
        reply.flush()

    answer({"ready": True})
    try:
        exec(compile(request["source"], request["file"], "exec"), scope)
        function = scope[name]
    except BaseException as error:
        answer({"failed": {**_told(error, request["file"]), "before": True}})
        return
    for args, kwargs in calls:
        args, kwargs = own(args), own(kwargs)
        try:
            packed = pack({"value": function(*args, **kwargs), "args": args, "kwargs": kwargs}, MOST_VALUES)
        except BaseException as error:
            packed = pack({"failed": _told(error, request["file"])})
        reply.write(packed)
        reply.flush()


def give_up(request):
    """Give up, for good, what the request says: time, memory, rights, files, other processes and packages."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import _lock
    del sys.path[0]
    _lock.limit(*request["limits"])
    if request["user"] is not None:
        _lock.leave_files(request["folder"])
    _lock.drop_rights(request["user"])
    _lock.close_files()
    _lock.close_calls()
    # NumPy is here by now, and nothing is looked for on the disk.
    sys.path.clear()
    sys.path_hooks.clear()
    sys.meta_path[:] = [_Refuse(request["refused"], "write it yourself"),
                        _Refuse(None, "only NumPy and the simpler modules of Python are there")]


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
    try:
        text = str(error)
    except BaseException as worse:
        text = f"(its text cannot be told: __str__ raises {type(worse).__name__})"
    return {"kind": str(type(error).__name__)[:100], "text": text[:500], "line": lines[-1] if lines else None}


if __name__ == "__main__":
    main()
