"""Grading from a bundle: the cases and their answers as data, for a container that holds no lesson and no solution.

`python3 -m <package>.grading.bundle SUBMISSIONS RESULTS.json` is what the autograder's run_autograder calls. Beside it lies
cases.bin, made by `autograder.write_bundle`, with several draws of every task's cases; one is taken at random.
"""

import json
import random
import sys
from dataclasses import asdict
from pathlib import Path

from ._runner import pack, unpack
from .check import Case, Result, TaskCheck, check_text
from .compare import tidy
from .tasks import GradingError, Task
from .text import all_below, submission_text

CASES = "cases.bin"


def packed(name, tasks, draws):
    """Return a lesson's tasks and several draws of its checks as bytes."""
    return pack({"name": name, "tasks": [asdict(task) for task in tasks],
                 "draws": [{number: {"hints": list(check.hints), "cases": [_as_dict(case) for case in check.cases]}
                            for number, check in draw.items()} for draw in draws]})


def unpacked(data):
    """Return (name, tasks, draws) of what `packed` made."""
    held = unpack(data[8:])
    draws = [{number: TaskCheck([Case(**case) for case in check["cases"]], tuple(check["hints"]))
              for number, check in draw.items()} for draw in held["draws"]]
    return held["name"], [Task(**task) for task in held["tasks"]], draws


def _as_dict(case):
    fields = dict(vars(case))
    if fields["expected"] is ...:
        del fields["expected"]
    return fields


def main(submissions, results):
    """Check the one submission in a folder and write Gradescope's results."""
    name, tasks, draws = unpacked((Path(__file__).parent / CASES).read_bytes())
    found = all_below(submissions)
    named = [path for path in found if path.name.startswith(name[:3])] or found
    try:
        if len(named) != 1:
            raise GradingError(f"expected one file, {name}.py or .ipynb, got {len(named)}")
        checks, trouble = random.SystemRandom().choice(draws), ""
        graded = check_text(submission_text(named[0]), tasks, checks, named[0].name)
    except GradingError as error:
        graded, trouble = [Result(task.number, task.text, 0, task.points) for task in tasks], tidy(error)
    Path(results).write_text(json.dumps(gradescope(graded, trouble), indent=1, ensure_ascii=False), encoding="utf-8")


def gradescope(results, trouble=""):
    """Return Gradescope's results.json for Results, as a dict: a test a task."""
    tests = [{"name": f"Task {result.number}: {result.title}", "score": result.points, "max_score": result.most,
              "output": "\n".join(result.lines) or ("right" if result.points == result.most else trouble or "not checked")}
             for result in results]
    return {"tests": tests, **({"output": trouble} if trouble else {})}


if __name__ == "__main__":
    main(*sys.argv[1:])
