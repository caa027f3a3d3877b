"""What several test files need."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data():
    """The folder of real photographs: $ZFNUMPY_DATA, else ../shared/data beside the repository; skips without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ZFNUMPY_DATA") or beside)
    if not folder.is_dir():
        pytest.skip(f"real data absent ({folder}): set ZFNUMPY_DATA")
    return folder
