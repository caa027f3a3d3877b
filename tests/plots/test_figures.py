"""What several figures share."""

import numpy as np

from zfnumpy.experiments.statistics import mean_deviation
from zfnumpy.plots.figures import deviation


def test_bars_are_as_long_as_the_tables_say():
    # 1, 2 and 6: mean 3, squares 4 + 1 + 9 over 2, root 2.646. Of one value, and beside it a NaN, there is no deviation.
    values = np.array([[1.0, 2, 6], [4, np.nan, np.nan]])
    np.testing.assert_allclose(deviation(values, 1), [7 ** 0.5, 0])
    assert mean_deviation(values[0]) == f"3.000 ± {deviation(values[0]):.3f}"
