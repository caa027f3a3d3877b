"""The randomization test: what is redrawn and when, what its similarities are, and who passes."""

import json

import numpy as np
import pytest

from zfnumpy import get_ops
from zfnumpy.errors import NodeError, ShapeError
from zfnumpy.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from zfnumpy.network import Network
from zfnumpy.visualize import Randomization, randomization_test, rank_correlation, ssim
from zfnumpy.visualize.relevance import MODEL_FREE, chosen
from zfnumpy.visualize.saliency import saliency
from zfnumpy.visualize.sanity import FAILS_FROM, PASSES_BELOW, randomize, weighted_layers

NUMPY = get_ops("numpy")
RNG = np.random.default_rng(0)
LAYERS = ["fc4", "fc3", "conv2", "conv1"]


def network(ops=NUMPY, dtype="float64", init="he"):
    net = Network([("conv1", Conv2d(6, 3, pad=1)), ("relu1", ReLU()), ("pool1", MaxPool2d(2)),
                   ("conv2", Conv2d(8, 3, pad=1)), ("relu2", ReLU()), ("flatten", Flatten()),
                   ("fc3", Linear(40)), ("relu3", ReLU()), ("fc4", Linear(3))],
                  (3, 12, 10), ops, seed=5, dtype=dtype, init=init)
    for name, value in net.params.items():
        if name.endswith("bias"):
            value[...] = 0.1
    return net


def pictures(N=3, dtype="float64"):
    return np.random.default_rng(2).standard_normal((N, 3, 12, 10)).astype(dtype)


class Spy:
    """A method that writes down the weights it sees."""

    def __init__(self):
        self.seen = []

    def __call__(self, net, x, label=None, tape=None):
        self.seen.append({name: np.array(value) for name, value in net.params.items()})
        return saliency(net, x, label, tape)

    def changed(self, before, after):
        return [name for name in before if not np.array_equal(before[name], after[name])]


def names_of(*layers):
    return sorted(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))


# ---- what is redrawn ------------------------------------------------------------------------------------------------

def test_layers_are_redrawn_from_the_top_down_and_stay_so():
    net, spy = network(), Spy()
    before = {name: value.copy() for name, value in net.params.items()}
    found = randomization_test(net, pictures(), {"spy": spy}, draws=1)
    assert found.layers == LAYERS == weighted_layers(net)
    assert len(spy.seen) == 5
    assert not spy.changed(before, spy.seen[0])
    for step, layer in enumerate(LAYERS):
        assert sorted(spy.changed(spy.seen[step], spy.seen[step + 1])) == names_of(layer)     # nothing below, nothing above
    assert not spy.changed(before, net.params)                                                # the network is left alone


def test_single_layers_are_redrawn_by_themselves():
    net, spy = network(), Spy()
    randomization_test(net, pictures(), {"spy": spy}, cascading=False, draws=1)
    for layer, seen in zip(LAYERS, spy.seen[1:]):
        assert sorted(spy.changed(spy.seen[0], seen)) == names_of(layer)


def test_between_the_layers_looked_at_all_are_redrawn_and_the_last_look_is_at_a_random_network():
    net, spy = network(), Spy()
    found = randomization_test(net, pictures(), {"spy": spy}, layers=["fc3"], draws=1)
    assert found.layers == ["fc3", "conv1"]
    assert sorted(spy.changed(spy.seen[0], spy.seen[1])) == names_of("fc4", "fc3")
    assert sorted(spy.changed(spy.seen[1], spy.seen[2])) == names_of("conv2", "conv1")
    assert randomization_test(net, pictures(), {"spy": spy}, layers=["fc3"], cascading=False).layers == ["fc3"]


@pytest.mark.parametrize("init", ["he", "paper"])
def test_a_layer_is_drawn_as_it_was_begun(init):
    net = network(init=init)
    randomize(net, LAYERS, seed=3)
    for name, fan_in in (("fc3", 240), ("conv2", 54)):
        expected = np.sqrt(2 / fan_in) if init == "he" else 1e-2
        assert net.params[f"{name}.weight"].std() == pytest.approx(expected, rel=0.1)
        assert abs(net.params[f"{name}.weight"].mean()) < 0.2 * expected
        assert not net.params[f"{name}.bias"].any()
    one, other = (net.params[f"{name}.weight"].ravel()[:100] for name in ("fc3", "conv2"))
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.4                  # and no two layers from the same numbers


