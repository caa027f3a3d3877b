"""Weight files: everything comes back, nothing is half-written, and every bad file is refused in one line."""

import json
import os
import sys

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from zfnumpy import checkpoint, get_ops, models
from zfnumpy.data import Preprocessing
from zfnumpy.errors import CheckpointError, ZFNumpyError
from zfnumpy.layers import (
    AvgPool2d,
    Concatenate,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    ReLU,
)
from zfnumpy.network import Network
from zfnumpy.optim import SGD

NUMPY = get_ops("numpy")


def everything():
    """A graph with every kind of layer, branches, and settings that are not the defaults."""
    return [("conv1", Conv2d(4, (3, 2), stride=(2, 1), pad=(1, 0), groups=2)), ("relu1", ReLU()),
            ("norm1", LocalResponseNorm(3, alpha=0.5, beta=0.6, k=1.5)),
            ("left", Conv2d(2, 1), "norm1"), ("relu_l", ReLU()), ("right", MaxPool2d(3, 1, 1), "norm1"),
            ("both", Concatenate(), ("right", "relu_l", "right")), ("pool", MaxPool2d((2, 3), 2, ceil_mode=True)),
            ("avg", AvgPool2d(2, 1)), ("flatten", Flatten()), ("fc", Linear(5)), ("relu", ReLU()), ("drop", Dropout(0.3)),
            ("scores", Linear(3))]


def built(dtype="float32", seed=1, **settings):
    net = Network(everything(), (2, 9, 10), NUMPY, seed=seed, dtype=dtype, init="paper", name="own", **settings)
    rng = np.random.default_rng(seed)
    for w in net.params.values():
        w[...] = rng.standard_normal(w.shape)
    return net


def images(dtype="float32"):
    return np.random.default_rng(0).standard_normal((4, 2, 9, 10)).astype(dtype)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


# ---- there and back -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_network_of_one_s_own_comes_back_without_its_code(host_ops, path, dtype):
    net, x = built(dtype), images(dtype)
    net.forward(x, train=True)                                       # so that its generator is not at the start
    net.freeze(["conv1", "fc"])
    checkpoint.save(path, net)
    again = checkpoint.load(path, ops=host_ops)
    assert again.ops is host_ops
    assert (again.name, again.init, again.dtype, again.input_shape) == ("own", "paper", np.dtype(dtype), (2, 9, 10))
    assert [(n, type(layer), layer.describe(), inputs) for n, layer, inputs in again.nodes.values()] == \
        [(n, type(layer), layer.describe(), inputs) for n, layer, inputs in net.nodes.values()]
    assert again.shapes == net.shapes
    assert again.frozen == net.frozen
    for name, w in net.params.items():
        assert again.params[name].tobytes() == w.tobytes()
        assert again.params[name].dtype == dtype
    np.testing.assert_allclose(again.scores(x), net.scores(x), rtol=1e-4 if dtype == "float32" else 1e-12)
    np.testing.assert_array_equal(again.forward(x, train=True)[0] == 0, net.forward(x, train=True)[0] == 0)


def test_training_goes_on_with_the_same_dropout(path):
    net, x = built(), images()
    checkpoint.save(path, net)
    expected = [net.forward(x, train=True)[0] for _ in range(3)]
    again = checkpoint.load(path, ops=NUMPY)
    for each in expected:
        assert again.forward(x, train=True)[0].tobytes() == each.tobytes()


def test_saving_changes_nothing(path):
    net = built()
    state, before = net.rng.bit_generator.state, {name: w.copy() for name, w in net.params.items()}
    checkpoint.save(path, net)
    assert net.rng.bit_generator.state == state
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, before[name])


