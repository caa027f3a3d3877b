"""What a check says of a task, and the points it gives."""

import numpy as np
import pytest

from zfnumpy.grading import sandbox
from zfnumpy.grading._runner import Code
from zfnumpy.grading.check import Case, TaskCheck, case, check_text
from zfnumpy.grading.tasks import Task

TASK = Task("1.1", 4, "double it", "double", 1, 3)
X = np.array([1.0, -2, 3])
LIMITS = sandbox.Limits(seconds=3, clock=60)


def double(x, k=1):
    return 2 * x


CHECK = TaskCheck([case("numbers", double, X, mistakes=[("It looks as if it is squared.", lambda x: x * x)]),
                   case("one", double, X[:1]), case("float32", double, X.astype(np.float32)), case("k", double, X, k=3)],
                  ("a nudge", "more"))


def checked(source, check=CHECK):
    result, = check_text(f"import numpy as np\n\n\n{source}", [TASK], {"1.1": check}, "mine.py", LIMITS)
    return result.points, result.lines


@pytest.mark.parametrize(("source", "points", "lines"), [
    ("def double(x, k=1):\n    return x + x\n", 4, []),
    ("def double(x, k=1):\n    raise NotImplementedError('Task 1.1')\n", 0, ["not done yet"]),
    ("def double(x, k=1):\n    return x * x\n", 0, [
        "numbers: the result[0] should be 2, got 1; 3 of 3 values differ. It looks as if it is squared.",
        "one: the result[0] should be 2, got 1; 1 of 1 values differ (the same in: float32; k)"]),
    ("def double(x, k=1):\n    return (x + x).astype(float)\n", 3, [
        "float32: the result should be float32, got float64. "
        "The dtype that comes in goes out: which line makes it another?"]),
    ("def double(x):\n    return x + x\n", 3, [
        "k: TypeError: double() got an unexpected keyword argument 'k'"]),
    ("def double(x, k=1):\n    x *= 2\n    return x\n", 0, None),
    ("def double(x, k=1):\n    print('look', x)\n    return x[len(x)]\n", 0, None),
    ("def other(x):\n    return x\n", 0, ["mine.py has no function double() at its top level"]),
    ("def double(x:\n", 0, None),
    ("import zfnumpy as zf\ndef double(x, k=1):\n    return zf.double(x)\n", 0, [
        "double() uses zfnumpy; this task is to be written with NumPy alone"]),
    ("import os\ndef double(x, k=1):\n    os._exit(0)\n", 0, [
        "numbers: the process ended before the function returned (the same in: one; float32; k)"]),
    ("def double(x, k=1):\n    while k > 1:\n        pass\n    return x + x\n", 3, [
        "k: it did not end within 3 s of the processor's time"]),
    ("y = undefined\ndef double(x, k=1):\n    return y\n", 0, None)])
def test_points_and_lines(source, points, lines):
    got, said = checked(source)
    assert got == points
    if lines is not None:
        assert said == lines
    assert bool(said) == (points < 4)


def test_a_change_of_the_input_a_print_and_a_failing_file_are_told():
    assert "changes its input in place (argument 1[0] was 1, is now 2; 3 of 3 values differ); work on a copy" in checked(
        "def double(x, k=1):\n    x *= 2\n    return x\n")[1][0]
    lines = checked("def double(x, k=1):\n    print('look', x)\n    return x[len(x)]\n")[1]
    assert lines[0].startswith("numbers: IndexError in line 6: ")
    assert lines[-1].startswith("it printed: look [")
    assert "this is not Python" in checked("def double(x:\n")[1][0]
    assert "NameError in line 4" in checked("y = undefined\ndef double(x, k=1):\n    return y\n")[1][0]


def test_a_projection_checks_what_no_single_value_says():
    check = TaskCheck([Case("adjoint test", (X,), dot=(np.ones(3), 4.0, "⟨A x, y⟩ = ⟨x, Aᵀ y⟩ does not hold"))])
    assert checked("def double(x):\n    return x + x\n", check) == (4, [])
    points, lines = checked("def double(x):\n    return x + x + 1\n", check)
    assert points == 0
    assert lines == ["adjoint test: ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ does not hold: it should give 4, yours gives 7"]
    assert "should have shape (3,), got (2,)" in checked("def double(x):\n    return x[:2]\n", check)[1][0]


