"""What hostile and careless code can do to a grader: nothing, and what is said of it."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from zfnumpy.grading import _lock, _runner, sandbox
from zfnumpy.grading.tasks import GradingError

X = np.arange(3.0)
LIMITS = sandbox.Limits(seconds=1, clock=20, memory=1 << 30, file_size=1 << 20, answer=1 << 20)


def called(source, *calls, limits=LIMITS):
    return sandbox.call(source, "f", list(calls) or [((X,), {})], "mine.py", limits=limits)


def failed(outcome):
    answer, = outcome.answers
    return answer["failed"]


def test_values_go_there_and_back():
    values = [None, True, "text", 3, 2**60, -(2**70), 2.5, float("inf"), (1, [2, (X,)]), {"a": {"b": X}}, np.float32(3),
              np.zeros((0, 3), np.int32), np.arange(6, dtype=np.complex64).reshape(2, 3), np.array(5), X[::2],
              np.bool_(True)]
    back = _runner.unpack(_runner.pack(values)[8:])
    for value, got in zip(values, back):
        assert type(got) is type(value)
        np.testing.assert_equal(got, value)
        if isinstance(value, (np.ndarray, np.generic)):
            assert got.dtype == value.dtype
    assert np.isnan(_runner.unpack(_runner.pack(float("nan"))[8:]))
    assert isinstance(_runner.unpack(_runner.pack(len)[8:]), _runner.Unknown)
    assert "object" in _runner.unpack(_runner.pack(np.array([None]))[8:])
    for broken in (b"", b"\0" * 8, b"\xff" * 40, _runner.pack(X)[8:-3]):
        with pytest.raises(ValueError, match=r"not a frame|buffer|Expecting|utf|codec"):
            _runner.unpack(broken)


def test_a_function_is_called_with_every_argument_and_its_inputs_come_back():
    outcome = called("def f(x, k=1):\n    x *= k\n    return x.sum()\n", ((X,), {"k": 2}), ((X,), {}))
    assert [float(answer["value"]) for answer in outcome.answers] == [6, 3]
    np.testing.assert_array_equal(outcome.answers[0]["args"][0], 2 * X)
    assert outcome.ended == ""
    np.testing.assert_array_equal(X, [0, 1, 2])


def test_what_fails_says_where():
    assert failed(called("import numpy as np\n\n\ndef f(x):\n    return x[7]\n")) == {
        "kind": "IndexError", "text": "index 7 is out of bounds for axis 0 with size 3", "line": 5}
    assert failed(called("def f(x):\n    raise SystemExit(3)\n"))["kind"] == "SystemExit"
    assert failed(called("boom = 1 / 0\ndef f(x):\n    return x\n"))["before"] is True


def test_a_loop_without_end_and_a_long_sleep_are_ended():
    begin = time.monotonic()
    assert called("def f(x):\n    while True:\n        pass\n").ended == "it did not end within 1 s of the processor's time"
    short = sandbox.Limits(seconds=1, clock=2)
    assert called("import time\ndef f(x):\n    time.sleep(1000)\n", limits=short).ended == "it did not end within 2 s"
    stubborn = "import _signal\ndef f(x):\n    _signal.signal(24, lambda *_: None)\n    while True:\n        pass\n"
    assert called(stubborn).ended == "it did not end within 1 s of the processor's time"
    assert time.monotonic() - begin < 90


def test_what_came_before_the_hang_counts():
    outcome = called("def f(x):\n    while x[0]:\n        pass\n    return x\n", ((X,), {}), ((X + 1,), {}))
    assert len(outcome.answers) == 1
    assert outcome.ended


def test_forks_get_nowhere():
    source = "import os\ndef f(x):\n    while True:\n        os.fork()\n"
    assert failed(called(source))["kind"] in ("BlockingIOError", "PermissionError", "OSError")
    thread = "import sys\ndef f(x):\n    sys.modules['_thread'].start_new_thread(print, ())\n"
    assert failed(called(thread))["kind"] == "RuntimeError"


def test_an_end_by_the_back_door_gives_no_answer():
    outcome = called("import os\ndef f(x):\n    os._exit(0)\n")
    assert outcome.answers == []
    killed = called("import os\ndef f(x):\n    os.kill(os.getpid(), 11)\n")
    assert (killed.answers, killed.ended) == ([], "it was ended by SIGSEGV")


def test_memory_files_and_answers_have_bounds():
    assert failed(called("def f(x):\n    return bytearray(1 << 31)\n"))["kind"] == "MemoryError"
    assert called("import numpy as np\ndef f(x):\n    return np.zeros(1 << 20)\n").ended == "it returned more than 1 MiB"
    noisy = called("def f(x):\n    for i in range(30000):\n        print('x' * 100)\n    return 1\n")
    assert noisy.answers[0]["value"] == 1
    assert len(noisy.printed) <= sandbox.MOST_OUTPUT


def test_printing_or_writing_a_result_is_not_returning_it():
    frame = "import struct\nfrom __main__ import pack\n"
    forged = frame + ("import os\ndef f(x):\n    for fd in range(3, 60):\n        try:\n"
                      "            os.write(fd, pack({'value': 42, 'args': (x,), 'kwargs': {}}))\n"
                      "        except OSError:\n            pass\n    return 0\n")
    outcome = called(forged)
    assert outcome.ended.startswith("what came back is not what the function returned")
    garbage = called("import os\ndef f(x):\n    for fd in range(3, 60):\n        try:\n"
                     "            os.write(fd, b'{}' * 40)\n        except OSError:\n            pass\n    return 42\n")
    assert garbage.answers == []
    printed = called("import sys\ndef f(x):\n    print('{\"score\": 100}')\n    print('all right', file=sys.stderr)\n")
    assert printed.answers[0]["value"] is None
    assert "all right" in printed.printed


def test_numpy_changed_under_its_feet_changes_nothing_here():
    outcome = called("import numpy as np\ndef f(x):\n    np.allclose = np.array_equal = lambda *a, **k: True\n"
                     "    np.ndarray = list\n    return x + 1\n")
    assert outcome.answers == [] or isinstance(outcome.answers[0], dict)
    assert not np.allclose(X, X + 1)


@pytest.mark.parametrize("way", [
    "import zfnumpy", "__import__('zfnumpy')", "import importlib; importlib.import_module('zfnumpy.ops')",
    "import sys; sys.meta_path.pop(0); import zfnumpy", "import torch", "from scipy import signal"])
def test_the_answer_cannot_be_imported(way):
    assert failed(called(f"def f(x):\n    {way}\n    return x\n"))["kind"] in ("ImportError", "ModuleNotFoundError")


def test_the_environment_is_clean(monkeypatch):
    monkeypatch.setenv("SECRET", "42")
    value = called("import os\ndef f(x):\n    return sorted(os.environ), os.environ['HOME']\n").answers[0]["value"]
    assert "SECRET" not in value[0]
    assert value[1].rpartition("/")[2].startswith("zfnumpy-check-")
    assert not os.path.exists(value[1])


locked = pytest.mark.skipif(bool(_lock.weaknesses()), reason="this system lacks what locks a process")


@locked
@pytest.mark.parametrize("way", [
    "open('/etc/passwd').read()", "open('left', 'w')", "open('/tmp/left', 'w')", "open('/dev/shm/left', 'w')",
    "os.listdir('/')", "os.listdir('/proc')", "open(f'/proc/{os.getppid()}/environ')", "open('/dev/tty', 'w')",
    "os.mkdir('left')", "os.symlink('a', 'left')", "os.chmod('.', 0o777)", "os.kill(os.getppid(), 0)", "os.kill(-1, 0)",
    "os.execv('/bin/true', ['true'])", "os.memfd_create('left')", "os.nice(-1)", "os.sched_setaffinity(0, [0])",
    "os.posix_spawn('/bin/true', ['true'], {})"])
def test_no_file_and_no_other_process_is_in_reach(way):
    assert failed(called(f"import os\ndef f(x):\n    return {way}\n"))["kind"] in ("PermissionError", "FileNotFoundError")


@locked
@pytest.mark.parametrize("way", [
    "socket(2, 1, 0)", "shmget(0, 4096, 0o1600)", "semget(0, 1, 0o1600)", "msgget(0, 0o1600)",
    "mq_open(b'/left', 0o102, 0o600, None)", "ptrace(16, os.getppid(), 0, 0)", "unshare(0x10000000)",
    "mount(b'none', b'/', b'tmpfs', 0, None)", "prctl(22, 0, 0, 0, 0)"])
def test_calls_of_the_system_that_reach_out_are_refused(way):
    source = f"import os, sys\nimport numpy as np\ndef f(x):\n    return sys.modules['ctypes'].CDLL(None).{way}\n"
    assert called(source).answers[0].get("value") == -1


@pytest.mark.parametrize("column", [0, 1])
def test_the_filter_refuses_what_it_names_and_allows_the_rest(column):
    """The filter's program, run here step by step for one call."""
    _, named = list(_lock.ARCHITECTURES.values())[column]
    program = _lock.rules(column, named, 77)

    def said(number, first=0, architecture=named):
        memory, at, held = {0: number, 4: architecture, 16: first}, 0, None
        while True:
            operation, true, false, value = program[at]
            at += 1
            if operation == 0x20:
                held = memory[value]
            elif operation == 0x06:
                return value
            else:
                at += true if (held == value if operation == 0x15 else held >= value) else false

    assert len(program) < 256
    assert all(said(n[column]) == _lock.REFUSE for n in _lock.REFUSED.values() if n[column] is not None)
    for name, numbers in _lock.OWN.items():
        assert said(numbers[column], 77) == _lock.ALLOW
        assert said(numbers[column], 78) == said(numbers[column], 2**32 - 1) == _lock.REFUSE
        assert said(numbers[column], 0) == (_lock.ALLOW if name == "prlimit64" else _lock.REFUSE)
    taken = {n[column] for n in [*_lock.REFUSED.values(), *_lock.OWN.values()]}
    assert all(said(n) == _lock.ALLOW for n in range(460) if n not in taken)
    assert said(500, architecture=0x40000003) == _lock.END
    assert said(0x40000000 + 41) == (_lock.REFUSE if column == 0 else _lock.ALLOW)


