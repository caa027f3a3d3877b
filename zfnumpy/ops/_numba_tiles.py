"""Winograd's minimal filtering F(4×4, 3×3): the transforms of one tile, a vector of channels at a time.

Four outputs of a filter with three taps are a polynomial product, known by its values at six points: six multiplications
instead of twelve, and 36 instead of 144 in two dimensions (Winograd 1980; Lavin and Gray, 1509.09308):

    y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A        for a tile d (6, 6), a filter g (3, 3) and the outputs y (4, 4).

The points are 0, ±3/4, ±3/2 and infinity. With the usual 0, ±1, ±2 float32 results err three times as much; all numbers
below are still exact in binary but those of G. A map to points ±p goes by its even and odd part: every matrix is a
product of two sparse ones, and its transpose, which the gradients need, is the transposed product.
"""

import numpy as np

from ._numba_gemm import VECTOR
from ._numba_vectors import vector_code

LANES = VECTOR // 4                       # channels that a transform takes at once: a vector of float32
POINTS = 6                                # a side; 36 products replace 4×4×9
STEP = 4                                  # outputs of a tile a side
TAPS = 3                                  # of a filter a side

_a, _b = 0.75, 1.5                        # the points are 0, a, -a, b, -b and infinity
_a2, _b2 = _a * _a, _b * _b
_na, _nb = 2 * _a2 * (_a2 - _b2), 2 * _b2 * (_b2 - _a2)
_pairs = np.array([[1, 0, 0, 0, 0, 0],    # (at 0, even and odd part at ±a, at ±b, at infinity) to the six points
                   [0, 1, 1, 0, 0, 0], [0, 1, -1, 0, 0, 0],
                   [0, 0, 0, 1, 1, 0], [0, 0, 0, 1, -1, 0],
                   [0, 0, 0, 0, 0, 1]], float)
_of_input = np.array([[_a2 * _b2, 0, -_a2 - _b2, 0, 1, 0],
                      [0, 0, -_b2, 0, 1, 0], [0, -_a * _b2, 0, _a, 0, 0],
                      [0, 0, -_a2, 0, 1, 0], [0, -_b * _a2, 0, _b, 0, 0],
                      [0, _a2 * _b2, 0, -_a2 - _b2, 0, 1]])
_of_output = np.array([[1, 1, 0, 1, 0, 0], [0, 0, _a, 0, _b, 0], [0, _a2, 0, _b2, 0, 0], [0, 0, _a**3, 0, _b**3, 1]])
_of_filter = np.array([[1 / (_a2 * _b2), 0, 0],
                       [1 / _na, 0, _a2 / _na], [0, _a / _na, 0],
                       [1 / _nb, 0, _b2 / _nb], [0, _b / _nb, 0],
                       [0, 0, 1]])


def _tile_map(name, factors, add=False):
    """Return a kernel function that maps a tile X, LANES channels deep, to M X Mᵀ for M = factors[-1] … factors[0].

    f(x, xo, xrow, xcol, y, yo, yrow, ycol): entry (i, j) of the tile are the LANES numbers from x[xo + i*xrow + j*xcol];
    the result goes to y likewise, added to what is there if `add`.
    """
    size_in, size_out = factors[0].shape[1], factors[-1].shape[0]

    def in_python(x, xo, xrow, xcol, y, yo, yrow, ycol):
        tile = np.array([[x[xo + i * xrow + j * xcol:][:LANES] for j in range(size_in)] for i in range(size_in)])
        for factor in factors:
            tile = np.einsum("ai,bj,ijc->abc", factor, factor, tile)
        for i in range(size_out):
            for j in range(size_out):
                o = yo + i * yrow + j * ycol
                y[o:o + LANES] = tile[i, j] + (y[o:o + LANES] if add else 0)

    def write(code, x, xo, xrow, xcol, y, yo, yrow, ycol):
        def combine(coefficients, values):
            """Return Σ coefficient × value, with additions where a coefficient is 1 or -1."""
            terms = sorted(((c, v) for c, v in zip(coefficients, values) if c), key=lambda term: term[0] != 1)
            c, total = terms[0]
            total = total if c == 1 else code.builder.fmul(code.constant(c), total)
            for c, v in terms[1:]:
                if abs(c) == 1:
                    total = (code.builder.fadd if c == 1 else code.builder.fsub)(total, v)
                else:
                    total = code.fma(code.constant(c), v, total)
            return total

        def along(values):
            """Map one row or column of the tile."""
            for factor in factors:
                values = [combine(row, values) for row in factor]
            return values

        rows = [along([code.load(x, xo, code.times(xrow, i), code.times(xcol, j)) for j in range(size_in)])
                for i in range(size_in)]
        columns = [along([row[j] for row in rows]) for j in range(size_out)]
        for i in range(size_out):
            for j in range(size_out):
                at = yo, code.times(yrow, i), code.times(ycol, j)
                code.store(code.builder.fadd(code.load(y, *at), columns[j][i]) if add else columns[j][i], y, *at)

    return vector_code("annnannn", lambda itemsize: LANES, write, in_python, name)


