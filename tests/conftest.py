"""What several test files need."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from zfnumpy import get_ops
from zfnumpy.ops.cupy_ops import gpu_answers

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


BACKENDS = ["numpy", "numba", *([pytest.param("cupy", marks=pytest.mark.gpu)] if gpu_answers() else [])]


@pytest.fixture(scope="session", params=BACKENDS)
def ops(request):
    """The operations of every backend in turn; cupy where a GPU answers (test_backends says so where none does)."""
    return get_ops(request.param)


@pytest.fixture(scope="session", params=["numpy", "numba"])
def host_ops(request):
    """The operations of every backend that works on NumPy arrays."""
    return get_ops(request.param)