@pytest.mark.parametrize("mean", [[120.5, 110.25, 90], np.random.default_rng(0).uniform(0, 255, (3, 12, 12))],
                         ids=["colour", "mean image"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_preprocessing_and_class_names(path, mean, order):
    net = built(preprocessing=Preprocessing(12, 9, mean, 1 / 128, order), classes=("tree", "Straße", "猫"))
    checkpoint.save(path, net)
    again = checkpoint.load(path, ops=NUMPY)
    assert again.preprocessing == net.preprocessing
    assert list(again.classes) == ["tree", "Straße", "猫"]
    picture = np.random.default_rng(1).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(again.prepare([picture]), net.prepare([picture]))


def test_no_preprocessing_and_no_class_names(path):
    checkpoint.save(path, built())
    again = checkpoint.load(path, ops=NUMPY)
    assert again.preprocessing is None
    assert again.classes is None


def test_the_optimizer_and_what_else_is_given(path):
    net = built()
    opt = SGD(net)
    for i, v in enumerate(opt.velocity.values()):
        v[...] = i + 0.5
    checkpoint.save(path, net, opt, progress={"epoch": 3, "history": [{"loss": 0.5}]}, about=None)
    found = checkpoint.read(path)
    assert found.extra == {"progress": {"epoch": 3, "history": [{"loss": 0.5}]}, "about": None}
    again = checkpoint.rebuild(found, NUMPY)
    other = SGD(again)
    other.restore(found.velocity)
    for name, v in opt.velocity.items():
        np.testing.assert_array_equal(other.velocity[name], v)
    assert list(again.params) == list(net.params)
    checkpoint.save(path, net)
    assert checkpoint.read(path).velocity == {}


def test_the_file_is_plain_safetensors_with_the_promised_names(path):
    net = built(preprocessing=Preprocessing(9, 9, np.ones((3, 9, 9))))
    checkpoint.save(path, net, SGD(net))
    arrays = load_file(path)
    names = [f"{node}.{kind}" for node in ("conv1", "left", "fc", "scores") for kind in ("weight", "bias")]
    assert set(arrays) == {*names, *(f"velocity/{name}" for name in names), "preprocessing.mean"}
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["zfnumpy"])
    assert about["format"] == 1
    assert about["nodes"][0] == {"name": "conv1", "layer": "Conv2d", "inputs": ["input"],
                                 "settings": {"filters": 4, "size": [3, 2], "stride": [2, 1], "pad": [1, 0], "groups": 2}}


def test_settings_of_numpy_s_types_are_saved(path):
    n = np.int64
    net = Network([("conv", Conv2d(n(2), n(3), n(1), n(1), n(1))), ("norm", LocalResponseNorm(n(3), np.float32(0.5))),
                   ("gap", GlobalAvgPool()), ("drop", Dropout(np.float32(0.5))), ("fc", Linear(n(3)))], (1, n(5), 5), NUMPY)
    checkpoint.save(path, net)
    assert checkpoint.load(path, NUMPY).shapes == net.shapes


def test_the_default_backend_is_auto(path):
    checkpoint.save(path, built())
    assert checkpoint.load(path).ops.name == get_ops("auto").name


def test_a_checkpoint_of_a_model_is_its_weights_file_too(path):
    net = models.tiny_vgg(4, NUMPY, seed=5)
    checkpoint.save(path, net, SGD(net))
    again = models.tiny_vgg(4, NUMPY, seed=6, weights=path)
    for name, w in net.params.items():
        np.testing.assert_array_equal(again.params[name], w)


# ---- whole or not at all --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "interrupted"])
def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch, error):
    net = built()
    checkpoint.save(path, net)
    before = path.read_bytes()

    def failing(arrays, target, metadata):
        save_file(arrays, target, metadata)
        with open(target, "r+b") as file:
            file.truncate(100)
        raise error

    monkeypatch.setattr(checkpoint, "save_file", failing)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ZFNumpyError):
        checkpoint.save(path, built(seed=2))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits are set as on Linux")
