"""Feature invariance: the warp by hand, distances by hand, and what is drawn anew against what is warped."""

import numpy as np
import pytest
from tiny import colours

from zfnumpy.data import ImageArray, sketches
from zfnumpy.errors import DataError, NodeError, ShapeError
from zfnumpy.experiments.invariance import invariance, transformed, two_layers, warp, with_unchanged

NOISE = np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)


def test_a_warp_moves_turns_and_enlarges():
    down = warp(NOISE, "translation", 20)                        # 20 % of ten rows: two down, the first row continued
    assert (down[2:] == NOISE[:-2]).all()
    assert (down[:2] == NOISE[:1]).all()
    assert (warp(NOISE, "translation", -10)[:-1] == NOISE[1:]).all()
    for step, turned in ((90, np.rot90(NOISE)), (180, NOISE[::-1, ::-1])):          # counter-clockwise, as np.rot90
        assert np.abs(warp(NOISE, "rotation", step).astype(int) - turned).max() <= 1
    flat = np.repeat(np.repeat(NOISE[:5:, :5], 2, 0), 2, 1)
    twice = warp(flat, "scale", 2)                               # the middle 5 × 5 pixels on 10 × 10
    assert abs(twice.astype(int).mean() - flat[2:8, 2:8].mean()) < 20
    assert warp(NOISE, "scale", 1) is NOISE


def test_distances_by_hand():
    """A white line in row 3 of eight, moved by one row: 8 pixels go out and 8 on, each by 255, at one map of layer 1.

    So the distance is 255·√16 = 1020; the average of the map does not change, nor does the answer. The other picture is
    black: it lies 255·√8 from the line in layer 1, which is the unit of distance, so the move is √2 units.
    """
    images = np.zeros((2, 8, 8, 3), np.uint8)
    images[0, 3] = 255
    net = colours(8, [(1, 0, 0)])
    net.params["fc.weight"] = np.array([[1], [-1]], np.float32)
    found = invariance(net, ImageArray(images, [0, 1], ["c0", "c1"]), [0, 1], kinds=("translation",),
                       steps={"translation": [12.5]})
    effect = found.effects["warped"]["translation"]
    assert (found.layers, effect.steps.tolist(), effect.unchanged) == (("relu1", "gap"), [0, 12.5], 0)
    np.testing.assert_allclose(effect.distances[0], [[0, 1020], [0, 0]])
    np.testing.assert_allclose(effect.distances[1], 0, atol=1e-3)
    np.testing.assert_allclose(found.unit[0], 255 * 8 ** 0.5)
    np.testing.assert_allclose(effect.relative[0, 0], [0, 2 ** 0.5])
    np.testing.assert_allclose(effect.kept(), [1, np.nan])       # black: a half each, so there is nothing to keep
    assert effect.right() == 0.5                                 # the black picture's classes are equally likely: not above
    assert [claim.agrees for claim in found.claims()] == [True]  # the first layer changes, the top does not


def test_sketches_drawn_anew_move_as_they_are_told():
    data = sketches.load(3, seed=4, cache=False, processes=1)
    for kind, step, change in (("translation", 10, {"y": 0.1}), ("scale", 1.2, {"scale": 1.2}), ("rotation", 30, {})):
        _, y, scale, angle = map(float, data.poses[1])
        asked = {"translation": {"y": y / 64 + change.get("y", 0)}, "scale": {"scale": scale * change.get("scale", 1)},
                 "rotation": {"angle": angle + 30}}[kind]
        assert (transformed(data, 1, data.image(1), kind, step, "drawn") == data.redraw(1, **asked)[0]).all()


def test_refusals():
    net, data = colours(8), ImageArray(np.zeros((1, 8, 8, 3), np.uint8), [0], ["c0", "c1"])
    with pytest.raises(DataError, match="can only be warped, not drawn"):
        invariance(net, data, [0], ways=("drawn",))
    with pytest.raises(ShapeError, match="scale takes one step or more, finite, above 0"):
        with_unchanged("scale", [0.0, 1])
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        invariance(net, data, [0], layers=("conv9", "gap"))
    assert two_layers(net) == ("relu1", "gap")


def test_pictures_that_cannot_be_read_are_counted():
    class Broken(ImageArray):
        def image(self, i):
            if i == 0:
                raise DataError("damaged")
            return super().image(i)

    data = Broken(np.zeros((2, 8, 8, 3), np.uint8), [0, 1], ["c0", "c1"])
    found = invariance(colours(8), data, [0, 1], kinds=("scale",), steps={"scale": [2]})
    assert (found.skipped, found.indices.tolist()) == (1, [1])
    with pytest.raises(DataError, match="none of 1 pictures could be read"):
        invariance(colours(8), data, [0], kinds=("scale",), steps={"scale": [2]})
