"""Weight files: safetensors that hold the parameters, the node list and what training needs to go on.

A checkpoint's tensors are the parameters by name ("conv1.weight"), the mean image as "preprocessing.mean" where there is
one, and in training the velocities as "velocity/conv1.weight". Its metadata holds one JSON text, "zfnumpy": nodes with
their settings, input shape, dtype, preprocessing, class names, the state of the network's generator, and whatever
`save` was given besides. A network of one's own therefore reloads without the code that built it. Never pickle.
"""

import json
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from . import layers
from .data.transforms import Preprocessing
from .errors import CheckpointError, ZFNumpyError
from .network import Network
from .ops import get_ops
from .paths import written_whole

FORMAT = 1
MEAN = "preprocessing.mean"
VELOCITY = "velocity/"


@dataclass
class Checkpoint:
    """A checkpoint as read: NumPy arrays by name, the network's description, and what `save` was given besides."""

    path: Path
    arrays: dict
    about: dict
    extra: dict = field(default_factory=dict)

    @property
    def velocity(self):
        """The optimizer's velocities by parameter name; empty where the file has none."""
        return {name[len(VELOCITY):]: a for name, a in self.arrays.items() if name.startswith(VELOCITY)}


def save(path, net, optimizer=None, **extra):
    """Write a network, and the velocities of `optimizer` if given, to `path`; whole, or not at all.

    `extra` is anything JSON can hold, given back by `read` as `extra`.
    """
    ops = net.ops
    arrays = {name: np.ascontiguousarray(ops.to_numpy(w)) for name, w in net.params.items()}
    if optimizer is not None:
        arrays |= {VELOCITY + name: np.ascontiguousarray(ops.to_numpy(v)) for name, v in optimizer.velocity.items()}
    about = describe(net)
    if net.preprocessing is not None and np.ndim(net.preprocessing.mean) == 3:
        arrays[MEAN] = np.ascontiguousarray(net.preprocessing.mean)
    text = json.dumps({"format": FORMAT, **about, "extra": extra})
    with written_whole(path) as beside:
        try:
            save_file(arrays, beside, metadata={"zfnumpy": text})
        except SafetensorError as error:
            raise ZFNumpyError(f"cannot write {path}: {error}") from error


def describe(net):
    """Return what a checkpoint says of a network beside its arrays: a dict that JSON can hold."""
    for name, layer, _ in net.nodes.values():
        if getattr(layers, type(layer).__name__, None) is not type(layer):
            raise CheckpointError(f"{name} is a {type(layer).__name__}, a layer of your own, which no checkpoint could "
                                  "reload; keep net.params in an .npz instead")
    nodes = [{"name": name, "layer": type(layer).__name__, "inputs": list(inputs),
              "settings": {key: getattr(layer, key) for key in layer.settings}}
             for name, layer, inputs in net.nodes.values()]
    return {"name": net.name, "nodes": nodes, "input_shape": list(net.input_shape), "dtype": str(net.dtype),
            "init": net.init, "classes": None if net.classes is None else list(net.classes),
            "preprocessing": None if net.preprocessing is None else net.preprocessing.to_json(),
            "rng": net.rng.bit_generator.state, "frozen": sorted(net.frozen)}


def read(path):
    """Return the Checkpoint at `path`; CheckpointError where it is truncated or not a checkpoint of ours."""
    path = Path(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        arrays = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}") from None
    except (SafetensorError, OSError, TypeError) as error:              # TypeError: a dtype that NumPy does not have
        raise CheckpointError(f"{path} is truncated or not a safetensors file ({error})") from error
    try:
        about = json.loads(metadata["zfnumpy"])
        version, extra = about.pop("format"), about.pop("extra")
    except (KeyError, ValueError, TypeError, AttributeError):
        raise CheckpointError(f"{path} holds weights but not a network of zfnumpy; "
                              "give it to the model it belongs to, as weights=…") from None
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version}, this zfnumpy reads format {FORMAT}")
    return Checkpoint(path, arrays, about, extra)


