"""Finding tasks in a lesson, making the blanks, and taking a function with what it needs out of a file."""

import ast

import pytest

from zfnumpy.grading.tasks import GradingError, blanked, part_for, tasks_of

LESSON = '''# %% [markdown]
# # A lesson

# %%
import numpy as np


def double(x):
    """Return 2 x."""
    # TASK 1.1 (2 points): double it
    y = x + x
    return y
    # END TASK


def both(x):
    # TASK 1.2 (1 point): twice
    return double(double(x))
    # END TASK


print(double(2))
'''


def test_tasks_are_found_with_their_functions():
    first, second = tasks_of(LESSON)
    assert (first.number, first.points, first.text, first.function) == ("1.1", 2, "double it", "double")
    assert (second.number, second.points, second.function) == ("1.2", 1, "both")
    assert tasks_of("x = 1\n") == []


def test_a_blank_is_the_lesson_without_its_solutions():
    text = blanked(LESSON)
    assert 'raise NotImplementedError("Task 1.1")' in text
    assert "x + x" not in text
    assert "double(double" not in text
    assert 'Return 2 x.' in text
    assert "# TASK 1.1 (2 points): double it" in text
    assert [task.number for task in tasks_of(text)] == ["1.1", "1.2"]
    ast.parse(text)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("    # END TASK\n\n\ndef both", "\n\ndef both", "line 16: task 1.2 begins inside task 1.1"),
    ("    return double(double(x))\n    # END TASK", "    return double(double(x))", "line 17: task 1.2 has no END TASK"),
    ("    y = x + x\n", "    # END TASK\n    y = x + x\n", "line 10: task 1.1 must be the whole body"),
    ("TASK 1.2", "TASK 1.1", "stands there twice"),
    ("    y = x + x\n", "    y = x +\n", "line 11: this is not Python"),
    ('    """Return 2 x."""\n', '    """Return 2 x."""\n    z = 1\n', "must be the whole body"),
    ("def double(x):\n    \"\"\"Return 2 x.\"\"\"\n", "if True:\n    x = 1\n", "stands in no function")])
def test_marks_that_are_not_as_they_should_be(old, new, message):
    assert old in LESSON
    with pytest.raises(GradingError, match=message):
        tasks_of(LESSON.replace(old, new))


def test_a_part_is_the_function_and_what_it_leads_to_on_the_same_lines():
    text = ("import os\nimport numpy as np\nSCALE = 2\nOTHER = 3\n\n\ndef helper(x):\n    return np.sum(x) * SCALE\n\n\n"
            "@staticmethod\ndef wanted(x):\n    return helper(x)\n\n\nclass Unused:\n    pass\n\n\nwanted(undefined)\n")
    source, imports = part_for(text, "wanted")
    assert imports == ["numpy"]
    lines = source.splitlines()
    assert lines[1] == "import numpy as np"
    assert lines[2] == "SCALE = 2"
    assert lines[10:13] == ["@staticmethod", "def wanted(x):", "    return helper(x)"]
    assert [line for line in lines if "os" in line or "OTHER" in line or "Unused" in line or "undefined" in line] == []


CELLS = """import numpy as np
SCALE = 2
picture, truth = np.ones((2, 3))
image = picture * 2


def helper(x):
    return x * SCALE
"""


@pytest.mark.parametrize(("wanted", "kept", "left"), [
    ("def f(x):\n    return [helper(image) for image in x]\n", ("def helper", "SCALE"), ("image = ", "numpy")),
    ("def f(picture):\n    image = picture\n\n    def helper():\n        return image\n    return helper()\n", (),
     ("image = picture * 2", "helper(x)", "numpy")),
    ("def f(x, y=SCALE):\n    def g():\n        return image\n    return g()\n", ("image = ", "SCALE"), ("helper",)),
    ("def f(x):\n    nonlocal x\n    return image\n", (), ("image = ",))])            # parses, but does not compile
def test_a_functions_own_variables_lead_to_nothing_at_the_top_level(wanted, kept, left):
    source = part_for(f"{CELLS}\n\n{wanted}", "f")[0]
    assert source.endswith(wanted)
    assert [part for part in kept if part not in source] == []
    assert [part for part in left if part in source] == []


@pytest.mark.parametrize(("text", "imports"), [
    ("def f(x):\n    import zfnumpy.ops\n    return x\n", ["zfnumpy"]),
    ("from zfnumpy import ops as o\n\n\ndef f(x):\n    return o\n", ["zfnumpy"]),
    ("import zfnumpy as zf\n\n\ndef g(x):\n    return zf\n\n\ndef f(x):\n    return x\n", []),
    ("from . import ops\n\n\ndef f(x):\n    return ops\n", ["."])])
def test_a_part_tells_which_packages_it_asks_for(text, imports):
    assert part_for(text, "f")[1] == imports


def test_a_file_without_the_function_or_that_is_no_python_says_so():
    with pytest.raises(GradingError, match=r"mine.py has no function f\(\) at its top level"):
        part_for("f = 3\n", "f", "mine.py")
    with pytest.raises(GradingError, match=r"mine.py, line 2: this is not Python: "):
        part_for("x = 1\ndef f(:\n", "f", "mine.py")
    with pytest.raises(GradingError, match="not Python"):
        part_for("x = 1\0", "f")
    with pytest.raises(GradingError, match="not Python"):
        part_for("(" * 5000 + ")" * 5000, "f")
