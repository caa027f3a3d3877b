"""Files that are written whole or not at all, and folders that cannot be written to."""

import csv
import errno
import json
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zfnumpy.errors import ZFNumpyError
from zfnumpy.paths import cache_folder, free_bytes, save_result, save_rows, writable_folder, written_whole


def test_a_file_appears_when_its_block_ends(tmp_path):
    target = tmp_path / "deep" / "er" / "result.json"
    with written_whole(target) as path:
        assert path.parent == target.parent
        assert path.suffix == ".json"
        path.write_text(json.dumps([1]))
        assert not target.exists()
    assert json.loads(target.read_text()) == [1]
    assert os.listdir(target.parent) == ["result.json"]


def test_an_old_file_is_replaced_only_then(tmp_path):
    target = tmp_path / "weights.bin"
    target.write_text("old")
    with written_whole(str(target)) as path:
        path.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)], ids=lambda e: type(e).__name__)
def test_a_block_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, error):
    target = tmp_path / "weights.bin"
    target.write_text("old")

    def write():
        with written_whole(target) as path:
            path.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["weights.bin"]


def test_a_full_disk_is_one_line(tmp_path):
    target = tmp_path / "weights.bin"
    with pytest.raises(ZFNumpyError, match=r"cannot write .*weights\.bin: No space left on device") as error, \
            written_whole(target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == []


def test_a_file_that_cannot_be_renamed_into_place_is_one_line(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(ZFNumpyError, match=r"cannot write .*taken: Is a directory"), written_whole(tmp_path / "taken"):
        pass
    assert os.listdir(tmp_path) == ["taken"]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_permissions_are_those_of_any_new_file(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "a") as path:
            path.write_text("")
        assert os.umask(umask) == umask                      # asking for the mask has not changed it
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode


def unwritable(tmp_path):
    """Return a folder in which not even root can write: it lies under a file."""
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "folder"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    folder = unwritable(tmp_path)
    with pytest.raises(ZFNumpyError, match=r"cannot write to the folder .*folder: Not a directory; choose another") as error:
        writable_folder(folder)
    assert "\n" not in str(error.value)
    with pytest.raises(ZFNumpyError, match=r"cannot write .*x\.json: Not a directory") as error, \
            written_whole(folder / "x.json"):
        pytest.fail("the block must not run")
    assert "\n" not in str(error.value)
    with pytest.raises(ZFNumpyError, match=r"cannot write to the folder .*file: File exists"):
        writable_folder(tmp_path / "file")


def test_a_writable_folder_is_made_and_left_empty(tmp_path):
    folder = writable_folder(str(tmp_path / "a" / "b"))
    assert isinstance(folder, Path)
    assert folder.is_dir()
    assert os.listdir(folder) == []
    assert writable_folder(folder) == folder


def test_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ZFNUMPY_CACHE", str(tmp_path / "mine"))
    assert cache_folder("kernels", "x") == tmp_path / "mine" / "kernels" / "x"
    assert not (tmp_path / "mine").exists()
    monkeypatch.setenv("ZFNUMPY_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "zfnumpy"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder("sketches") == tmp_path / ".cache" / "zfnumpy" / "sketches"


def test_free_bytes_of_a_folder_that_does_not_exist_yet(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: asked.append(path) or SimpleNamespace(free=5))
    assert free_bytes(tmp_path / "not" / "yet") == 5
    assert asked == [tmp_path]


def test_a_result_is_its_arrays_and_what_is_told_of_them(tmp_path):
    about = {"layer": "conv1", "count": np.int64(3), "of": np.float32(0.5), "list": np.arange(2), "name": "Ænima"}
    arrays, text = save_result(tmp_path / "new", "found", {"a": np.eye(2), "nothing": None}, about)
    with np.load(arrays) as file:
        assert file.files == ["a"]
        assert (file["a"] == np.eye(2)).all()
    assert json.loads(text.read_text(encoding="utf-8")) == {"layer": "conv1", "count": 3, "of": 0.5, "list": [0, 1],
                                                            "name": "Ænima"}
    with pytest.raises(TypeError, match="JSON holds no set"):
        save_result(tmp_path, "found", {}, {"a": set()})
    assert json.loads((tmp_path / "new" / "found.json").read_text(encoding="utf-8"))["count"] == 3


def test_names_that_are_no_text_come_back_from_json_and_csv(tmp_path):
    name = "caf\udce9 ☕"
    _, path = save_result(tmp_path, "found", {"a": np.zeros(2)}, {"picture": name})
    assert json.loads(path.read_text(encoding="utf-8")) == {"picture": name}
    save_rows(tmp_path / "rows.csv", [{"class": name, "hits": 1.5}, {"class": "b", "hits": None}])
    with open(tmp_path / "rows.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert list(csv.DictReader(file)) == [{"class": name, "hits": "1.5"}, {"class": "b", "hits": ""}]