@pytest.mark.parametrize("value", ["np.array([np.inf, 0, 0])", "np.full(3, 1e308)", "np.array([np.nan, 0, 0])",
                                   "np.array([1e20, -1e20, 0])", "np.array(['a', 'b', 'c'])"])
def test_no_trick_passes_a_projection(value):
    check = TaskCheck([Case("adjoint test", (X,), dot=(np.ones(3), 4.0, "does not hold"), tolerance=1e-6)])
    assert checked(f"def double(x):\n    return {value}\n", check)[0] == 0


def test_what_a_student_raises_cannot_rewrite_the_terminal():
    points, lines = checked("def double(x, k=1):\n"
                            "    raise ValueError('\\x1b[2J\\r20 of 20\\n\\ud800\\u202e' + 'x' * 9999)\n")
    assert points == 0
    assert lines[0].isprintable()
    assert "\\x1b[2J\\r20 of 20\\n" in lines[0]
    assert len(lines[0]) <= 600
    points, lines = checked("def double(x, k=1):\n    return {'x' * 99999: 1}\n")
    assert len(lines[0]) <= 600


def test_the_mistake_that_most_cases_look_like_is_named_and_a_small_case_says_nothing_else():
    """x = 0 and x = 2 look like squaring too; x = 1 like adding one; only tripling explains the rest."""
    mistakes = [("squared", lambda x: x * x), ("plus one", lambda x: x + 1), ("tripled", lambda x: 3 * x)]
    cases = [case(str(i), double, np.array(x), mistakes=mistakes) for i, x in enumerate(([3.0], [0.5], [2.0, 4], [5.0]))]
    named = [line.partition("differ. ")[2] for line in checked("def double(x):\n    return 3 * x\n", TaskCheck(cases))[1]]
    assert named == ["tripled (the same in: 1; 2; 3)"]
    named = [line.partition("differ. ")[2] for line in checked(
        "def double(x):\n    return 3 * x if x[0] > 2.5 else x * 7\n", TaskCheck(cases))[1]]
    assert named == ["tripled (the same in: 3)", ""]
    alone = [case("a", double, np.array([9.0]), mistakes=mistakes), case("b", double, np.array([8.0]), mistakes=mistakes)]
    named = [line.partition("differ. ")[2] for line in checked(
        "def double(x):\n    return x * x if x[0] > 8.5 else x + 1\n", TaskCheck(alone))[1]]
    assert named == ["squared", "plus one"]


def test_a_function_can_be_an_argument():
    def apply(f, x):
        return f(x)

    check = TaskCheck([case("a function", apply, Code("def f(x): return np.sin(x)"), X)])
    assert checked("def double(f, x):\n    return f(x)\n", check) == (4, [])
    assert checked("def double(f, x):\n    return f(x) + 1\n", check)[0] == 0


def test_a_mistake_that_a_case_does_not_show_is_not_named_by_it():
    made = case("ones", double, np.ones(2), mistakes=[("twice", lambda x: x + x), ("fails", lambda x: x[9]),
                                                      ("squared", lambda x: x * x)])
    assert [line for line, _ in made.wrong] == ["squared"]


def test_what_a_task_is_built_on_is_mended_first():
    tasks = [Task("1.1", 2, "half", "half", 1, 3), Task("1.2", 2, "quarter", "quarter", 4, 6)]
    checks = {"1.1": TaskCheck([case("x", lambda x: x / 2, X)]), "1.2": TaskCheck([case("x", lambda x: x / 4, X)])}
    text = "def half(x):\n    return x / 3\n\n\ndef quarter(x):\n    return half(half(x))\n"
    _, second = check_text(text, tasks, checks, limits=LIMITS)
    assert second.lines[0] == "it uses what task 1.1 asks for, which is not right yet: mend that first"
    _, second = check_text(text.replace("/ 3", "/ 2"), tasks, checks, limits=LIMITS)
    assert second.lines == []
