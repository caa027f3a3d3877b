"""The house as DESIGN has it: floors that import downwards only, small modules, and a light front door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import zfnumpy

PACKAGE = Path(zfnumpy.__file__).parent
CAP = 350          # lines of a module

# Floor of every module, by its name inside the package; "x.*" is a package with all that lies in it.
FLOORS = {
    "errors": 0, "shapes": 0, "gradcheck": 0, "paths": 0,
    "ops.*": 1,
    "layers.*": 2, "loss": 2,
    "graph": 3, "receptive": 3, "network": 3, "optim": 3, "checkpoint": 3, "data.*": 3,
    "models.*": 4, "evaluate": 4, "estimate": 4, "train": 4, "visualize.*": 4,
    "plots.*": 5, "report.*": 5, "experiments.*": 5, "grading.*": 5, "cli.*": 5, "__main__": 5,
}
# What may be imported on the same floor: a package's modules one another, and besides:
SIDEWAYS = {
    "shapes": {"errors"}, "gradcheck": {"errors"}, "paths": {"errors"},
    "network": {"receptive", "graph"}, "receptive": {"graph"}, "checkpoint": {"network", "data.*"},
    "train": {"evaluate"},
    "report.*": {"plots.*"}, "experiments.*": {"plots.*", "report.*"}, "grading.*": {"plots.*"},
    "cli.*": {"plots.*", "report.*", "experiments.*", "grading.*"}, "__main__": {"cli.*"},
}
ONLY = {"matplotlib": {"plots.*"}, "cupy": {"ops.cupy_ops"}, "numba": {"ops.*"}, "llvmlite": {"ops.*"},
        "safetensors": {"checkpoint"}, "cv2": {"visualize.segment"},
        "sklearn": {"visualize.embedding", "experiments.linear"}, "jinja2": {"report.*"}}
FORBIDDEN = {"torch", "torchvision", "tensorflow", "jax", "keras", "onnxruntime", "scipy", "skimage",
             "pandas", "pickle"}
# __init__ files that define something, and what: everything else only hands names on.
DEFINES = {"": {"__getattr__", "__dir__"}, "ops": {"get_ops"}, "data": {"__getattr__", "__dir__"}}


def name_of(path):
    """Return a module's name inside the package: "ops.face", and "ops" for ops/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in SOURCES.items()}


def group(name):
    """Return a module's line in FLOORS: its package where that has one."""
    for key in FLOORS:
        if name == key or (key.endswith(".*") and (name == key[:-2] or name.startswith(key[:-1]))):
            return key
    raise AssertionError(f"{name} stands on no floor: give it one in {Path(__file__).name}, and in DESIGN")


def imports(name):
    """Yield (line, top-level package or None, module inside the package or None) of every import, wherever it stands."""
    package = name if SOURCES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield node.lineno, top, alias.name.partition(".")[2] or None if top == "zfnumpy" else None
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module.partition(".")[0] != "zfnumpy":
            yield node.lineno, node.module.partition(".")[0], None
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                above = package.split(".")[:len(package.split(".")) - node.level + 1] if package else []
                base = ".".join([*above, *([node.module] if node.module else [])])
            else:
                base = node.module.partition(".")[2]
            for alias in node.names:
                inside = f"{base}.{alias.name}" if base else alias.name
                if inside == "__version__":                    # all that anyone may take from the front door
                    continue
                yield node.lineno, None, inside if inside in SOURCES else base


def wrong_imports(name):
    """Return what a module imports from its own floor without leave, or from above."""
    if not name:                                               # the front door hands everything on, lazily
        return []
    own, wrong = group(name), []
    for line, _, target in imports(name):
        if target is None or (target and group(target) == own):
            continue
        if not target:
            wrong.append(f"{name}:{line} imports by the front door")
            continue
        if FLOORS[group(target)] < FLOORS[own] or group(target) in SIDEWAYS.get(own, ()):
            continue
        wrong.append(f"{SOURCES[name].relative_to(PACKAGE.parent)}:{line} ({own}, floor {FLOORS[own]}) imports {target} "
                     f"(floor {FLOORS[group(target)]})")
    return wrong


