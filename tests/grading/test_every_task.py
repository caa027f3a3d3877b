"""Every task of every lesson: the blank gets nothing, the solution everything, and known mistakes are named."""

import ast
import re
from pathlib import Path

import pytest

from zfnumpy.grading.lessons import all_lessons
from zfnumpy.grading.tasks import blanked

LESSONS = [each for each in all_lessons() if each.tasks]
WRONG = Path(__file__).parent / "wrong"


def wrong_solutions(of):
    """Yield (task number, what the message must say, source of the wrong function) from a lesson's file of mistakes."""
    text = (WRONG / f"{of.name}.txt").read_text(encoding="utf-8")
    for block in re.split(r"^WRONG ", text, flags=re.MULTILINE)[1:]:
        head, _, source = block.partition("\n")
        number, said = re.fullmatch(r'(\d+\.\d+): "(.+)"', head).groups()
        yield number, said, source


CASES = [(of, *wrong) for of in LESSONS for wrong in wrong_solutions(of)]


def with_function(text, source):
    """Put a function in the place of the one of the same name at the top level of a script."""
    name = ast.parse(source).body[0].name
    old = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name)
    lines = text.splitlines()
    return "\n".join([*lines[:old.lineno - 1], source.rstrip(), *lines[old.end_lineno:]]) + "\n"


@pytest.mark.parametrize("of", LESSONS, ids=lambda of: of.name)
def test_the_solution_gets_every_point_and_the_blank_none(of):
    for result in of.check(of.text, "solved.py", seed=1):
        assert (result.points, result.lines) == (result.most, []), result
        assert result.hints, "a task has hints"
    for result in of.check(blanked(of.text), "blank.py", seed=1):
        assert (result.points, result.lines) == (0, ["not done yet"]), result


@pytest.mark.parametrize("of", LESSONS, ids=lambda of: of.name)
def test_every_task_has_three_mistakes_to_know(of):
    numbers = [number for number, _, _ in wrong_solutions(of)]
    assert set(numbers) == {task.number for task in of.tasks}
    assert all(numbers.count(number) >= 3 for number in numbers)
    assert all(len(check.cases) >= 3 for check in of.checks(0).values())


@pytest.mark.parametrize(("of", "number", "said", "source"), CASES, ids=lambda value: getattr(value, "name", None))
def test_a_mistake_loses_points_and_is_named(of, number, said, source):
    tasks = [task for task in of.tasks if task.number == number]
    from zfnumpy.grading.check import check_text

    result, = check_text(with_function(of.text, source), tasks, of.checks(2), "wrong.py")
    assert result.points < result.most
    assert said in " ".join(result.lines), result.lines