def test_a_disk_that_fills_up_is_one_line(path):
    """A real one, as far as a process can have one: the system refuses to let any file grow past a limit."""
    import resource

    checkpoint.save(path, built())
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ZFNumpyError, match=r"cannot write .*net.safetensors") as error:
            checkpoint.save(path, built(seed=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ZFNumpyError, match=r"cannot write .*net.safetensors: "):
        checkpoint.save(tmp_path / "file" / "net.safetensors", built())


# ---- what is refused ------------------------------------------------------------------------------------------------

def refused(path, match, ask=lambda path: checkpoint.load(path, NUMPY)):
    """Expect a CheckpointError of one line that names the file, by match."""
    with pytest.raises(CheckpointError, match=match) as error:
        ask(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def weights_into_vgg(path):
    return models.tiny_vgg(4, NUMPY, weights=path)


@pytest.mark.parametrize("ask", [lambda path: checkpoint.load(path, NUMPY), weights_into_vgg], ids=["load", "weights="])
@pytest.mark.parametrize("content", [b"", b"abc", b"a text\nof two lines\n" * 50, (9).to_bytes(8, "little") + b"{\"a\": nul",
                                     (2 ** 62).to_bytes(8, "little") + b"{}"],
                         ids=["empty", "short", "text", "json", "huge"])
def test_files_that_are_no_safetensors(path, content, ask):
    path.write_bytes(content)
    refused(path, "is truncated or not a ", ask)


@pytest.mark.parametrize("ask", [lambda path: checkpoint.load(path, NUMPY), weights_into_vgg], ids=["load", "weights="])
def test_a_truncated_file(path, ask):
    checkpoint.save(path, built())
    whole = path.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2, 200, 8, 7):
        path.write_bytes(whole[:size])
        refused(path, "is truncated or not a ", ask)


@pytest.mark.parametrize("ask", [lambda path: checkpoint.load(path, NUMPY), weights_into_vgg], ids=["load", "weights="])
def test_files_that_are_not_there(tmp_path, ask):
    refused(tmp_path / "none.safetensors", r"there is no (checkpoint|weight file) .*none.safetensors", ask)
    folder = tmp_path / "folder.safetensors"
    folder.mkdir()
    refused(folder, "folder.safetensors", ask)


def test_a_dtype_that_numpy_does_not_have(path):
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    refused(path, "is truncated or not a safetensors file .*bfloat16")
    refused(path, "is truncated or not a weight file .*bfloat16", weights_into_vgg)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, *({"zfnumpy": text} for text in ("no json", "[]", "3", "{}"))])
def test_safetensors_of_others(path, metadata):
    save_file({"conv1.weight": np.ones((2, 2), "float32")}, path, metadata=metadata)
    refused(path, "holds weights but not a network of zfnumpy; give it to the model it belongs to")


def rewritten(path, change, net=None):
    """Save a checkpoint, change what its metadata says, and return its path."""
    checkpoint.save(path, net or built())
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["zfnumpy"])
    change(about)
    save_file(load_file(path), path, metadata={"zfnumpy": json.dumps(about)})
    return path


@pytest.mark.parametrize(("change", "message"), [
    (lambda a: a.update(format=2), "has format 2, this zfnumpy reads format 1"),
    (lambda a: a["nodes"][0].update(layer="Conv3d"), "conv1 is a Conv3d, a layer that this zfnumpy does not have"),
    (lambda a: a["nodes"][0]["settings"].update(dilation=2), "describes a network that cannot be built: .*dilation"),
    (lambda a: a["nodes"][0]["settings"].update(stride=0), "cannot be built: stride must be at least 1"),
    (lambda a: a["nodes"][0].update(settings=[1]), "describes a network that cannot be built"),
    (lambda a: a["nodes"][1].update(inputs=["conv9"]), "cannot be built: relu1 reads conv9"),
    (lambda a: a.update(nodes=None), "describes a network that cannot be built"),
    (lambda a: a.pop("nodes"), "describes a network that cannot be built: 'nodes'"),
    (lambda a: a.update(input_shape=[2, 1, 1]), "cannot be built: conv1: the kernel 3×2 is larger"),
    (lambda a: a.update(dtype="float16"), "cannot be built: a network is float32 or float64, got float16"),
    (lambda a: a.update(rng={"bit_generator": "MT19937"}), "describes a network that cannot be built"),
    (lambda a: a.update(frozen=["conv9"]), "cannot be built: own has no layer 'conv9'"),
    (lambda a: a.update(preprocessing={"resize": 4}), "describes a network that cannot be built"),
    (lambda a: a["nodes"][-1]["settings"].update(features=4),
     r"scores.weight has shape \(3, 5\), own needs \(4, 5\); it is of another architecture"),
    (lambda a: a["nodes"][-1].update(name="fc9"), "has no fc9.weight .2 of 8 parameters of own missing.; it is of another"),
])
def test_descriptions_that_make_no_network(path, change, message):
    refused(rewritten(path, change), message)


