"""A network: an ordered list of named nodes, one loop forward over them and one sweep back.

    net = Network([("conv1", Conv2d(16, 3)), ("relu1", ReLU()),
                   ("left", Conv2d(8, 1), "relu1"), ("right", Conv2d(8, 3, pad=1), "relu1"),
                   ("both", Concatenate(), ["left", "right"]),
                   ("gap", GlobalAvgPool()), ("fc", Linear(10))], input_shape=(3, 32, 32), ops=ops)

A node is (name, layer) and takes the node before it, or (name, layer, inputs) and takes the nodes it names ("input" is
the image). The last node's output are the class scores. The graph stays as it is written; what is computed together
(a convolution and its ReLU), and what the tape need not store, is decided here in `_plan`.
"""

import numpy as np

from .errors import BackendError, DTypeError, NodeError, ShapeError
from .graph import INPUT, Parameters, Tape, named_nodes
from .layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from .layers.boxes import Boxes
from .layers.patches import Patches
from .loss import softmax
from .receptive import receptive_fields
from .shapes import FLOATS


class Network:
    """A feed-forward graph of layers on one backend.

    input_shape (C, H, W); dtype "float32" or "float64"; `init` "he" or "paper" (see layers.base). `seed`, a whole number
    or a Generator, draws the weights and starts the network's own generator, which dropout uses. `preprocessing` turns
    images into inputs (data.Preprocessing), `classes` names the scores. Raises ShapeError or NodeError, naming the node,
    where the graph does not fit together.
    """

    def __init__(self, nodes, input_shape, ops, seed=0, dtype="float32", init="he", name="network",
                 preprocessing=None, classes=None):
        if str(np.dtype(dtype)) not in FLOATS:
            raise DTypeError(f"a network is float32 or float64, got {dtype}")
        if ops is None:
            raise BackendError("a network is built with its operations: pass ops=get_ops(\"numba\"), say")
        self.ops, self.name, self.init, self.dtype = ops, name, init, np.dtype(dtype)
        self.input_shape = tuple(int(size) for size in input_shape)
        self.preprocessing, self.classes = preprocessing, classes
        self.nodes = named_nodes(nodes)
        self.frozen = frozenset()
        if isinstance(seed, np.random.Generator):
            draw, self.rng = seed.spawn(2)
        else:
            draw, self.rng = (np.random.default_rng([seed, use]) for use in (0, 1))
        if len(self.input_shape) != 3:
            raise ShapeError(f"input_shape must be (C, H, W), got {self.input_shape}; for plain features take (D, 1, 1) "
                             "and put a Flatten first")
        self.params, self.shapes = Parameters(ops), {INPUT: self.input_shape}
        for name, layer, inputs in self.nodes.values():
            if layer.ops is not None:
                raise NodeError(f"{name}: this {type(layer).__name__} is in a network already; make a new one for each node")
            try:
                shape = layer.build(ops, [self.shapes[i] for i in inputs], self.dtype, draw, init)
            except ShapeError as error:
                raise ShapeError(f"{name}: {error}") from None
            self.shapes[name] = shape
            self.params.update({f"{name}.{key}": value for key, value in layer.params.items()})
        self._plan()

    def _plan(self):
        """Decide what runs together and what a tape keeps."""
        readers = {name: [] for name in (INPUT, *self.nodes)}
        for node in self.nodes.values():
            for source in node.inputs:
                readers[source].append(node.name)
        self.output = next(reversed(self.nodes))
        unread = [name for name in self.nodes if not readers[name] and name != self.output]
        if unread:
            raise NodeError(f"nothing reads {', '.join(unread)}; only the last node, {self.output}, may be an end")
        self._readers = {name: len(names) for name, names in readers.items()}
        self._fused, self._masked_above = {}, set()      # conv or linear → its ReLU; ReLUs whose mask a max pool applies
        for name, node in self.nodes.items():
            if len(readers[name]) != 1:
                continue
            reader = self.nodes[readers[name][0]]
            if isinstance(node.layer, (Conv2d, Linear)) and type(reader.layer) is ReLU:
                self._fused[name] = reader.name
            if type(node.layer) is ReLU and type(reader.layer) is MaxPool2d:
                self._masked_above.add(name)
        # Max pools whose gradient goes straight to a first convolution's weights: nothing else needs the unpooled map.
        self._straight = {name: conv for name, node in self.nodes.items() if node.inputs[0] in self._masked_above
                          for conv in self.nodes[node.inputs[0]].inputs
                          if conv in self._fused and isinstance(self.nodes[conv].layer, Conv2d)
                          and self.nodes[conv].inputs == (INPUT,)}
        self._kept = {INPUT}
        for name, node in self.nodes.items():
            if node.layer.keeps == "input":
                self._kept.update(node.inputs)
            if node.layer.keeps == "output":
                self._kept.add(readers[name][0] if name in self._masked_above else name)
        self._fields = receptive_fields(self.nodes.values(), self.input_shape)

    # ---- forward ----------------------------------------------------------------------------------------------------

    def steps(self, x, train=False, tape=None, want=(), base=None):
        """Run the network on x (N, C, H, W), yielding (name, output) node by node; fills `tape` if one is given.

        A convolution that runs together with its ReLU comes out rectified, unless it is named in `want`. x may be
        Patches (layers.patches) of an image; then base {name: output} is what the steps of that image gave with the same
        `want`, and the outputs are Patches too, as far up as that saves work.
        """
        self._check_input(x)
        values, readers = {INPUT: x}, dict(self._readers)
        for name, layer, inputs in self.nodes.values():
            fused = self._fused.get(name) if name not in want else None
            if name not in values:                                   # else its convolution has made it already
                if fused:
                    y, cache = _forward(layer, base, name, [values[inputs[0]]], relu=True)
                    values[fused] = y
                    if tape is not None:
                        tape.caches[fused] = None if fused in self._masked_above else y
                elif tape is not None and isinstance(layer, MaxPool2d) and inputs[0] in self._masked_above:
                    y, cache = layer.forward(values[inputs[0]], rectified=True)
                else:
                    y, cache = _forward(layer, base, name, [values[i] for i in inputs], train=train, rng=self.rng)
                    if name in self._masked_above:
                        cache = None
                values[name] = y
                if tape is not None:
                    tape.caches[name] = cache
            if tape is not None and name in self._kept:
                tape.values[name] = values[name]
            yield name, values[name]
            if fused:
                del values[name]                                     # what it holds is its ReLU's output
            for source in inputs:
                readers[source] -= 1
                if not readers[source]:
                    values.pop(source, None)

    def forward(self, x, train=False):
        """Map x (N, C, H, W) to class scores (N, K), before any softmax, and the tape; `train` turns dropout on."""
        tape = Tape(x)
        for _, y in self.steps(x, train, tape):
            scores = y
        return scores, tape

    def tape_to(self, name, x):
        """Run x (N, C, H, W) up to the node `name` and no further, and return the tape, with that node's output in it."""
        tape, last = Tape(x), self.node(name).name
        for done, y in self.steps(x, tape=tape, want=(last,)):
            if done == last:
                tape.values[last] = y
                break
        return tape

    def scores(self, x):
        """Map x (N, C, H, W) to class scores (N, K), keeping nothing."""
        for _, y in self.steps(x):
            scores = y
        return scores

    def probabilities(self, x):
        """Map x (N, C, H, W) to class probabilities (N, K): the softmax of the scores."""
        return softmax(self.scores(x))

    def activations(self, x, names):
        """Return {name: output (N, ...)} of the named nodes for x (N, C, H, W)."""
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            self.node(name)
        found = {}
        for name, y in self.steps(x, want=names):
            if name in names:
                found[name] = y
            if len(found) == len(set(names)):
                break
        return {name: found[name] for name in names}

    def value(self, name, tape):
        """Return the output of a node in the pass that made `tape`, computed again where the tape does not hold it.

        What is computed again uses today's weights: look before the next training step.
        """
        if name in tape.values:
            return tape.values[name]
        node = self.node(name)
        return node.layer.replay(tape.cache(name), *(self.value(i, tape) for i in node.inputs))

    # ---- backward ---------------------------------------------------------------------------------------------------

    def sweep(self, start, r, step, end=INPUT):
        """Carry r from the output of node `start` down to the image, or to the output of node `end`; step(node, r) takes
        it below one node.

        A step returns what arrives at the node's input, or a tuple for several inputs, or None to stop there. What
        reaches one node by several ways adds up. Returns what arrives at the end, None if nothing does.
        """
        arriving, order = {start: r}, [INPUT, *self.nodes]
        for name in reversed(order[order.index(end) + 1:order.index(start) + 1]):     # all that reads `end` lies in between
            if name not in arriving:
                continue
            parts = step(self.nodes[name], arriving.pop(name))
            for source, part in zip(self.nodes[name].inputs, parts if isinstance(parts, tuple) else (parts,)):
                if part is not None:
                    arriving[source] = arriving[source] + part if source in arriving else part
        return arriving.get(end)

    def backward(self, dscores, tape, keep_tape=True):
        """Return {"conv1.weight": gradient, …} for the gradient of the loss by the scores, dscores (N, K).

        The tape is not used up, unless `keep_tape` is False: then its memory is free for the gradients on the way. Frozen
        nodes get no gradients, and nothing is computed below the lowest that does.
        """
        if dscores.shape != (tape.batch, *self.shapes[self.output]):
            raise ShapeError(f"backward: dscores must have shape {(tape.batch, *self.shapes[self.output])}, "
                             f"got {tuple(dscores.shape)}")
        grads, trained = {}, {INPUT: False}
        own = {name for name, node in self.nodes.items() if node.layer.params and name not in self.frozen}
        for node in self.nodes.values():
            trained[node.name] = node.name in own or any(trained[i] for i in node.inputs)

        def step(node, dy):
            if not trained[node.name]:
                return None
            need_dx, name, cache = any(trained[i] for i in node.inputs), node.name, tape.cache(node.name)
            if not keep_tape:
                tape.drop(name)
            if name in self._straight:
                name, need_dx = self._straight[name], False
                dy, switches = node.layer.at_switches(dy, cache)
                x, pooling = tape.cache(name), node.layer.window()
                dx, found = None, self.nodes[name].layer.backward_unpooled(dy, switches, pooling, x)
            else:
                dx, found = node.layer.backward(dy, cache, need_dx=need_dx, need_grads=name in own)
            grads.update({f"{name}.{key}": value for key, value in found.items()})
            return dx if need_dx else None

        self.sweep(self.output, dscores, step)
        return {name: grads[name] for name in self.params if name in grads}

    def project(self, start, r, tape, rule="deconvnet", end=INPUT):
        """Carry r, shaped like the output of node `start`, down to the pixels by a rule: (N, C, H, W).

        r may be Boxes instead (layers.boxes), windows of many units in the images of the tape: then so is the result.
        `end` names a node to stop at: what comes back is shaped like its output, and with the rule "gradient" it is the
        gradient by that output. NodeError where `end` does not lead to `start`.
        """
        if end != INPUT and self.node(end).name not in self._below(start):
            raise NodeError(f"{end} does not lead to {start}, so nothing comes down to it from there")

        def step(node, r):
            cache = tape.cache(node.name)
            if end in node.inputs and end in self._masked_above:         # the pool's mask is that of the ReLU, below which
                cache = (*cache[:2], None)                               # we do not go
            if node.name == start and start in self._masked_above and rule != "deconvnet":    # the mask's pool is above
                cache = self.value(start, tape)
            return (node.layer.project_boxes if isinstance(r, Boxes) else node.layer.project)(r, cache, rule)

        return self.sweep(start, r, step, end)

    # ---- parts ------------------------------------------------------------------------------------------------------

    def node(self, name):
        """Return the node of that name, or raise a NodeError that lists the names there are."""
        if name not in self.nodes:
            raise NodeError(f"{self.name} has no layer {name!r}; it has {', '.join(self.nodes)}")
        return self.nodes[name]

    def nodes_to(self, name):
        """Return the nodes that lead to `name`, itself last, as [(name, fresh layer, inputs)]: for a new network."""
        needed = self._below(name)
        return [(node.name, node.layer.fresh(), node.inputs) for node in self.nodes.values() if node.name in needed]

    def _below(self, name):
        """Return the names of all that leads to a node, itself included."""
        needed = {self.node(name).name}
        for node in reversed(self.nodes.values()):
            if node.name in needed:
                needed.update(node.inputs)
        return needed

    def copy(self):
        """Return a network of its own with the same nodes, weights and settings: what is done to one spares the other."""
        other = Network(self.nodes_to(self.output), self.input_shape, self.ops, 0, self.dtype, self.init, self.name,
                        self.preprocessing, self.classes)
        for name, value in self.params.items():
            other.params[name] = value
        other.rng.bit_generator.state = self.rng.bit_generator.state
        other.frozen = self.frozen
        return other

    def freeze(self, names):
        """Train every node but these from now on; NodeError for a name without parameters."""
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if not self.node(name).layer.params:
                having = [n for n, node in self.nodes.items() if node.layer.params]
                raise NodeError(f"{name} has no parameters to freeze; {', '.join(having)} have")
        self.frozen = frozenset(names)

    def receptive_field(self, name):
        """Return the ReceptiveField of a node's units in the image."""
        return self._fields[self.node(name).name]

    def prepare(self, images):
        """Turn uint8 pictures (H, W, 3) of any sizes into x (N, 3, H, W) as this network was trained."""
        if self.preprocessing is None:
            raise ShapeError(f"{self.name} has no preprocessing: set net.preprocessing = zf.data.Preprocessing(…)")
        return self.ops.asarray(self.preprocessing(images), dtype=self.dtype)

    def _check_input(self, x):
        first = next(iter(self.nodes))
        if str(getattr(x, "dtype", None)) != str(self.dtype):        # as text: NumPy holds None to be float64
            raise DTypeError(f"{first} expects {self.dtype}, got {getattr(x, 'dtype', type(x).__name__)}; "
                             f"use net.prepare(images) or x.astype('{self.dtype}')")
        if x.ndim != 4:
            raise ShapeError(f"{first} expects x (N, {', '.join(map(str, self.input_shape))}), got shape {tuple(x.shape)}")
        if x.shape[1] != self.input_shape[0]:
            raise ShapeError(f"{first} expects {self.input_shape[0]} channels, got {x.shape[1]}")
        fixed = any(isinstance(node.layer, Flatten) for node in self.nodes.values())
        if fixed and tuple(x.shape[2:]) != self.input_shape[1:]:
            raise ShapeError(f"{first} expects images of {self.input_shape[1]}×{self.input_shape[2]} pixels, "
                             f"got {x.shape[2]}×{x.shape[3]}")

    def __str__(self):
        """A table: node, layer, output shape, parameters, receptive field."""
        rows = [("node", "layer", "output", "parameters", "sees")]
        rows.append((INPUT, "", _shape_text(self.input_shape), "", ""))
        for name, layer, inputs in self.nodes.values():
            count = sum(p.size for p in layer.params.values())
            before = rows[-1][0]
            text = layer.describe() + ("" if inputs == (before,) else f" of {', '.join(inputs)}")
            field = self._fields[name]
            rows.append((name, text, _shape_text(self.shapes[name]), f"{count:,}" if count else "", str(field)))
        total = sum(p.size for p in self.params.values())
        widths = [max(len(row[i]) for row in rows) for i in range(5)]
        lines = ["  ".join(cell.rjust(w) if i == 3 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths)))
                 for row in rows]
        head = f"{self.name}: {total:,} parameters, {self.dtype}, on {self.ops.name}"
        return "\n".join(line.rstrip() for line in [head, *lines])


def _forward(layer, base, name, inputs, **how):
    """Return a layer's output and cache; where inputs are Patches, an output without a cache."""
    if all(isinstance(each, Patches) for each in inputs):
        return layer.forward_patches(*inputs, base=base[name], **how), None
    return layer.forward(*(each.whole() if isinstance(each, Patches) else each for each in inputs), **how)


def _shape_text(shape):
    return " × ".join(map(str, shape))
