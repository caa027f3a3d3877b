"""The three rules side by side: gradient, guided backpropagation and the deconvnet of one class or one unit."""

from ..ops.face import RULES
from .project import checked_tape, project, strongest_units, unit_index

SIDE_BY_SIDE = ("gradient", "guided", "deconvnet")         # from the plainest to the most selective


def by_rules(net, x, layer=None, unit=None, rules=RULES, tape=None):
    """Project one unit of `layer` to the pixels of each image of x (N, 3, H, W) by every rule: {rule: (N, 3, H, W)}.

    layer: a node's name (default: the class scores). unit: as for `project`; None for the strongest class, map or feature
    of each image. tape: of an earlier net.forward(x), which saves that pass. Errors are `project`'s.

    A class score differs from a unit inside in one thing. No ReLU stands above it and the softmax looks at differences
    only, so that its sign means nothing, and yet the deconvnet of a negative score, which starts from it, would show
    what speaks against the class. It starts from the score's magnitude instead: what is shown always speaks for the
    class, the rectifications below being blind to scale. Where a score is the average of rectified maps, as in SqueezeNet,
    it is 0 when none of them fired, and then all three rules give an empty picture.
    """
    layer = net.node(net.output if layer is None else layer).name
    tape = checked_tape(net, x, layer, tape)
    unit = chosen_unit(net, layer, tape, unit)
    starts = {}
    if layer == net.output:
        scores = net.value(layer, tape)
        starts["deconvnet"] = abs(scores[unit_index(net, layer, scores, unit)])
    return {rule: project(net, x, layer, unit, rule, tape, starts.get(rule)) for rule in rules}


def chosen_unit(net, layer, tape, unit=None):
    """Return a unit as a tuple, as `project` takes it; None stands for each image's strongest map or feature, (N,) of NumPy.

    Of several that are as strong, the first.
    """
    if unit is None:
        values, _, _ = strongest_units(net.value(layer, tape))
        return (net.ops.to_numpy(values.argmax(axis=1)),)
    return tuple(unit) if isinstance(unit, (tuple, list)) else (unit,)
