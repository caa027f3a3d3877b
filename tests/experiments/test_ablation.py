"""Ablation: the variants' widths, counts by hand, and statements that follow the numbers."""

import numpy as np
import pytest
from tiny import NUMPY, colours

from zfnumpy.experiments.ablation import BASE, VARIANTS, Ablation, multiplications, signed, widths
from zfnumpy.models import zfnet_mini


def test_widths_are_the_paper_s_proportions():
    assert widths(BASE) == {"conv": [32, 64, 96, 96, 64], "fc": [256, 256]}
    assert widths("3, 4, 5 wider") == {"conv": [32, 64, 128, 256, 128], "fc": [256, 256]}      # 4/3, 8/3, 2
    assert widths("without 3, 4, 6, 7") == {"conv": [32, 64, 0, 0, 64], "fc": []}
    assert widths("without 7") == {"conv": [32, 64, 96, 96, 64], "fc": [256]}
    assert widths("6, 7 twice as wide")["fc"] == [512, 512]
    for name in VARIANTS:
        nodes = set(zfnet_mini(10, NUMPY, **widths(name)).nodes)
        assert ("conv3" in nodes) == ("3, 4" not in name or "wider" in name)
        assert ("relu7" in nodes) == (not name.startswith("without") or name == "without 3, 4")


def test_multiplications_by_hand():
    # 2 maps of 3 weights at 16 places, 2 maps of 2 weights at 16 places, and 2 scores of 2 averages.
    assert multiplications(colours(4, second=[(1, 0), (0, 1)])) == 2 * 3 * 16 + 2 * 2 * 16 + 2 * 2


def study(errors, training=None):
    error = np.array([[e, e + 0.02] for e in errors])
    return Ablation({}, list(VARIANTS), error, error - 0.05 if training is None else training, np.zeros(9, int), np.zeros(9),
                    (9, 9))


def test_claims_follow_the_numbers():
    paper = study([0.384, 0.454, 0.400, 0.448, 0.713, 0.402, 0.388, 0.375, 0.383])
    training = np.array([0.331, 0.418, 0.274, 0.274, 0.711, 0.382, 0.22, 0.188, 0.1])[:, None] + [0, 0.02]
    paper.training = training
    assert [claim.agrees for claim in paper.claims()] == [True] * 4
    better = study([0.4, 0.1, 0.1, 0.1, 0.2, 0.4, 0.4, 0.4, 0.4])
    assert not better.claims()[0].agrees, "without all four it is the worst of those removed, but better than the whole"
    other = study([0.4, 0.8, 0.5, 0.5, 0.6, 0.7, 0.4, 0.5, 0.5])
    other.training = other.error - np.where(np.arange(9) == 8, 0.01, 0.05)[:, None]
    assert [claim.agrees for claim in other.claims()] == [False] * 4


def test_differences_are_paired():
    assert signed(np.array([0.02, 0.04])) == "+3.0 ± 1.4 points"
    assert signed(np.array([-0.02])) == "-2.0 points"
    assert study([0.1] * 9).of(BASE) == pytest.approx([0.1, 0.12])