def test_the_seed_decides_alone():
    nets = [network() for _ in range(3)]
    randomize(nets[0], LAYERS, seed=1)
    for layer in reversed(LAYERS):
        randomize(nets[1], [layer], seed=1)
    randomize(nets[2], LAYERS, seed=2)
    for name in nets[0].params:
        assert (nets[0].params[name] == nets[1].params[name]).all()
        assert name.endswith("bias") or not np.allclose(nets[0].params[name], nets[2].params[name])
    randomize(nets[2], LAYERS, seed=1, draw=1)
    assert not np.allclose(nets[0].params["fc3.weight"], nets[2].params["fc3.weight"])
    same = [randomization_test(network(), pictures(), seed=4) for _ in range(2)]
    assert (same[0].correlation == same[1].correlation).all()
    assert (same[0].maps == same[1].maps).all()
    assert not np.array_equal(same[0].correlation, randomization_test(network(), pictures(), seed=5).correlation)


# ---- what is compared -----------------------------------------------------------------------------------------------

def test_similarities_are_those_of_the_maps():
    net, x, labels = network(), pictures(), [2, 0, 1]
    found = randomization_test(net, x, {"gradient": saliency}, labels, draws=1, shown=1)
    other, before = net.copy(), saliency(net, x, labels)
    assert (found.maps[0, 0] == before[1]).all()
    for step, layer in enumerate(LAYERS):
        randomize(other, [layer])
        after = saliency(other, x, labels)
        np.testing.assert_allclose(found.correlation[0, step], [rank_correlation(a, b) for a, b in zip(before, after)])
        np.testing.assert_allclose(found.ssim[0, step], ssim(before, after))
        assert (found.maps[0, 1 + step] == after[1]).all()
    np.testing.assert_allclose(found.others[0], [rank_correlation(before[n], before[(n + 1) % 3]) for n in range(3)])
    assert found.labels.tolist() == labels
    assert not found.blank.any()


def test_pictures_are_dealt_out_to_the_random_networks():
    net, x, labels = network(), pictures(5), np.array([2, 0, 1, 1, 0])
    found = randomization_test(net, x, {"gradient": saliency}, labels, draws=2, shown=3)
    before = saliency(net, x, labels)
    for draw, dealt in ((0, [0, 2, 4]), (1, [1, 3])):
        other = net.copy()
        randomize(other, LAYERS, draw=draw)
        after = saliency(other, x, labels)
        np.testing.assert_allclose(found.correlation[0, -1, dealt], [rank_correlation(before[n], after[n]) for n in dealt])
        np.testing.assert_allclose(found.ssim[0, -1, dealt], ssim(before, after)[dealt])
    np.testing.assert_allclose(found.maps[0, -1], after[3], rtol=1e-12)
    assert (found.draws, randomization_test(net, x[:2], {"gradient": saliency}).draws) == (2, 2)


def test_the_class_is_the_trained_network_s_throughout():
    net, x = network(), pictures()
    best, spied = net.scores(x).argmax(axis=1), []
    randomization_test(net, x, {"spy": lambda net, x, label, tape: spied.append(label) or saliency(net, x, label, tape)},
                       draws=1)
    assert all((label == best).all() for label in spied)


def test_signs_do_not_count():
    net, signs = network(), iter([1, -1, 1, -1, 1])
    x = pictures()
    ramp = np.arange(1, 121.0).reshape(1, 12, 10).repeat(3, 0)
    found = randomization_test(net, x, {"flipping": lambda net, x, label, tape: next(signs) * ramp}, draws=1)
    assert (found.correlation == 1).all()
    assert (found.ssim == 1).all()


def test_what_ignores_the_model_fails_the_sanity_check():
    found = randomization_test(network(), pictures(), chosen(MODEL_FREE))
    assert (found.correlation == 1).all()
    assert (found.ssim == 1).all()
    assert [found.verdict(name) for name in MODEL_FREE] == ["fails"] * 3


def test_a_map_that_is_nothing_but_weights_passes():
    """The gradient of a linear network: before and after, independent noise."""
    net = Network([("flatten", Flatten()), ("fc", Linear(4))], (3, 32, 32), NUMPY, dtype="float64", seed=9)
    found = randomization_test(net, RNG.standard_normal((4, 3, 32, 32)), chosen(["gradient", "edges"]), [0, 1, 2, 3])
    assert abs(found.similarity("gradient")) < 0.05
    assert (found.verdict("gradient"), found.verdict("edges")) == ("passes", "fails")


def made(means, cascading=True):
    """A Randomization of one method whose mean correlations are given."""
    correlation = np.array(means)[None, :, None] + np.array([-0.1, 0.1])
    return Randomization(["m"], list("abc")[:len(means)], np.zeros(2, int), correlation, correlation, np.zeros((1, 2)),
                         np.zeros((1, 2, 1, 1)), np.zeros((1, 3), int), cascading=cascading)


@pytest.mark.parametrize(("alike", "verdict"), [
    (PASSES_BELOW - 1e-9, "passes"), (-0.1, "passes"), (PASSES_BELOW + 1e-9, "partly"), (-0.3, "partly"),
    (FAILS_FROM - 1e-9, "partly"), (FAILS_FROM + 1e-9, "fails"), (-0.8, "fails")])
