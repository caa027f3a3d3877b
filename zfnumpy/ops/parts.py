"""How a filter is cut into parts of three taps at stride 1, which is what Winograd's minimal filtering takes.

Along an axis, a filter of K taps at stride S is the sum of filters of at most three taps at stride 1: S phases, each cut
every three taps. 5 taps at stride 2 are taps 0, 2, 4 of the even pixels and taps 1, 3 of the odd ones; 5 taps at stride 1
are three taps, and two taps three pixels on. Two axes make a part of every pair.
"""

TAPS = 3                  # of a part's filter a side


def axis_parts(K, S):
    """Return the parts (offset, taps) of a filter with K taps at stride S, those with more taps first."""
    parts = [(p + TAPS * S * block, min(TAPS, taps - TAPS * block))
             for p in range(min(S, K)) for taps in [-(-(K - p) // S)] for block in range(-(-taps // TAPS))]
    return sorted(parts, key=lambda part: -part[1])


def possible(win):
    """Say whether a convolution can go by tiles: at most two parts an axis, one of them with three taps."""
    axes = [axis_parts(K, S) for K, S in ((win.KH, win.SH), (win.KW, win.SW))]
    return all(len(parts) <= 2 and parts[0][1] == TAPS for parts in axes)


def in_order(rows, columns):
    """Return the pairs (row part, column part) of so many parts an axis, at most two, where the first has three taps.

    A part with two taps has nothing at infinity. In this order the pairs that a point needs, those with three taps down
    or three across, stand side by side.
    """
    return [(i, j) for i, j in ((1, 0), (0, 0), (0, 1), (1, 1)) if i < rows and j < columns]
