"""What several test files of data sets need: a refusal's message, which is one line."""

import pytest

from zfnumpy.errors import DataError


def refusal(open_it, *arguments):
    """Return what a DataError says, after making sure that it is one line."""
    with pytest.raises(DataError) as caught:
        open_it(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)
