"""The cupy backend where something is missing, and its settings: one line that says what to do."""

import sys
from types import SimpleNamespace

import pytest

from zfnumpy import get_ops
from zfnumpy.errors import BackendError
from zfnumpy.ops.cupy_ops import gpu_answers

DRIVER_TOO_OLD = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"


def refused(*args, **kwargs):
    """Return the line with which get_ops refuses."""
    with pytest.raises(BackendError) as error:
        get_ops(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def raising(error):
    def call(*_):
        raise error

    return call


@pytest.fixture
def cupy_that_says(monkeypatch):
    """Put a CuPy into place whose parts answer, or raise, what they are given."""
    def install(count=1, driver=12080, runtime=12090, nvrtc=(12, 9), cublas=None):
        def answer(value):
            return raising(value) if isinstance(value, Exception) else lambda: value

        class Cuda:
            @property
            def cublas(self):
                return answer(cublas)()

        cuda = Cuda()
        cuda.runtime = SimpleNamespace(getDeviceCount=answer(count), driverGetVersion=answer(driver),
                                       runtimeGetVersion=answer(runtime))
        cuda.nvrtc = SimpleNamespace(getVersion=answer(nvrtc))
        monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(__version__="14.2.0", cuda=cuda))

    return install


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert refused("cupy") == ("the cupy backend needs CuPy, which is not installed: pip install 'cupy-cuda12x[ctk]' "
                               "(nvidia-smi says CUDA 12) or 'cupy-cuda13x[ctk]' (CUDA 13)")
    assert not gpu_answers()
    assert get_ops("auto").name == "numba"


@pytest.mark.parametrize("error", [ImportError("libcudart.so.12: none\nand\nmuch more"), RuntimeError("libcudart.so.12")])
def test_a_broken_installation(tmp_path, monkeypatch, error):
    (tmp_path / "cupy.py").write_text(f"raise {error!r}")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    line = refused("cupy")
    assert line.startswith("CuPy is here but cannot be imported (libcudart.so.12")
    assert "pip install 'cupy-cuda12x[ctk]'" in line
    assert "much more" not in line
    assert get_ops("auto").name == "numba"


def test_no_driver(cupy_that_says):
    cupy_that_says(count=RuntimeError(DRIVER_TOO_OLD), driver=0)            # CUDA says "insufficient" to none at all
    assert refused("cupy") == ("CuPy 14.2.0 is installed, but there is no NVIDIA driver: install it, until nvidia-smi shows "
                               "the card")


def test_an_old_driver(cupy_that_says):
    cupy_that_says(count=RuntimeError(DRIVER_TOO_OLD), driver=11040)
    assert refused("cupy") == "the NVIDIA driver knows CUDA 11.4, CuPy 14.2.0 needs 12.9: update the driver"
    cupy_that_says(count=RuntimeError(DRIVER_TOO_OLD), driver=12040, runtime=13000)
    assert refused("cupy").endswith("update the driver, or pip uninstall CuPy and pip install 'cupy-cuda12x[ctk]'")