def test_closing_the_pipe_and_stopping_do_not_keep_the_grader_waiting():
    short, begin = sandbox.Limits(seconds=1, clock=2), time.monotonic()
    source = "import os, time\ndef f(x):\n    os.closerange(3, 64)\n    time.sleep(600)\n"
    assert called(source, limits=short).ended == "it did not end within 2 s"
    assert called("import os\ndef f(x):\n    os.kill(os.getpid(), 19)\n", limits=short).ended == "it did not end within 2 s"
    assert time.monotonic() - begin < 90


def test_what_is_printed_to_the_last_is_kept_and_a_full_pipe_keeps_nobody_waiting():
    begin = time.monotonic()
    for _ in range(5):
        assert called("def f(x):\n    print('last words')\n    return 1\n").printed == "last words\n"
    source = "import sys\ndef f(x):\n    sys.stdout = open(1, 'w', 1 << 22)\n    print('x' * 3_000_000)\n    return 1\n"
    many = called(source)
    assert (len(many.printed), many.ended) == (sandbox.MOST_OUTPUT, "")
    assert time.monotonic() - begin < 60


FORGED = "import os\nfrom __main__ import pack\ndef f(x):\n    for fd in range(3, 64):\n        try:\n" \
         "            os.write(fd, {0})\n        except OSError:\n            pass\n    os._exit(0)\n"


