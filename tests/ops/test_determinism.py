"""The same bits for every number of threads, kernels that are never stale, and backends of one shape."""

import inspect
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import zfnumpy
from zfnumpy import get_ops, models
from zfnumpy.loss import softmax_cross_entropy
from zfnumpy.ops import _numba_jit
from zfnumpy.ops.backend import Backend
from zfnumpy.ops.cupy_ops import CupyOps
from zfnumpy.ops.face import OpsFace
from zfnumpy.ops.numba_ops import NumbaOps
from zfnumpy.ops.reference import Ops
from zfnumpy.optim import SGD
from zfnumpy.shapes import Windows

THREADS = (1, 2, 3, 7)       # kernels split their work by this number, however many cores there are
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])


def numba_ops(threads):
    ops = get_ops("numba", threads=1)
    ops.threads = threads
    return ops


def normal(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def every_result(ops, N, dtype):
    """Return what every operation with a kernel makes of a batch of N, by name: sizes odd, so that no split is even."""
    def a(seed, *shape):
        return normal(seed, *shape, dtype=dtype)

    x, weight, bias = a(0, N, 6, 23, 19), a(1, 26, 3, 3, 3), a(2, 26)
    wide = {"stride": (1, 2), "pad": 1, "groups": 2}
    y = ops.conv2d(x, weight, bias, **wide)
    pooled, switches = ops.max_pool2d(x, 3, 2, 1)
    rows, features, dy = a(3, N, 301), a(4, 67, 301), a(5, N, 67)
    results = {
        "im2col": ops.im2col(x, 3, 2, 1), "col2im": ops.col2im(a(6, N, 54, 120), x.shape, 3, 2, 1),
        "conv2d": y, "conv2d relu": ops.conv2d(x, weight, bias, **wide, relu=True),
        "conv2d_input_grad": ops.conv2d_input_grad(y, weight, x.shape, **wide),
        "conv2d_weight_grad": ops.conv2d_weight_grad(y, x, weight.shape, **wide),
        "deep conv2d": ops.conv2d(a(7, N, 45, 9, 9), a(8, 40, 45, 3, 3), pad=1),
        "deep conv2d_input_grad": ops.conv2d_input_grad(a(9, N, 300, 5, 5), a(10, 300, 40, 3, 3), (N, 40, 7, 7)),
        "deep conv2d_weight_grad": ops.conv2d_weight_grad(a(9, N, 300, 5, 5), a(11, N, 40, 7, 7), (300, 40, 3, 3)),
        "tiled conv2d": ops.conv2d(a(22, N + 3, 66, 13, 13), a(23, 70, 66, 3, 3), a(24, 70), pad=1, relu=True),
        "tiled conv2d_input_grad": ops.conv2d_input_grad(a(25, N + 3, 70, 13, 13), a(23, 70, 66, 3, 3),
                                                         (N + 3, 66, 13, 13), pad=1),
        "tiled conv2d_weight_grad": ops.conv2d_weight_grad(a(25, N + 3, 70, 13, 13), a(22, N + 3, 66, 13, 13),
                                                           (70, 66, 3, 3), pad=1),
        "unpooled conv2d_weight_grad": ops.conv2d_weight_grad_unpooled(pooled[:, :5], switches[:, :5] % 120,
                                                                       a(26, N, 3, 23, 21), (5, 3, 3, 4), 2, 1),
        "conv_transpose2d": ops.conv_transpose2d(a(12, N, 5, 7, 7), a(13, 5, 7, 3, 3), a(14, 7), 2, 1, 1),
        "bias_grad": ops.bias_grad(y), "linear": ops.linear(rows, features, a(15, 67)),
        "linear_input_grad": ops.linear_input_grad(dy, features), "linear_weight_grad": ops.linear_weight_grad(dy, rows),
        "max_pool2d": pooled, "switches": switches, "max_unpool2d": ops.max_unpool2d(pooled, switches, x.shape, 3, 2, 1),
        "avg_pool2d": ops.avg_pool2d(x, 3, 2, 1), "avg_pool2d_grad": ops.avg_pool2d_grad(pooled, x.shape, 3, 2, 1),
        "relu": ops.relu(x), "relu_backward": ops.relu_backward(x, ops.relu(-x), "guided"),
        "local_response_norm": ops.local_response_norm(x, 5, 0.1, 0.75, 2),
        "local_response_norm_grad": ops.local_response_norm_grad(x[::-1], x, 4, 0.1, 0.6, 2),
    }
    pooled_at = Windows(np.arange(7) % N, np.arange(-1, 13).reshape(7, 2), (3, 2), switches.shape[2:])
    above = pooled_at.under((3, 3), (2, 2), (1, 1), x.shape[2:])
    below, r, moved = above.under((5, 3), (2, 1), (0, 1), (49, 19)), a(19, 7, 6, 3, 2), {"stride": (2, 1), "pad": (0, 1)}
    unpool = (switches, pooled_at, None)
    results |= {
        "cut_windows": ops.cut_windows(x, above),
        "patch_windows": ops.patch_windows(x, a(27, 7, x.shape[1], 4, 3), above._replace(size=(4, 3)), above, -1.0),
        "unpool_windows": ops.unpool_windows(r, switches, pooled_at, above),
        "transpose_windows": ops.transpose_windows(a(20, 7, 26, *above.size), a(1, 26, 31, 5, 3), above, below, **moved),
        "unpooled": ops.transpose_windows(r, a(21, 6, 35, 5, 3), above, below, **moved, groups=2, rectify=True,
                                          unpool=unpool),
    }
    w, velocity, grad = a(16, 31, 7, 3), a(17, 31, 7, 3), a(18, 31, 7, 3)
    ops.sgd_update(w, velocity, grad, 0.013, 0.9, 5e-4)
    results |= {"sgd_update": w.copy(), "velocity": velocity}
    ops.renormalize_filters(w, 0.5)
    return results | {"renormalize_filters": w}


@dtypes
@pytest.mark.parametrize("N", [1, 5])
def test_every_operation_has_the_same_bits_for_any_number_of_threads(dtype, N):
    one = every_result(numba_ops(1), N, dtype)
    for threads in THREADS[1:]:
        for name, result in every_result(numba_ops(threads), N, dtype).items():
            np.testing.assert_array_equal(result, one[name], err_msg=f"{name}, {threads} threads")
    again = every_result(numba_ops(1), N, dtype)
    for name, result in again.items():
        np.testing.assert_array_equal(result, one[name], err_msg=f"{name}, a second time")


@dtypes
def test_the_same_bits_wherever_the_arrays_lie(dtype):
    """Compiled loops have versions for arrays that are near one another and for arrays that are not; they must agree."""
    ops, rng, seen, kept = numba_ops(2), np.random.default_rng(0), {}, []
    x, dy = normal(1, 2, 5, 16, 16, dtype=dtype), normal(2, 2, 5, 16, 16, dtype=dtype)
    weight, rows = normal(3, 4, 5, 3, 3, dtype=dtype), normal(4, 3, 1280, dtype=dtype)
    for _ in range(150):
        here = [x.copy(), dy.copy(), weight.copy(), rows.copy()]
        a, b, w, r = here
        ops.sgd_update(here[0], here[1], x, 0.01, 0.9, 5e-4)
        results = [ops.local_response_norm(a, 5, 0.1), ops.local_response_norm_grad(b, a, 5, 0.1),
                   ops.local_response_norm_grad(b, a, 5, 0.1, 0.6), ops.conv2d(a, w, pad=1, relu=True),
                   ops.conv2d_weight_grad(b[:, :4], a, w.shape, pad=1), ops.conv2d_input_grad(b[:, :4], w, a.shape, pad=1),
                   ops.linear(r, a.reshape(2, 1280)), ops.avg_pool2d(a, 3, 2, 1), ops.bias_grad(b), a, b]
        for i, result in enumerate(results):
            assert result.tobytes() == seen.setdefault(i, result.tobytes()), f"result {i} has other bits in other places"
        kept += [*here, *results, np.empty(rng.integers(1, 20000))]


def test_the_number_of_threads_is_bounded_by_the_machine():
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    assert get_ops("numba", threads=1).threads == 1
    assert get_ops("numba", threads=10 ** 6).threads == most
    assert 1 <= get_ops("numba").threads <= most


def trained(ops, steps=3):
    """Return weights and the last loss after some steps of a small network with dropout."""
    net = models.zfnet_mini(4, ops, seed=3, conv=(9, 13, 11, 10, 9), fc=(37, 21))
    opt = SGD(net, 0.02, 0.9, 5e-4, max_filter_rms=0.1)
    for step in range(steps):
        scores, tape = net.forward(normal(step, 5, 3, 64, 64), train=True)
        loss, dscores = softmax_cross_entropy(scores, np.arange(5) % 4)
        opt.step(net.backward(dscores, tape))
    return net.params, loss


def test_training_has_the_same_bits_for_any_number_of_threads():
    params, loss = trained(numba_ops(1))
    for threads in THREADS[1:]:
        others, other_loss = trained(numba_ops(threads))
        assert other_loss == loss
        for name, w in params.items():
            np.testing.assert_array_equal(others[name], w, err_msg=f"{name}, {threads} threads")


def test_training_on_numba_is_training_on_the_reference():
    params, loss = trained(get_ops("numba"))
    others, other_loss = trained(get_ops("numpy"))
    assert loss == pytest.approx(other_loss, rel=1e-5)
    for name, w in params.items():
        assert np.abs(w - others[name]).max() < 1e-5 * np.abs(w).max(), name


def test_two_tapes_live_at_once(host_ops):
    net = models.zfnet_mini(4, host_ops, seed=3, conv=(5, 6, 7, 6, 5), fc=(11,))
    x, other = normal(0, 2, 3, 64, 64), normal(1, 3, 3, 64, 64)
    dscores, other_dscores = normal(2, 2, 4), normal(3, 3, 4)

    def grads_alone(x, dscores):
        scores, tape = net.forward(x)
        return scores, net.backward(dscores, tape)

    (alone, grads), (other_alone, other_grads) = grads_alone(x, dscores), grads_alone(other, other_dscores)
    scores, tape = net.forward(x)
    other_scores, other_tape = net.forward(other)
    net.scores(normal(4, 4, 3, 64, 64))
    first, second = net.backward(dscores, tape), net.backward(other_dscores, other_tape)
    np.testing.assert_array_equal(scores, alone)
    np.testing.assert_array_equal(other_scores, other_alone)
    for name in net.params:
        np.testing.assert_array_equal(first[name], grads[name])
        np.testing.assert_array_equal(second[name], other_grads[name])
    for name, again in net.backward(dscores, tape).items():                 # a tape is not used up
        np.testing.assert_array_equal(again, first[name])


TWO_THREADS = """
import threading
import numpy as np
from zfnumpy import get_ops

rng = np.random.default_rng(0)
x, w = rng.standard_normal((2, 8, 20, 20), np.float32), rng.standard_normal((16, 8, 3, 3), np.float32)
ops = get_ops("numba")
expected, wrong = ops.conv2d(x, w, pad=1), []

def work():
    mine = get_ops("numba")
    for _ in range(60):
        y = mine.conv2d(x, w, pad=1)
        if not np.array_equal(y, expected) or not np.array_equal(mine.relu(y), np.maximum(expected, 0)):
            wrong.append(1)

threads = [threading.Thread(target=work) for _ in range(3)]
for t in threads: t.start()
for t in threads: t.join()
import numba
print(numba.threading_layer(), len(wrong))
"""


def python(code, **environment):
    root = str(Path(zfnumpy.__file__).parents[1])
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "PYTHONPATH": root, **environment})


