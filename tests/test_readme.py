"""The README's Python runs as it stands, one block after another."""

import re
from pathlib import Path

import numpy as np
import pytest

import zfnumpy

README = Path(zfnumpy.__file__).parents[1] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="the README is not beside an installed package")
def test_the_readme_s_python_runs(capsys):
    scope = {}
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        exec(compile(block, "README.md", "exec"), scope)
    assert len(blocks) == 2
    assert scope["r"].shape == (1, 3, 64, 64)
    assert scope["many"].shape == (3, 3, 64, 64)
    assert np.isfinite(scope["scores"]).all()
    assert "parameters" in capsys.readouterr().out