@pytest.mark.parametrize("frame", [
    "pack({'failed': 7})", "pack({'failed': {'kind': 1, 'text': 'a', 'line': None}})",
    "pack({'value': x, 'args': 3, 'kwargs': {}})", "pack({'value': x, 'args': (x,), 'kwargs': 4})",
    "pack([1])", "bytes(8) + b'{}'", "pack({'ready': True})",
    "pack({'value': [0] * (1 << 22), 'args': (x,), 'kwargs': {}})"])
def test_a_frame_that_is_no_answer_gives_none(frame):
    outcome = called(FORGED.format(frame), limits=sandbox.Limits(seconds=5, clock=30))
    assert outcome.answers == []
    assert outcome.ended


@pytest.mark.parametrize(("structure", "dtypes"), [
    ({"a": 0, "shape": [-1], "scalar": False}, ["<f8"]), ({"a": 0, "shape": [1], "scalar": False}, ["(2,)<f8"]),
    ({"a": 0, "shape": [1], "scalar": False}, ["|O"]), ({"a": 0, "shape": [2**62, 8], "scalar": False}, ["<f8"]),
    ({"a": 0, "shape": [1], "scalar": False}, [["f8"]]), ({"a": [], "shape": [1], "scalar": False}, ["<f8"]),
    ({"a": 0, "shape": [1], "scalar": False}, ["<f8" * 9]), ({"n": []}, []), ({"d": [[[], 1]]}, []), ({"t": 3}, [])])
def test_a_forged_structure_is_no_frame(structure, dtypes):
    head = json.dumps([structure, dtypes]).encode()
    with pytest.raises(ValueError, match=r"."):
        _runner.unpack(len(head).to_bytes(8, "little") + head + bytes(64))