def test_two_python_threads_may_run_kernels_at_once():
    """On the threading layer that aborts the process when two parallel kernels start together, were it not guarded."""
    done = python(TWO_THREADS, NUMBA_THREADING_LAYER="workqueue", NUMBA_NUM_THREADS="2")
    assert (done.returncode, done.stdout.split()) == (0, ["workqueue", "0"]), done.stderr[-500:]


def test_an_interrupted_kernel_leaves_the_guard_open(monkeypatch):
    ops = get_ops("numba")

    def interrupted(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ops._run(interrupted)
    done = []
    thread = threading.Thread(target=lambda: done.append(ops.relu(np.ones(3))), daemon=True)
    thread.start()
    thread.join(20)
    assert done


# ---- the cache of compiled kernels ----------------------------------------------------------------------------------

def kernel_folder(monkeypatch, sources):
    monkeypatch.setattr(_numba_jit, "__file__", str(sources / "_numba_jit.py"))
    return _numba_jit.kernel_cache.__wrapped__()


def test_an_edit_of_any_kernel_source_moves_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ZFNUMPY_CACHE", str(tmp_path / "cache"))
    here = Path(_numba_jit.__file__).parent
    copy = shutil.copytree(here, tmp_path / "ops", ignore=shutil.ignore_patterns("__pycache__"))
    before = kernel_folder(monkeypatch, here)
    assert kernel_folder(monkeypatch, copy) == before
    seen = {before}
    sources = sorted(copy.glob("_numba_*.py"))
    assert len(sources) >= 4
    for path in sources:
        text = path.read_text()
        path.write_text(text + "\n# edited\n")
        seen.add(kernel_folder(monkeypatch, copy))
        path.write_text(text)
    assert len(seen) == 1 + len(sources)
    assert kernel_folder(monkeypatch, copy) == before


def test_every_kernel_stands_where_its_edits_are_seen():
    """A jit function in a file that the cache's name does not cover could be stale."""
    ops = Path(_numba_jit.__file__).parent
    for path in ops.rglob("*.py"):
        if not path.name.startswith("_numba_"):
            text = path.read_text()
            assert "njit" not in text, path
            assert "import kernel" not in text, path


def test_the_cache_lies_in_the_user_s_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(_numba_jit.config, "CACHE_DIR", "")
    monkeypatch.setenv("ZFNUMPY_CACHE", str(tmp_path))
    assert _numba_jit.kernel_cache.__wrapped__().parent == tmp_path / "kernels"
    monkeypatch.setattr(_numba_jit.config, "CACHE_DIR", str(tmp_path / "numba"))
    assert _numba_jit.kernel_cache.__wrapped__().parent == tmp_path / "numba"


def test_a_cache_that_cannot_be_written_is_made_elsewhere(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(_numba_jit.config, "CACHE_DIR", "")
    monkeypatch.setenv("ZFNUMPY_CACHE", str(tmp_path / "file" / "cache"))         # under a file: not even root can
    folder = _numba_jit.kernel_cache.__wrapped__()
    assert folder.is_dir()
    assert tmp_path not in folder.parents


# ---- one face -------------------------------------------------------------------------------------------------------

def public_methods(cls):
    return {name: f for name, f in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("backend", [Ops, NumbaOps, CupyOps])
def test_backends_have_one_face(backend):
    face = public_methods(OpsFace)
    assert len(face) > 20
    assert set(public_methods(backend)) == set(face)
    for name, method in public_methods(backend).items():
        assert inspect.signature(method) == inspect.signature(face[name]), name


@pytest.mark.parametrize("backend", [Ops, NumbaOps, CupyOps])
def test_backends_override_only_what_stands_behind_the_face(backend):
    """The checks of arguments are therefore the same everywhere; arrays and device are each backend's own."""
    for cls in backend.__mro__[:-3]:                       # all but OpsFace, Backend and object
        own = {name for name, value in vars(cls).items() if inspect.isfunction(value) and not name.startswith("_")}
        assert own <= set(public_methods(Backend)), cls


def test_the_reference_is_complete():
    """Every underscore method that the face calls is there in NumPy, with a signature that the backends keep."""
    source = inspect.getsource(OpsFace)
    behind = {word.split("(")[0] for word in source.split("self._")[1:]}
    assert len(behind) > 18
    for name in sorted(behind):
        method = getattr(Ops, f"_{name}")
        for backend in (NumbaOps, CupyOps):
            assert inspect.signature(getattr(backend, f"_{name}")) == inspect.signature(method), name


def test_every_public_operation_says_what_it_does():
    for name, method in public_methods(OpsFace).items():
        assert method.__doc__, name