input_to_points = _tile_map("input_to_points", [_of_input, _pairs])                     # Bᵀ d B    (6, 6) → (6, 6)
filter_to_points = _tile_map("filter_to_points", [_of_filter, _pairs])                  # G g Gᵀ    (3, 3) → (6, 6)
points_to_output = _tile_map("points_to_output", [_pairs.T, _of_output])                # Aᵀ m A    (6, 6) → (4, 4)
output_grad_to_points = _tile_map("output_grad_to_points", [_of_output.T, _pairs])      # A dy Aᵀ   (4, 4) → (6, 6)
points_to_filter_grad = _tile_map("points_to_filter_grad", [_pairs.T, _of_filter.T])    # Gᵀ du G   (6, 6) → (3, 3)
add_points_to_input_grad = _tile_map("add_points_to_input_grad", [_pairs.T, _of_input.T], add=True)
                                                                                        # B dv Bᵀ   (6, 6) → (6, 6)


def _take_in_python(x, xo, plane, step, lanes, count, out, o):
    out[o:o + LANES * LANES] = 0
    for j in range(min(count, LANES)):
        for q in range(lanes):
            out[o + j * LANES + q] = x[xo + q * plane + j * step]


def _write_take(code, x, xo, plane, step, lanes, count, out, o):
    builder, none = code.builder, code.number(0)
    counts = [builder.select(builder.icmp_signed("<", code.number(q), lanes), count, none) for q in range(LANES)]
    with builder.if_else(builder.icmp_signed("==", step, code.number(1))) as (side_by_side, every_other):
        with side_by_side:
            rows = [code.load_first(counts[q], x, xo, code.times(plane, q)) for q in range(LANES)]
            for j, column in enumerate(code.transposed(rows)):
                code.store(column, out, o, j * LANES)
        with every_other:
            rows = []
            for q in range(LANES):
                reach, at = builder.sub(code.times(counts[q], 2), code.number(1)), code.times(plane, q)
                a = code.load_first(reach, x, xo, at)
                b = code.load_first(builder.sub(reach, code.number(LANES)), x, xo, at, LANES)
                rows.append(code.shuffle(a, b, list(range(0, 2 * LANES, 2))))
            for j, column in enumerate(code.transposed(rows)):
                code.store(column, out, o, j * LANES)


# out (LANES, LANES) at o = the first `count` pixels, `step` (1 or 2) apart, of `lanes` planes of x, as (pixel, plane); zero
# beyond. Nothing of x is touched but these pixels and those between them.
take_pixels = vector_code("annnnnan", lambda itemsize: LANES, _write_take, _take_in_python, "take_pixels")


def _put_in_python(rows, s, bias, f, relu, y, o, plane, lanes, count):
    for j in range(min(count, LANES)):
        for q in range(lanes):
            value = rows[s + j * LANES + q] + bias[f + q]
            y[o + q * plane + j] = 0 if relu and value <= 0 else value


def _write_put(code, rows, s, bias, f, relu, y, o, plane, lanes, count):
    builder, none = code.builder, code.constant(0)
    shift, rectify = code.load(bias, f), builder.icmp_signed("!=", relu, code.number(0))
    columns = []
    for j in range(LANES):
        value = builder.fadd(code.load(rows, s, j * LANES), shift)
        columns.append(builder.select(rectify, builder.select(builder.fcmp_ordered("<=", value, none), none, value), value))
    for q, row in enumerate(code.transposed(columns)):
        with builder.if_then(builder.icmp_signed("<", code.number(q), lanes)):
            code.store_first(count, row, y, o, code.times(plane, q))


# The way back: rows (LANES, LANES) at s, plus bias[f:], rectified if `relu`, to `count` pixels of `lanes` planes of y.
put_pixels = vector_code("anannannnn", lambda itemsize: LANES, _write_put, _put_in_python, "put_pixels")