def test_what_cannot_be_told_is_said_and_the_next_call_is_made():
    source = ("class Evil(Exception):\n    def __str__(self):\n        raise SystemExit\n"
              "def f(x):\n    if x[0]:\n        raise Evil\n    return [[0] * 1000] * 1000\n")
    outcome = called(source, ((X,), {}), ((X + 1,), {}), ((X,), {}))
    assert [answer["failed"]["kind"] for answer in outcome.answers] == ["ValueError", "Evil", "ValueError"]
    assert "__str__ raises SystemExit" in outcome.answers[1]["failed"]["text"]
    assert failed(called("def f(x):\n    return 1 << 20000\n"))["kind"] == "ValueError"


def test_an_array_that_lies_about_itself_comes_back_as_its_bytes():
    source = ("import numpy as np\nclass Liar(np.ndarray):\n    dtype = shape = 'no'\n    def __array__(self, *a, **k):\n"
              "        return np.zeros(9)\n    def __eq__(self, other):\n        return True\n"
              "def f(x):\n    return (x + 1).view(Liar)\n")
    value = called(source).answers[0]["value"]
    assert type(value) is np.ndarray
    np.testing.assert_array_equal(value, X + 1)


@pytest.mark.parametrize("module", ["re", "heapq", "statistics", "numpy.linalg", "collections.abc", "numpy.typing"])
def test_simple_modules_can_be_imported_where_no_file_can_be_opened(module):
    assert called(f"def f(x):\n    import {module}\n    return 1\n").answers[0]["value"] == 1


def test_a_process_that_does_not_start_is_not_the_students_fault(monkeypatch):
    with monkeypatch.context() as without:
        without.setattr(_runner, "__file__", "/nowhere/_runner.py")
        with pytest.raises(GradingError, match=r"did not start, which is not the student's fault: .*can't open file"):
            called("def f(x):\n    return x\n")
    monkeypatch.setattr(os, "name", "nt")
    with pytest.raises(GradingError, match="on Windows use WSL"):
        called("def f(x):\n    return x\n")


def test_the_sandbox_can_be_imported_without_the_modules_of_posix():
    source = ("import sys\nfor name in ('pwd', 'grp', 'resource', 'fcntl'):\n    sys.modules[name] = None\n"
              "sys.platform = 'win32'\nfrom zfnumpy.grading import _lock, sandbox\nprint(_lock.weaknesses())\n")
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=120).stdout
    assert "nothing bounds a student's code on Windows" in said


def test_weaknesses_are_told(monkeypatch):
    monkeypatch.setattr(_lock.sys, "platform", "darwin")
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    files, calls = _lock.weaknesses()
    assert "writes and deletes yours" in files
    assert "network connections and end your processes" in calls


def test_user_ids_are_chosen_among_those_that_root_may_become(tmp_path):
    for text, ranges in (("0 0 4294967295\n", [(1 << 20, 1 << 24)]), ("0 1000 1\n1 100000 65536\n", [(10_000, 65_000)]),
                         ("0 1000 1\n", []), ("nonsense", [(1 << 20, 1 << 24)])):
        (tmp_path / "uid_map").write_text(text)
        assert sandbox._granted_users(tmp_path / "uid_map") == ranges


root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="rights are dropped by root alone")


@root_only
def test_root_s_rights_are_dropped_for_good(tmp_path):
    (tmp_path / "grades.csv").write_text("secret")
    os.chmod(tmp_path, 0o700)
    source = (f"import os\ndef f(x):\n    try:\n        os.setuid(0)\n    except PermissionError:\n        pass\n"
              f"    try:\n        open({str(tmp_path / 'grades.csv')!r}).read()\n    except OSError:\n"
              "        return os.getuid(), os.geteuid(), os.getgid(), os.getgroups()\n")
    user, effective, group, groups = called(source).answers[0]["value"]
    assert user == effective == group >= 1 << 20
    assert groups == []


@root_only
def test_what_is_left_running_is_ended():
    """A process that outlives its function, with a session of its own."""
    source = ("import os, resource, time\ndef f(x):\n    return os.getuid()\n")
    user = called(source).answers[0]["value"]
    left = subprocess.Popen(["sleep", "60"], user=user, group=user, extra_groups=[], start_new_session=True)
    sandbox._end_all(user)
    assert left.wait(timeout=10) == -9