def vgg_arrays():
    return {name: w.copy() for name, w in models.tiny_vgg(4, NUMPY, seed=8).params.items()}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_weights_of_any_origin(tmp_path, suffix):
    path, arrays = tmp_path / f"w{suffix}", vgg_arrays()
    (np.savez if suffix == ".npz" else lambda path, **arrays: save_file(arrays, path))(path, **arrays)
    net = weights_into_vgg(path)
    for name, w in arrays.items():
        np.testing.assert_array_equal(net.params[name], w)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(("change", "message"), [
    (lambda a: a.pop("conv2_1.weight"), "has no conv2_1.weight .1 of 10 parameters of tiny_vgg missing.; it is of another"),
    (lambda a: a.update(extra=np.ones(2, "float32")), "has extra and tiny_vgg does not; it is of another architecture"),
    (lambda a: a.update({"fc.weight": np.ones((4, 7), "float32")}),
     r"fc.weight has shape \(4, 7\), tiny_vgg needs \(4, 1690\); it is of another architecture"),
    (lambda a: a.clear() or a.update(w=np.ones(2, "float32")), "has no conv1_1.weight .10 of 10 parameters"),
])
def test_weights_of_another_architecture(tmp_path, suffix, change, message):
    path, arrays = tmp_path / f"w{suffix}", vgg_arrays()
    change(arrays)
    (np.savez if suffix == ".npz" else lambda path, **arrays: save_file(arrays, path))(path, **arrays)
    refused(path, message, weights_into_vgg)


def test_refused_weights_leave_the_network_as_it_was(tmp_path):
    net, arrays = models.tiny_vgg(4, NUMPY, seed=9), vgg_arrays()
    arrays["fc.bias"] = np.ones(5, "float32")
    before = {name: w.copy() for name, w in net.params.items()}
    with pytest.raises(CheckpointError):
        checkpoint.set_params(net, arrays, "here")
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, before[name])


def test_spoiled_npz_files(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, **vgg_arrays())
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (b"", b"text\n" * 9, whole[:middle], whole[:-1], whole[:middle] + bytes(200) + whole[middle + 200:]):
        path.write_bytes(content)
        refused(path, "is truncated or not a weight file", weights_into_vgg)
    with open(path, "wb") as file:
        np.save(file, np.ones(3))                                    # one array under the name of many
    refused(path, "is truncated or not a weight file", weights_into_vgg)
    np.savez(path, w=np.array([{"a": 1}], dtype=object))             # would need pickle, which runs what it reads
    refused(path, "is truncated or not a weight file", weights_into_vgg)


# ---- starting from another network ----------------------------------------------------------------------------------

def test_init_from_the_same_classes(path):
    net, other = built(seed=1), built(seed=2)
    checkpoint.save(path, other)
    assert checkpoint.init_from(net, path) == []
    for name, w in other.params.items():
        np.testing.assert_array_equal(net.params[name], w)


def test_init_from_another_number_of_classes(path):
    other = models.tiny_vgg(7, NUMPY, seed=2)
    checkpoint.save(path, other, SGD(other))
    net = models.tiny_vgg(3, NUMPY, seed=1)
    fresh = {name: w.copy() for name, w in net.params.items()}
    assert checkpoint.init_from(net, path) == ["fc.weight", "fc.bias"]
    for name, w in net.params.items():
        np.testing.assert_array_equal(w, fresh[name] if name.startswith("fc.") else other.params[name])


def test_init_from_brings_the_preprocessing_that_the_weights_expect(tmp_path, path):
    net, mean = models.tiny_vgg(3, NUMPY), np.random.default_rng(0).uniform(0, 255, (3, 64, 64))
    own = net.preprocessing
    np.savez(tmp_path / "plain.npz", **vgg_arrays())                 # says nothing of its inputs
    checkpoint.init_from(net, tmp_path / "plain.npz")
    assert net.preprocessing is own
    other = models.tiny_vgg(7, NUMPY)
    other.preprocessing = Preprocessing(64, 64, mean, 0.5, "BGR")
    checkpoint.save(path, other)
    checkpoint.init_from(net, path)
    assert net.preprocessing == other.preprocessing
    rewritten(path, lambda about: about.pop("preprocessing"), other)
    checkpoint.init_from(net, path)
    assert net.preprocessing == other.preprocessing


def test_init_from_another_architecture(path):
    checkpoint.save(path, models.zfnet_mini(3, NUMPY, conv=(4, 4, 4, 4, 4), fc=()))
    net = models.tiny_vgg(3, NUMPY)
    refused(path, "has no conv1_1.weight", lambda path: checkpoint.init_from(net, path))
    wider = models.zfnet_mini(3, NUMPY, conv=(4, 5, 4, 4, 4), fc=())
    refused(path, r"conv2.weight has shape \(4, 4, 5, 5\), zfnet_mini needs \(5, 4, 5, 5\)",
            lambda path: checkpoint.init_from(wider, path))
