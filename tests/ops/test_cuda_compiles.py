"""Every CUDA kernel compiles for the cards there are, without a warning, and its registers suffice; no GPU is needed.

Compiled as CuPy does it, by NVRTC (pip install nvidia-cuda-nvrtc-cu12, or CUDA's own), else by nvcc.
"""

import ctypes
import ctypes.util
import importlib.util
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from zfnumpy.ops import _cuda

SPARED = 24          # bytes of spilled registers that pass
CARDS = {"float32": (70, 75, 80, 86, 89, 90),     # compute capabilities, from V100 to H100; the sources tell apart only
         "float64": (70, 80, 90)}                 # those below and from 80, and that in float32
COMBINATIONS = [(dtype, card) for dtype, cards in CARDS.items() for card in cards]
SOURCES = sorted(path.stem for path in Path(_cuda.__file__).parent.glob("cuda/*.cu"))


class Nvrtc:
    """CUDA's runtime compiler, by ctypes."""

    def __init__(self, path):
        self.library, self.name = ctypes.CDLL(str(path)), f"NVRTC ({Path(path).name})"
        count = ctypes.c_int()
        self._call("GetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("GetSupportedArchs", found)
        self.cards = set(found)

    def compile(self, text, options, card):
        """Compile for a card: (whether it went well, what was said)."""
        program, flags = ctypes.c_void_p(), [*options, f"-arch=sm_{card}"]
        self._call("CreateProgram", ctypes.byref(program), text.encode(), b"kernels.cu", 0, None, None)
        try:
            failed = self.library.nvrtcCompileProgram(program, len(flags),
                                                      (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags)))
            size = ctypes.c_size_t()
            self._call("GetProgramLogSize", program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            self._call("GetProgramLog", program, log)
        finally:
            self._call("DestroyProgram", ctypes.byref(program))
        return not failed, log.value.decode()

    def _call(self, name, *args):
        status = getattr(self.library, f"nvrtc{name}")(*args)
        assert not status, f"nvrtc{name} answers {status}"


class Nvcc:
    """CUDA's compiler, as a program."""

    def __init__(self, path):
        self.path, self.name = path, path
        known = subprocess.run([path, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout
        self.cards = {int(card) for card in re.findall(r"sm_(\d+)\b", known)}

    def compile(self, text, options, card):
        command = [self.path, "-x", "cu", "-", "-cubin", "-o", "/dev/null", f"-arch=sm_{card}", *options]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        return done.returncode == 0, done.stderr


@cache
def compilers():
    """Return the compilers that are installed, that of CuPy first."""
    spec = importlib.util.find_spec("nvidia")
    wheels = [path for folder in (spec.submodule_search_locations if spec else ())
              for path in sorted(Path(folder).glob("*/lib/libnvrtc.so.*"))]
    nvrtc = next(iter(wheels), None) or ctypes.util.find_library("nvrtc")
    nvcc = shutil.which("nvcc")
    return [*([Nvrtc(nvrtc)] if nvrtc else []), *([Nvcc(nvcc)] if nvcc else [])]


@cache
def compiled(text, dtype, card):
    """Compile text for a card as CuPy would: (whether it went well, warnings and errors, {kernel: its use of memory})."""
    if not compilers():
        pytest.skip("neither NVRTC nor nvcc is installed: pip install nvidia-cuda-nvrtc-cu12")
    able = next((compiler for compiler in compilers() if card in compiler.cards), None)
    if able is None:
        pytest.skip(f"{' and '.join(compiler.name for compiler in compilers())} cannot compile for sm_{card}")
    options = (*_cuda.options(dtype), "-ftz=true", "-Xptxas=-v")                         # -ftz is CuPy's own
    well, said = able.compile(text, options, card)
    memory = dict(re.findall(r"Function properties for (\w+)\s+(?:ptxas\s+\.\s+)?(\d+ bytes stack frame.*)", said))
    told = [line for line in said.splitlines() if line.strip() and not re.search(
        r"^ptxas info|bytes stack frame|Architectures prior to .* are deprecated", line)]
    return well, "\n".join(told), memory


@cache
def everywhere(file):
    """Begin to compile a file of kernels for every card, on all cores: {(dtype, card): future of what `compiled` gives}."""
    pool = ThreadPoolExecutor(os.cpu_count())
    found = {(dtype, card): pool.submit(compiled, _cuda.source(file), dtype, card) for dtype, card in COMBINATIONS}
    pool.shutdown(wait=False)
    return found


def test_every_file_of_kernels_is_listed():
    assert sorted(_cuda.FILES) == sorted(SOURCES)


@pytest.mark.parametrize(("dtype", "card"), COMBINATIONS)
@pytest.mark.parametrize("file", SOURCES)
def test_it_compiles_without_a_word(file, dtype, card):
    well, said, _ = everywhere(file)[dtype, card].result()
    assert not said
    assert well


def in_memory(memory):
    """Return those kernels of `compiled` that keep in the card's memory what belongs into registers.

    A few registers, which ptxas saves around a loop of hundreds of instructions to let two blocks share a multiprocessor,
    cost nothing beside it.
    """
    return {name: text for name, text in memory.items() if max(map(int, re.findall(r"\d+", text))) > SPARED}


@pytest.mark.parametrize("card", [80, 90])
@pytest.mark.parametrize("file", SOURCES)
def test_registers_suffice(file, card):
    _, _, memory = everywhere(file)["float32", card].result()
    assert len(memory) >= _cuda.source(file).count('extern "C" __global__'), "ptxas tells of every kernel"
    assert not in_memory(memory)


BROKEN = {
    "an error": "__global__ void kernel(REAL *x) { x[0] = y; }",
    "a warning": "__global__ void kernel(REAL *x) { int unused; x[0] = 1; }",
    "the wrong type": '__global__ void kernel(REAL *x) { static_assert(sizeof(REAL) == 2, "half"); }',
}


@pytest.mark.parametrize("kind", BROKEN)
def test_the_check_sees(kind):
    well, said, _ = compiled('extern "C" ' + BROKEN[kind], "float32", 80)
    assert well == (kind == "a warning")
    assert said


def test_the_check_sees_arrays_in_memory():
    """Numbers that are chosen by an index out of the data have no register."""
    well, _, memory = compiled("""extern "C" __global__ void kernel(REAL *x, const int *at) {
        REAL a[100];
        for (int i = 0; i < 100; i++) a[i] = x[i] * i;
        for (int i = 0; i < 1000; i++) a[at[i]] += a[at[i + 1]];
        x[0] = a[at[0]];
    }""", "float32", 80)
    assert well
    assert list(in_memory(memory)) == ["kernel"]
