"""Correspondence analysis: Δ and κ by hand, and masks where they belong."""

import numpy as np
import pytest
from tiny import NUMPY, colours

from zfnumpy import get_ops
from zfnumpy.data import ImageArray, Preprocessing
from zfnumpy.errors import DataError
from zfnumpy.experiments import correspondence as study_of
from zfnumpy.experiments.correspondence import alike, correspondence, masks_of, showing, signs_of, two_ends
from zfnumpy.models import sketches_zfnet, squeezenet1_1


def test_sign_change_and_agreement_by_hand():
    """Three pictures' signs at four features: the pairs differ at 1, 1 and 2 of 4, so Δ = (1/4 + 1/4 + 2/4) / 3 = 1/3.

    By their shares of (-, 0, +), (1, 2, 1)/4, (0, 3, 1)/4 and (1, 3, 0)/4, they would differ by chance at 1 - 7/16, 1 - 7/16
    and 1 - 9/16: κ = 1 - (1/4)/(9/16) = 5/9 twice and 1 - (2/4)/(7/16) = -1/7; the mean is 61/189.
    """
    delta, kappa = alike(np.array([[1, 0, 0, -1], [1, 0, 0, 0], [0, 0, 0, -1]]))
    assert delta == pytest.approx(1 / 3)
    assert kappa == pytest.approx(61 / 189)
    assert alike(np.zeros((2, 5))) == (0, 0)


def test_rounding_has_no_sign():
    before = np.array([[1.0, 2, 3, 100]])
    assert signs_of(before, before - [[0, 1e-4, 2, -2]]).tolist() == [[0, 0, 1, -1]]


class Parted(ImageArray):
    """Bright pictures with a part "dot" at a place each, anywhere on the object: the whole picture."""

    def __init__(self, places, radius=1.6):
        images = np.full((len(places), 12, 12, 3), 200, np.uint8)
        super().__init__(images, np.zeros(len(places), int), ["c0", "c1"])
        self.places, self.radius = places, radius
        self.masks = np.ones((len(places), 12, 12), bool)

    def parts(self, i):
        return {"dot": (*self.places[i], self.radius)}


def test_the_same_place_agrees_and_random_places_do_not():
    """Where all pictures have the part at one place, the same features fall by the same sign: Δ is 0 and κ is 1.

    The random discs are as many pixels each, d of 144 at each of two maps; two that share s differ at 2 (d - s) of 144.
    """
    data = Parted([(3, 3)] * 4)
    net = colours(12)
    found = correspondence(net, data, ["dot"], range(4), size=2, layers=("relu1", "gap"), controls=False)
    change = found.changes[study_of.TRAINED]
    assert change.ways == (study_of.PART, study_of.RANDOM, study_of.ELSEWHERE)
    np.testing.assert_allclose(change.of(study_of.PART)[0], 0)
    np.testing.assert_allclose(change.of(study_of.PART, "agreement")[0], 1)
    masks = masks_of(data, found.groups.ravel(), ["dot"], net.preprocessing, 2, np.random.default_rng(0))[0]
    assert masks.sum(axis=(2, 3)).min() >= 1
    # Where another picture has the part is the same place here: nothing else is as far as can be.
    np.testing.assert_allclose(change.of(study_of.ELSEWHERE)[0], 0)
    d = int(masks[0, 0].sum())
    random = change.of(study_of.RANDOM)[0, 0]
    assert random.min() > 0
    assert random.max() <= 2 * d / 144
    assert change.of(study_of.PART, "moved")[0, 0, 0] == pytest.approx(d / 144)
    assert all(claim.agrees for claim in found.claims()[:1]) == bool((change.gain()[0].mean(axis=1) > 0).all())


def test_masks_do_not_overlap_the_part():
    data = Parted([(3, 3), (9, 9), (3, 9), (9, 3)])
    masks = masks_of(data, [0, 1, 2, 3], ["dot"], Preprocessing(12, 12, np.zeros(3)), 4, np.random.default_rng(0))[0]
    part, random, elsewhere = masks
    assert not (part & random).any()
    assert not (part & elsewhere).any()
    for n in range(4):
        ys, xs = np.nonzero(part[n])
        assert (xs.mean() + 0.5, ys.mean() + 0.5) == pytest.approx(data.places[n])
        assert any((elsewhere[n] == part[m]).all() for m in range(4) if m != n)


def test_mixed_parts_are_other_pictures_parts():
    signs = [[np.array([[p * 10 + n] for n in range(3)])] for p in range(2)]
    dealt = study_of._dealt(signs, np.array([[0, 1, 1], [1, 0, 0]]))
    assert [each[0].ravel().tolist() for each in dealt] == [[0, 11, 12], [10, 1, 2]]


def test_shuffled_parts_are_at_chance_and_saved(tmp_path):
    from zfnumpy.data import sketches

    net, data = sketches_zfnet(get_ops("numba")), sketches.load(120, seed=9, cache=False, processes=1)
    rows = showing(data, ["left_eye", "nose"], np.flatnonzero(data.labels == 6))
    found = correspondence(net, data, ["left_eye", "nose"], rows, size=3)
    assert set(found.changes) == {study_of.TRAINED, study_of.UNTRAINED, study_of.REDRAWN}
    assert found.groups.shape == (4, 3)
    assert found.layers == ("relu5", "relu7")
    control = next(claim for claim in found.claims() if "shuffled parts" in claim.says)
    assert control.agrees
    found.save(tmp_path)
    with np.load(tmp_path / "correspondence.npz") as arrays:
        assert arrays["trained_delta"].shape == (5, 2, 2, 4)


def test_two_ends():
    assert two_ends(squeezenet1_1(ops=NUMPY)) == ("fire9", "fire9 averaged")


def test_refusals():
    data = Parted([(3, 3)] * 3)
    with pytest.raises(DataError, match=r"two groups of 2 pictures .* need 4 that show dot; there are 3"):
        correspondence(colours(12), data, ["dot"], range(3), size=2)
    with pytest.raises(DataError, match="does not say where parts are"):
        showing(ImageArray(np.zeros((1, 4, 4, 3), np.uint8), [0], ["a"]), ["dot"], [0])