@pytest.mark.parametrize("count", [0, RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\n…")])
def test_no_gpu(cupy_that_says, count):
    cupy_that_says(count=count)
    line = refused("cupy")
    assert line.startswith("CuPy 14.2.0 finds no GPU")
    assert ("cudaErrorNoDevice" in line) == (count != 0)
    assert "nvidia-smi" in line
    assert "CUDA_VISIBLE_DEVICES" in line
    assert get_ops("auto").name == "numba"


@pytest.mark.parametrize(("library", "missing"), [
    ("cuBLAS", {"cublas": ImportError("No such file: libcublasLt.so.12\n")}),
    ("NVRTC", {"nvrtc": RuntimeError("No such file: libnvrtc.so.12\n")})])
def test_a_library_is_missing(cupy_that_says, library, missing):
    cupy_that_says(**missing)
    line = refused("cupy")
    assert f"CUDA's library {library} (No such file: lib" in line
    assert "pip install 'cupy-cuda12x[ctk]', or the CuPy for the CUDA of a PyTorch" in line
    assert refused("auto") == line                                          # a GPU is there: no silent way round it
    cupy_that_says(runtime=13000, **missing)
    assert "pip install 'cupy-cuda13x[ctk]', or" in refused("cupy")


# ---- its settings ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", ["numpy", "numba", "auto"])
def test_other_backends_refuse_a_gpu_s_settings(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "cupy", None)
    line = refused(name, memory="8G", tf32=True)
    assert "memory (--gpu-memory) and tf32 (--tf32) can be set on a GPU only" in line
    assert f"the {'numba' if name == 'auto' else name} backend" in line
    assert refused(name, memory=1).startswith("memory (--gpu-memory) can be")
    assert refused(name, tf32=True).startswith("tf32 (--tf32) can be")


@pytest.fixture
def unbound(fake_cupy):
    """The stand-in for CuPy, its pool without a bound before and after."""
    pool = fake_cupy.get_default_memory_pool()
    pool.set_limit(size=0)
    yield fake_cupy
    pool.set_limit(size=0)


@pytest.mark.parametrize(("memory", "size"), [
    (1 << 20, 2**20), ("512M", 512 * 2**20), ("2G", 2**31), (" 1.5g ", 3 * 2**29), ("64K", 2**16), ("8G", 8 * 2**30)])
def test_memory_is_bounded(unbound, memory, size):
    ops = get_ops("cupy", memory=memory)
    assert unbound.get_default_memory_pool().get_limit() == size
    assert ops.device_memory()[1] == size
    get_ops("cupy")
    assert unbound.get_default_memory_pool().get_limit() == size            # nothing said changes nothing


@pytest.mark.parametrize("memory", ["8", "8T", "G", "-1G", "0G", "1e9", "", 0, -5, 1.5, True])
def test_bounds_that_are_none(unbound, memory):
    assert refused("cupy", memory=memory) == ("a GPU's memory is bounded by a number of bytes or by text as 8G or 512M, "
                                              f"got {memory!r}")
    assert unbound.get_default_memory_pool().get_limit() == 0


def test_a_bound_above_the_card_s_memory(unbound):
    assert refused("cupy", memory="9G") == "the GPU's memory cannot be bounded at 9.0 GiB: Stand-in has 8.0 GiB"


def test_tf32_needs_a_card_that_has_it(unbound, monkeypatch):
    assert get_ops("cupy", tf32=True).tf32
    facts = {**unbound.cuda.runtime.getDeviceProperties(0), "major": 7, "minor": 5}
    monkeypatch.setattr(unbound.cuda.runtime, "getDeviceProperties", lambda device: facts)
    assert refused("cupy", tf32=True) == "TF32 needs compute capability 8.0, and Stand-in has 7.5; leave it out"
    assert not get_ops("cupy").tf32


def test_it_describes_itself(unbound):
    ops = get_ops("cupy", memory="1G", tf32=True)
    ops.release_memory()
    lines = ops.describe().splitlines()
    assert lines[:2] == ["Stand-in", "compute capability 9.0, 4 multiprocessors, matrix products in TF32"]
    assert lines[2].endswith(" GiB free of 8.0 GiB, bounded at 1.0 GiB")
    assert lines[3:] == [f"CuPy {unbound.__version__}, CUDA 12.9, driver for CUDA 13.0"]


def test_memory_is_counted_and_given_back(unbound):
    ops = get_ops("cupy", memory="1G")
    ops.release_memory()
    before, most = ops.device_memory()
    array = ops.xp.zeros(1 << 20, dtype="float32")
    assert ops.device_memory() == (before + array.nbytes, most)
    del array
    assert ops.device_memory()[0] == before + (4 << 20)                     # reserved until it is given back
    ops.release_memory()
    assert ops.device_memory()[0] == before
    assert get_ops("numpy").device_memory() is None
