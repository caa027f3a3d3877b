"""What hostile and careless code can do to a grader: nothing, and what is said of it."""

import os
import subprocess
import time

import numpy as np
import pytest

from zfnumpy.grading import _runner, sandbox

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
    assert failed(called(source))["kind"] in ("BlockingIOError", "OSError")


def test_an_end_by_the_back_door_gives_no_answer():
    outcome = called("import os\ndef f(x):\n    os._exit(0)\n")
    assert outcome.answers == []
    killed = called("import os\ndef f(x):\n    os.kill(os.getpid(), 11)\n")
    assert (killed.answers, killed.ended) == ([], "it was ended by SIGSEGV")


def test_memory_files_and_answers_have_bounds():
    assert failed(called("def f(x):\n    return bytearray(1 << 31)\n"))["kind"] == "MemoryError"
    assert "File too large" in failed(called("def f(x):\n    open('big', 'wb').write(bytes(1 << 22))\n"))["text"]
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
    value = called("import os\ndef f(x):\n    return sorted(os.environ), os.getcwd(), os.listdir('.')\n").answers[0]["value"]
    assert "SECRET" not in value[0]
    assert value[1].rpartition("/")[2].startswith("zfnumpy-check-")
    assert value[2] == []
    assert not os.path.exists(value[1])


root_only = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="rights are dropped by root alone")


@root_only
def test_root_s_rights_are_dropped_for_good(tmp_path):
    (tmp_path / "grades.csv").write_text("secret")
    os.chmod(tmp_path, 0o700)
    source = (f"import os\ndef f(x):\n    try:\n        os.setuid(0)\n    except PermissionError:\n        pass\n"
              f"    try:\n        open({str(tmp_path / 'grades.csv')!r}).read()\n    except PermissionError:\n"
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
