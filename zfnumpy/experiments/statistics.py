"""Numbers as a study tells them: means with deviations or standard errors, and rank correlations."""

import numpy as np


def mean_deviation(values, digits=3, percent=False):
    """Return "0.071 ± 0.008" of values (N,): mean and standard deviation over N; "7.1 ± 0.8 %" with `percent`.

    Of one value, which has no deviation, it is the value alone.
    """
    values = [float(value) * (100 if percent else 1) for value in values]
    mean, unit = sum(values) / len(values), " %" if percent else ""
    if len(values) == 1:
        return f"{mean:.{digits}f}{unit}"
    spread = (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5
    return f"{mean:.{digits}f} ± {spread:.{digits}f}{unit}"


def difference(values, digits=4):
    """Return "0.0120 ± 0.0013" of values (G,): their mean and its standard error."""
    return f"{values.mean():.{digits}f} ± {standard_error(values):.{digits}f}"


def standard_error(values):
    """Return the standard error of the mean of values (G,); infinite for one."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("inf")


def above(values):
    """Tell whether the mean of values (G,) is above 0 by more than two standard errors."""
    return bool(values.mean() > 2 * standard_error(values))


def rank_correlation(values):
    """Return Spearman's rank correlation of values (N,) with their order; 0 for fewer than two or all alike."""
    values = np.asarray(values, np.float64)
    ranks = np.array([(values < v).sum() + ((values == v).sum() - 1) / 2 for v in values])
    order = np.arange(len(values)) - (len(values) - 1) / 2
    apart = ranks - ranks.mean() if len(values) else ranks
    length = np.sqrt((apart ** 2).sum() * (order ** 2).sum())
    return float((apart * order).sum() / length) if length > 0 else 0.0
