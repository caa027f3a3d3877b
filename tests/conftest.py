"""What several test files need."""

import gc
import os
import shutil
from pathlib import Path

import fake_cupy as stand_in
import pytest
from hypothesis import settings

from zfnumpy import get_ops
from zfnumpy.ops.cupy_ops import gpu_answers
from zfnumpy.ops.reference import Ops

# Compiling a kernel takes seconds, so no example has a deadline; every run sees the same examples.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def real_data():
    """The folder of real photographs: $ZFNUMPY_DATA, else ../shared/data beside the repository; skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ZFNUMPY_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"real data absent ({folder}): set ZFNUMPY_DATA")
    return folder


@pytest.fixture(scope="module")
def quick_collections():
    """Spare the module's own collections what was there before it, which in a run of all tests takes them a second each."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


ON_HOST = "cupy (on the host)"
ON_A_GPU = [pytest.param("cupy", marks=pytest.mark.gpu)] if gpu_answers() else []


def cupy_on_the_host():
    """The cupy backend on the stand-in for CuPy, its kernels compiled for the processor; skips without a compiler."""
    if not (os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler to run the cupy backend's kernels on the host: it is not tested here")
    with stand_in.installed():
        return get_ops("cupy")


@pytest.fixture(scope="session", params=["numpy", "numba", ON_HOST, *ON_A_GPU])
def ops(request):
    """The operations of every backend in turn; cupy on the stand-in, and on a GPU where one answers (see test_backends)."""
    return cupy_on_the_host() if request.param == ON_HOST else get_ops(request.param)


@pytest.fixture(scope="session", params=["numpy", "numba"])
def host_ops(request):
    """The operations of every backend that works on NumPy arrays."""
    return get_ops(request.param)


@pytest.fixture
def fake_cupy():
    """The stand-in for CuPy, which is what `import cupy` finds during the test."""
    with stand_in.installed():
        yield stand_in


@pytest.fixture(scope="session")
def reference_on_device():
    """The plain reference on the stand-in's arrays."""
    return Ops(stand_in)


@pytest.fixture(scope="session")
def device_ops():
    """The cupy backend on the stand-in."""
    return cupy_on_the_host()


@pytest.fixture(scope="session", params=[ON_HOST, *ON_A_GPU])
def any_device_ops(request):
    """The cupy backend on the stand-in, and on a GPU where one answers."""
    return cupy_on_the_host() if request.param == ON_HOST else get_ops(request.param)


@pytest.fixture
def gpu_ops():
    """A function that gives the cupy backend on a GPU, with get_ops' settings; skips where none answers."""
    if not gpu_answers():
        pytest.skip("no GPU answers through CuPy: what needs a real one is not tested here")
    return lambda **settings: get_ops("cupy", **settings)