def load(path, ops=None):
    """Return the network of a checkpoint on the backend `ops` (default: get_ops("auto"))."""
    return rebuild(read(path), ops)


def rebuild(found, ops=None):
    """Return the network that a Checkpoint describes, with its parameters and its generator's state."""
    about = found.about
    try:
        nodes = [(node["name"], _layer(node, found.path), node["inputs"]) for node in about["nodes"]]
        mean = found.arrays.get(MEAN)
        preprocessing = None if about["preprocessing"] is None else Preprocessing.from_json(about["preprocessing"], mean)
        net = Network(nodes, about["input_shape"], ops or get_ops("auto"), dtype=about["dtype"], init=about["init"],
                      name=about["name"], preprocessing=preprocessing, classes=about["classes"])
        net.rng.bit_generator.state = about["rng"]
        net.freeze(about["frozen"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{found.path} describes a network that cannot be built: {error}") from error
    parameters = {name: a for name, a in found.arrays.items() if name != MEAN and not name.startswith(VELOCITY)}
    set_params(net, parameters, found.path)
    return net


def _layer(node, path):
    if node["layer"] not in layers.__all__:
        raise CheckpointError(f"{path}: {node['name']} is a {node['layer']}, a layer that this zfnumpy does not have")
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in node["settings"].items()}
    return getattr(layers, node["layer"])(**settings)


def set_params(net, arrays, source, skip=()):
    """Write arrays {"conv1.weight": …} into a network's parameters, refusing any that does not match in name or shape.

    `source` names the arrays in messages; parameters in `skip` may differ and keep their values.
    """
    missing = [name for name in net.params if name not in arrays and name not in skip]
    if missing:
        raise CheckpointError(f"{source} has no {missing[0]} ({len(missing)} of {len(net.params)} parameters of "
                              f"{net.name} missing); it is of another architecture")
    unknown = [name for name in arrays if name not in net.params]
    if unknown:
        raise CheckpointError(f"{source} has {unknown[0]} and {net.name} does not; it is of another architecture")
    wanted = {name: w for name, w in net.params.items() if name not in skip}
    for name, w in wanted.items():
        if tuple(arrays[name].shape) != tuple(w.shape):
            raise CheckpointError(f"{source}: {name} has shape {tuple(arrays[name].shape)}, {net.name} needs "
                                  f"{tuple(w.shape)}; it is of another architecture")
    for name, w in wanted.items():
        w[...] = net.ops.asarray(arrays[name], dtype=w.dtype)


def describes_itself(path):
    """Tell whether a file is a checkpoint of ours, not a plain weight file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return "zfnumpy" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def read_arrays(path):
    """Return {name: array} of a .npz or .safetensors weight file of any origin."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no weight file {path}")
    try:
        if path.suffix == ".npz":
            with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:   # a bad zip would stay open
                return {name: file[name] for name in file.files}
        return {name: a for name, a in load_file(path).items() if not name.startswith((VELOCITY, MEAN))}
    except (SafetensorError, zipfile.BadZipFile, zlib.error, EOFError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} is truncated or not a weight file ({error})") from error


def init_from(net, path):
    """Start a network from another's weights: all that match, but for a last layer of another number of classes.

    A checkpoint of ours brings its preprocessing along, which its weights expect. Returns the names of the parameters
    left as they were. CheckpointError where any other parameter differs.
    """
    arrays = read_arrays(path)
    last = [name for name in net.params if name.rpartition(".")[0] == _last_with_params(net)]
    skip = [name for name in last if name in arrays and tuple(arrays[name].shape) != tuple(net.params[name].shape)]
    set_params(net, arrays, path, skip=last if skip else ())
    if describes_itself(path):
        found = read(path)
        if found.about.get("preprocessing") is not None:
            net.preprocessing = Preprocessing.from_json(found.about["preprocessing"], found.arrays.get(MEAN))
    return last if skip else []


def _last_with_params(net):
    return [name for name, node in net.nodes.items() if node.layer.params][-1]