def test_the_verdict_goes_by_the_mean_after_the_last_step(alike, verdict):
    assert made([0.9, 0.7, alike]).verdict("m") == verdict


def test_of_single_layers_the_one_that_changes_least_decides():
    assert (made([0.1, 0.6, 0.2], False).decisive("m"), made([0.1, 0.6, 0.2], False).verdict("m")) == (1, "fails")
    assert made([0.1, 0.15, 0.2 - 1e-9], False).verdict("m") == "passes"


def test_noise_passes_where_the_rule_says_that_it_does():
    """Maps that share nothing, white and as coarse as 4 × 4 enlarged, ten pictures each."""
    for side in (64, 4):
        means = [np.mean([rank_correlation(*RNG.random((2, side, side))) for _ in range(10)]) for _ in range(30)]
        assert np.std(means) == pytest.approx(1 / np.sqrt(10 * (side ** 2 - 1)), rel=0.4)
        assert np.max(np.abs(means)) < PASSES_BELOW + 0.1
        assert np.mean(np.abs(means) <= PASSES_BELOW) > 0.9


# ---- the edges of it ------------------------------------------------------------------------------------------------

def test_blank_maps_are_counted_and_compared_as_constants():
    steps = iter([1, 0, 1, 0, 0])

    def dying(net, x, label, tape):
        return next(steps) * RNG.random((3, 12, 10))

    found = randomization_test(network(), pictures(), {"dying": dying}, draws=1)
    assert found.blank.tolist() == [[3, 0, 3, 3]]
    assert (found.correlation[0, [0, 2, 3]] == 0).all()
    always = randomization_test(network(), pictures(), {"zero": lambda net, x, label, tape: np.zeros((len(x), 12, 10))})
    assert (always.correlation == 1).all()
    assert always.verdict("zero") == "fails"


def test_one_blank_picture():
    found = randomization_test(network(), np.zeros((1, 3, 12, 10)))
    for each in (found.correlation, found.ssim, found.maps):
        assert np.isfinite(each).all()
    assert np.isnan(found.others).all()
    assert found.verdict("edges") == "fails"


def test_wishes_that_cannot_be_granted():
    with pytest.raises(NodeError, match="relu1 has no weights to randomize; fc4, fc3, conv2, conv1 have"):
        randomization_test(network(), pictures(), layers=["relu1"])
    with pytest.raises(NodeError, match="relu1 has no weights to randomize"):
        randomize(network(), ["relu1"])
    with pytest.raises(NodeError, match="has no layer 'conv9'"):
        randomization_test(network(), pictures(), layers=["conv9"])
    with pytest.raises(ShapeError, match="picture 3 is to be shown, of 3, 0 to 2"):
        randomization_test(network(), pictures(), shown=3)
    bare = Network([("flatten", Flatten())], (3, 1, 1), NUMPY)
    with pytest.raises(NodeError, match="network has no layer with weights"):
        randomization_test(bare, np.zeros((1, 3, 1, 1), np.float32))


def test_a_few_layers_of_many():
    assert weighted_layers(network(), 2) == ["fc4", "conv1"]
    assert weighted_layers(network(), 3) == ["fc4", "conv2", "conv1"]
    assert weighted_layers(network(), 9) == LAYERS


def test_progress_counts_the_layers():
    counted = []
    randomization_test(network(), pictures(), draws=2, progress=lambda steps: counted.append(len(steps)) or steps)
    assert counted == [8]


def test_saved(tmp_path):
    found = randomization_test(network(), pictures(), chosen(["gradient", "edges"]))
    found.save(tmp_path)
    with np.load(tmp_path / "randomization.npz") as arrays:
        assert (arrays["correlation"] == found.correlation).all()
        assert (arrays["maps"] == found.maps).all()
    about = json.loads((tmp_path / "randomization.json").read_text())
    assert about["layers"] == LAYERS
    assert about["methods"]["edges"]["verdict"] == "fails"
    assert about["methods"]["gradient"]["rank correlation"] == pytest.approx(found.correlation[0].mean(axis=-1).tolist())


def test_on_a_device(device_ops):
    x = pictures(2, "float32")
    methods = chosen(["gradient", "guided", "deconvnet", "edges"])
    expected = randomization_test(network(dtype="float32"), x, methods, [1, 2])
    found = randomization_test(network(device_ops, "float32"), device_ops.asarray(x), methods, [1, 2])
    np.testing.assert_allclose(found.correlation, expected.correlation, atol=2e-3)
    np.testing.assert_allclose(found.ssim, expected.ssim, atol=1e-3)
