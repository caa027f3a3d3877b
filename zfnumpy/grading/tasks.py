"""Tasks in lesson scripts: finding them, making the blanks, and taking a student's functions out of a file.

A task is marked in the solved lesson, inside the function that the student is to write, after its docstring:

    def relu(x):
        \"\"\"Return max(x, 0).\"\"\"
        # TASK 5.1 (2 points): rectify x
        return np.maximum(x, 0)
        # END TASK

Nothing here runs a student's file: it is only read as text.
"""

import ast
import re
import symtable
from dataclasses import dataclass

from ..errors import DataError

_BEGIN = re.compile(r"^(\s+)# TASK (\d+\.\d+) \((\d+) points?\): (.+)$")
_END = re.compile(r"^\s+# END TASK\s*$")


class GradingError(DataError):
    """A lesson or a submission that cannot be checked, said in one line."""


@dataclass(frozen=True)
class Task:
    """One task: its number "3.1", points, what to do, the function to write, and its lines (from 1, marks included)."""

    number: str
    points: int
    text: str
    function: str
    first: int
    last: int


def tasks_of(text, name="the lesson"):
    """List the tasks of a solved lesson's text; GradingError, with the line, where a mark is not as it should be."""
    functions = [node for node in ast.walk(parsed(text, name)) if isinstance(node, ast.FunctionDef)]
    found, begun = [], None
    for line, content in enumerate(text.splitlines(), 1):
        mark = _BEGIN.match(content)
        if mark and begun:
            raise GradingError(f"{name}, line {line}: task {mark[2]} begins inside task {begun[1][2]}")
        if mark:
            begun = line, mark
        elif _END.match(content):
            if not begun:
                raise GradingError(f"{name}, line {line}: END TASK without a task")
            (first, mark), begun = begun, None
            found.append(_task(mark, first, line, functions, name))
    if begun:
        raise GradingError(f"{name}, line {begun[0]}: task {begun[1][2]} has no END TASK")
    numbers = [task.number for task in found]
    if len(set(numbers)) < len(numbers):
        raise GradingError(f"{name}: a task number stands there twice: {', '.join(numbers)}")
    return found


def _task(mark, first, last, functions, name):
    around = [node for node in functions if node.lineno < first and last <= node.end_lineno + 1]
    if not around:
        raise GradingError(f"{name}, line {first}: task {mark[2]} stands in no function")
    function = min(around, key=lambda node: node.end_lineno - node.lineno)
    body = [node for node in function.body if not _is_docstring(node)]
    if function.col_offset or body[0].lineno < first or body[-1].end_lineno > last:
        raise GradingError(f"{name}, line {first}: task {mark[2]} must be the whole body of a function at the top level")
    return Task(mark[2], int(mark[3]), mark[4], function.name, first, last)


def blanked(text, name="the lesson"):
    """Return a lesson's text with every task's code replaced by a NotImplementedError that names the task."""
    lines = text.splitlines()
    for task in reversed(tasks_of(text, name)):
        indent = _BEGIN.match(lines[task.first - 1])[1]
        lines[task.first:task.last - 1] = [f'{indent}raise NotImplementedError("Task {task.number}")']
    return "\n".join(lines) + "\n"


def parsed(text, name):
    """Return the syntax tree of Python text, or refuse it in one line that says where it goes wrong."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise GradingError(f"{name}{line}: this is not Python: {getattr(error, 'msg', None) or error}") from None


def part_for(text, function, name="the submission"):
    """Return (source, imports) of what `function` needs: itself, and what at the top level it leads to.

    The source is the text with every other line blank, so that line numbers stay; cells around the functions do not run.
    imports: the top-level packages that it asks for. A constant counts where it is assigned once, by name. GradingError
    where there is no such function.
    """
    tree, lines = parsed(text, name), text.splitlines()
    given = {}
    for node in tree.body:
        for defined in _defines(node):
            given.setdefault(defined, []).append(node)
    if not any(isinstance(node, ast.FunctionDef) for node in given.get(function, ())):
        raise GradingError(f"{name} has no function {function}() at its top level")
    wanted, kept = [function], {}
    while wanted:
        for node in given.pop(wanted.pop(), ()):
            if id(node) not in kept:
                kept[id(node)] = node
                wanted += _leads_to(node)
    keep = set()
    for node in kept.values():
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        keep.update(range(first, node.end_lineno + 1))
    source = "\n".join(line if number in keep else "" for number, line in enumerate(lines, 1)) + "\n"
    return source, sorted({package for node in kept.values() for package in _imports(node)})


def _defines(node):
    """Return the names that a statement at the top level defines, as far as a check keeps it."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [(alias.asname or alias.name).partition(".")[0] for alias in node.names]
    if isinstance(node, ast.Assign) and all(isinstance(target, ast.Name) for target in node.targets):
        return [target.id for target in node.targets]
    return []


def _leads_to(node):
    """List the names at the top level that a statement there reads; a function's own variables are not among them."""
    try:
        table = symtable.symtable(ast.unparse(node), "the statement", "exec")
    except (SyntaxError, ValueError, RecursionError):           # it parses but does not compile: its process says why
        return []
    found, tables = [symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()], table.get_children()
    while tables:
        table = tables.pop()
        found += [symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced() and symbol.is_global()]
        tables += table.get_children()
    return found


def _imports(node):
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            yield (part.module or ".").partition(".")[0] if not part.level else "."


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
