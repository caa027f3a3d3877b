"""The checks of arguments that several operations of `face` share."""

from ..errors import DTypeError, ShapeError
from ..shapes import check_dims, check_shape, count


def check_pictures(what, squares, corners, flips, mean):
    """Refuse pictures that are not square, or corners, flips and a mean that do not fit them."""
    for name, array, dtypes in (("squares", squares, ["uint8"]), ("corners", corners, ["int32"]),
                                ("flips", flips, ["bool", "uint8"]), ("mean", mean, ["float32"])):
        if array.dtype not in dtypes:
            raise DTypeError(f"{what}: {name} must be {' or '.join(dtypes)}, got {array.dtype}")
    N, R = check_dims(what, squares, "squares", "N, R, R, 3")[:2]
    check_shape(what, squares, "squares", (N, count(R, f"{what}: the squares' side"), R, 3))
    check_shape(what, corners, "corners", (N, 2))
    check_shape(what, flips, "flips", (N,))
    if tuple(mean.shape) != (3,):
        check_shape(what, mean, "a mean that is no colour (3,)", (3, R, R))


def check_linear(what, array, weight, name, axis):
    check_dims(what, array, name, "N, in" if axis else "N, out")
    check_dims(what, weight, "weight", "out, in")
    if array.shape[1] != weight.shape[axis]:
        raise ShapeError(f"{what} expects {weight.shape[axis]} features, got {array.shape[1]}")


def check_switches(what, switches, y):
    check_shape(what, switches, "switches", y.shape)
    if switches.dtype.kind != "i":
        raise ShapeError(f"{what}: switches must be int32 indices into the plane, got {switches.dtype}")


def read_within(what, result, switches, H, W):
    """Return what a backend made by the switches; None says that it met one outside the plane as it read them."""
    if result is None:
        raise ShapeError(f"{what}: switches run from {int(switches.min())} to {int(switches.max())}, "
                         f"outside a plane of {H}×{W} = {H * W} pixels")
    return result


def norm_settings(size, alpha, beta, k):
    """Return the settings as plain numbers: a float64 scalar of NumPy would turn float32 arrays into float64."""
    return count(size, "local_response_norm: size"), float(alpha), float(beta), float(k)


def check_windows(what, windows, shape=None):
    """Refuse windows whose arrays do not fit one another or maps of `shape` (N, C, H, W)."""
    P = len(windows.images)
    check_shape(what, windows.corners, "the windows' corners", (P, 2))
    for name in ("images", "corners"):
        if getattr(windows, name).dtype.kind != "i":
            raise ShapeError(f"{what}: the windows' {name} must be int64, got {getattr(windows, name).dtype}")
    if min(windows.size) < 1:
        raise ShapeError(f"{what}: a window must have a pixel at least, got {windows.size[0]}×{windows.size[1]}")
    if shape is None:
        return
    if tuple(windows.plane) != tuple(shape[2:]):
        raise ShapeError(f"{what}: the windows are of maps of {windows.plane[0]}×{windows.plane[1]}, "
                         f"but the maps are {shape[2]}×{shape[3]}")
    if P and not (windows.images.min() >= 0 and windows.images.max() < shape[0]):
        raise ShapeError(f"{what}: images run from {windows.images.min()} to {windows.images.max()}, "
                         f"but there are {shape[0]}")


def check_unpooling(what, r, switches, above, below):
    check_dims(what, r, "r", "P, C, h, w")
    check_dims(what, switches, "switches", "N, C, OH, OW")
    if switches.dtype.kind != "i":
        raise ShapeError(f"{what}: switches must be int32 indices into the plane, got {switches.dtype}")
    check_shape(what, switches, "switches", (switches.shape[0], r.shape[1], *switches.shape[2:]))
    check_windows(what, above, switches.shape)
    check_shape(what, r, "r", (len(above.images), switches.shape[1], *above.size))
    check_below(what, above, below)


def check_below(what, above, below):
    check_windows(what, below)
    if len(below.images) != len(above.images):
        raise ShapeError(f"{what}: {len(above.images)} windows above, but {len(below.images)} below")
