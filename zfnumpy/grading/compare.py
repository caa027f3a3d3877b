"""What is different between what a function returned and what it should have: one line, as a teaching assistant says it."""

import numpy as np

from ._runner import Unknown


def tidy(text, most=600):
    """Return text that a student had a hand in as one line to print: no control characters, nothing that turns it round."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text)[:most + 1])
    return text if len(text) <= most else text[:most - 1] + "…"


def difference(got, expected, tolerance=1e-6, what="the result"):
    """Return None where `got` is what was `expected`, else a line that says where they first differ.

    Arrays: shape, then dtype, then values within `tolerance` of the largest expected magnitude. Lists and tuples count
    as one another; each of their parts is compared.
    """
    if isinstance(expected, (tuple, list)):
        if not isinstance(got, (tuple, list)):
            return f"{what} should be {len(expected)} values, got {_named(got)}"
        if len(got) != len(expected):
            return f"{what} should be {len(expected)} values, got {len(got)}"
        found = (difference(g, e, tolerance, f"value {i + 1} of {what}") for i, (g, e) in enumerate(zip(got, expected)))
        return next((line for line in found if line), None)
    if isinstance(expected, dict):
        if not isinstance(got, dict) or set(got) != set(expected):
            keys = ", ".join(str(key)[:50] for key in list(got)[:20]) if isinstance(got, dict) else _named(got)
            return f"{what} should be a dict of {', '.join(map(str, expected))}, got {keys}"
        found = (difference(got[key], expected[key], tolerance, f"{what}[{key!r}]") for key in expected)
        return next((line for line in found if line), None)
    if expected is None or isinstance(expected, (str, bool)):
        right = type(got) is type(expected) and got == expected
        return None if right else f"{what} should be {expected!r}, got {_named(got)}"
    return _array_difference(got, expected, tolerance, what)


def _array_difference(got, expected, tolerance, what):
    if got is None:
        return f"{what} is None: the function returns nothing"
    if isinstance(got, (Unknown, str, dict)):
        return f"{what} should be {_named(expected)}, got {_named(got)}"
    is_scalar = np.ndim(expected) == 0
    try:
        array, wanted = np.asarray(got), np.asarray(expected)
    except ValueError:
        return f"{what} should be an array, got a list of unequal parts"
    if array.shape != wanted.shape:
        return f"{what} should have shape {wanted.shape}, got {array.shape}"
    if not is_scalar and isinstance(got, np.ndarray) and array.dtype != wanted.dtype:
        return f"{what} should be {wanted.dtype}, got {array.dtype}"
    if array.dtype.kind not in "biufc":
        return f"{what} should hold numbers, got {array.dtype}"
    if not wanted.size:
        return None
    finite = wanted[np.isfinite(wanted)]
    room = tolerance * (np.abs(finite).max() if finite.size else 1)
    with np.errstate(all="ignore"):
        same = (np.abs(array.astype(np.result_type(array, np.float64)) - wanted) <= room) | (array == wanted)
    same |= np.isnan(array) & np.isnan(wanted)
    if same.all():
        return None
    wrong = np.argwhere(~same)
    if is_scalar:
        return "{} should be {}, got {}".format(what, *_numbers(expected, got))
    first = tuple(int(i) for i in wrong[0])
    place = ", ".join(map(str, first))
    should, is_ = _numbers(wanted[first], array[first])
    return f"{what}[{place}] should be {should}, got {is_}; {len(wrong)} of {wanted.size} values differ"


def _numbers(*values):
    """Return numbers as text, with so many digits that different ones look different."""
    for digits in (6, 9, 12, 17):
        texts = [f"{value:.{digits}g}" if np.asarray(value).dtype.kind in "fc" else str(value) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _named(value):
    if isinstance(value, Unknown):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, (int, float, str)):
        text = f"{value!r}"
        return text if len(text) <= 100 else text[:99] + "…"
    return "None" if value is None else f"a {type(value).__name__}"