def test_every_module_has_a_floor():
    for name in SOURCES:
        if name:
            group(name)


def test_modules_import_from_floors_below():
    assert not [wrong for name in SOURCES for wrong in wrong_imports(name)]


def test_the_check_sees_a_wrong_import(monkeypatch):
    """An import from above, in each of the ways that it can be written, even inside a function."""
    for text in ("from .network import Network", "from . import network", "from zfnumpy.network import Network",
                 "from zfnumpy import network", "import zfnumpy.network", "def f():\n    from .network import Network",
                 "from .data.transforms import Preprocessing", "from . import data", "from . import Network"):
        monkeypatch.setitem(TREES, "loss", ast.parse(text))
        assert wrong_imports("loss"), text
    monkeypatch.setitem(TREES, "layers.conv", ast.parse("from ..network import Network"))
    assert wrong_imports("layers.conv")
    monkeypatch.setitem(TREES, "layers", ast.parse("from ..network import Network"))
    assert wrong_imports("layers")
    monkeypatch.setitem(TREES, "network", ast.parse("from .checkpoint import save\nfrom .layers import Conv2d"))
    assert [wrong.split(" imports ")[1] for wrong in wrong_imports("network")] == ["checkpoint (floor 3)"]


def test_nothing_imports_in_a_circle():
    """Modules, that is, not packages: what a module needs when it is imported must never need it."""
    needs = {name: {target for _, _, target in imports(name) if target in SOURCES} - {name} for name in SOURCES if name}
    done = set()
    while len(done) < len(needs):
        ready = {name for name, targets in needs.items() if name not in done and targets - {""} <= done}
        # An __init__ hands on names of its own modules, which may name its package for one of their siblings.
        assert ready, {name: sorted(targets - done) for name, targets in needs.items() if name not in done}
        done |= ready


@pytest.mark.parametrize("library", ONLY)
def test_who_may_import_what(library):
    for name in SOURCES:
        for line, top, _ in imports(name):
            if top == library:
                assert {name, group(name)} & ONLY[library], f"{name}:{line} imports {library}; only {ONLY[library]} may"


def test_no_framework_is_imported():
    for name in SOURCES:
        assert not {top for _, top, _ in imports(name)} & FORBIDDEN, name


def test_modules_stay_short():
    lines = {name: len(path.read_text().splitlines()) for name, path in SOURCES.items()}
    assert not {name: count for name, count in lines.items() if count > CAP}, f"modules of more than {CAP} lines"


@pytest.mark.parametrize("name", [name for name, path in SOURCES.items() if path.name == "__init__.py"])
def test_init_files_only_hand_names_on(name):
    defined = {node.name for node in ast.walk(TREES[name]) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert defined <= DEFINES.get(name, set())


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_says_what_it_is(name):
    text = ast.get_docstring(TREES[name])
    assert text, f"{name} has no docstring"
    assert text.splitlines()[0].strip()


def fresh(code):
    """Run code in a fresh process and return what it prints."""
    code = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60,
                          check=False)
    assert not done.returncode, done.stderr
    return done.stdout


HEAVY = ["matplotlib", "numba", "cupy", "PIL", "torch", "safetensors", "tqdm"]


def test_importing_the_package_imports_little():
    code = f"import zfnumpy; zfnumpy.get_ops('numpy'); print([m for m in {HEAVY} if m in sys.modules])"
    assert fresh(code).strip() == "[]"


def test_a_backend_is_imported_only_when_it_is_asked_for():
    code = "import zfnumpy; zfnumpy.get_ops('numpy'); zfnumpy.models; print('numba' in sys.modules)"
    assert fresh(code).split() == ["False"]


def test_everything_behind_the_front_door_is_found():
    for name in zfnumpy.__all__:
        assert getattr(zfnumpy, name) is not None
        assert name in dir(zfnumpy)
    with pytest.raises(AttributeError, match="module 'zfnumpy' has no attribute 'nothing'"):
        _ = zfnumpy.nothing
