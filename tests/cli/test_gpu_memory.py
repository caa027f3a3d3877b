"""A training that has no room in a GPU's memory: one line with the batch that has, found by trying."""

import re

import pytest

from zfnumpy.cli import main

pytestmark = pytest.mark.usefixtures("quick_collections")
TRAIN = "train sketches:20 --model tiny_vgg --backend cupy --epochs 1 --out run"
LINE = re.compile(r"zfnumpy train: a step with (\d+) images has no room in the ([\d,]+) MiB of device memory that (.*); "
                  r"the largest that has is --batch-size (\d+)(.*)\n")


@pytest.fixture
def train(fake_cupy, tmp_path, monkeypatch, capsys):
    """Run a training on the stand-in for CuPy with more arguments: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def call(line):
        try:
            code = main(f"{TRAIN} {line}".split())
        finally:
            fake_cupy.get_default_memory_pool().set_limit(size=0)
        return code, *capsys.readouterr()

    return call


@pytest.mark.parametrize("how", ["", "--no-estimate"])
def test_the_batch_that_has_room_is_told_and_has_it(train, how):
    code, _, err = train(f"--batch-size 16 --gpu-memory 5M {how}")
    assert code == 2
    told = LINE.fullmatch(err)
    assert told, err
    assert told.group(1, 2, 3) == ("16", "5", "--gpu-memory 5M allows")
    assert told[5] == (", to go on with --resume run" if how else "")       # a run that began has left its checkpoint
    batch = int(told[4])
    assert 3 < batch < 16
    if how:                                                                 # as the line says
        begun = f"train --resume run --backend cupy --gpu-memory 5M --no-estimate --batch-size {batch}"
        assert main(begun.split()) == 0
    else:
        assert train(f"--gpu-memory 5M --batch-size {batch * 5 // 4}")[0] == 2
        assert train(f"--gpu-memory 5M --batch-size {batch}")[0] == 0


def test_not_one_image_has_room(train):
    code, _, err = train("--batch-size 8 --gpu-memory 1M")
    assert code == 2
    assert err.count("\n") == 1
