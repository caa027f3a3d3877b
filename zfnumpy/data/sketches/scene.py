"""One image: an object of a class, in the colours, on the background and at the pose that a seed chooses."""

import math
import operator
from dataclasses import dataclass

import numpy as np

from ...errors import DataError
from . import creatures, things
from .backgrounds import background as draw_background
from .backgrounds import plain
from .canvas import Pen, paint
from .colours import palette as choose_palette
from .geometry import rotation

# What draws each class, and the parts it names; front and rear are the object's own, left and right the onlooker's.
_OBJECTS = {
    "bird": (creatures.bird, ("head", "eye", "beak", "wing", "tail", "legs")),
    "boat": (things.boat, ("hull", "mainsail", "jib", "flag")),
    "car": (things.car, ("front_wheel", "rear_wheel", "front_window", "rear_window", "headlight")),
    "cat": (
        creatures.cat,
        ("left_ear", "right_ear", "left_eye", "right_eye", "nose", "left_whiskers", "right_whiskers"),
    ),
    "clock": (things.clock, ("dial", "hour_hand", "minute_hand", "left_bell", "right_bell")),
    "cup": (things.cup, ("rim", "handle", "saucer", "steam")),
    "face": (creatures.face, ("left_eye", "right_eye", "nose", "mouth", "hair")),
    "fish": (creatures.fish, ("eye", "mouth", "tail", "dorsal_fin", "belly_fin")),
    "flower": (things.flower, ("blossom", "heart", "stem", "left_leaf", "right_leaf")),
    "house": (things.house, ("roof", "chimney", "door", "left_window", "right_window")),
}
CLASSES = tuple(_OBJECTS)
PARTS = {name: parts for name, (_, parts) in _OBJECTS.items()}
_HAVE_A_LEFT = ("cat", "clock", "face", "flower", "house")  # never mirrored, or their left eye would be on the right
_MARGIN = 0.02  # how far a random pose keeps the object from the edges, in image sides


@dataclass
class Truth:
    """What is known of one image; lengths in pixels of the image, from its upper left corner, y down.

    label: index into CLASSES. mask: (size, size) bool, every pixel the object touches. box: (4,) float32, x0, y0, x1,
    y1, half-open, tight around the mask; all zero where nothing of the object is in the image. parts: {name: (x, y,
    radius)}, the circle that holds the part. x, y: the object's centre, that of its box before it is turned. scale:
    the object's longer side before it is turned, over the image's side. angle: degrees, counter-clockwise as one looks
    at it.
    """

    label: int
    box: np.ndarray
    mask: np.ndarray
    parts: dict
    x: float
    y: float
    scale: float
    angle: float


def draw(label_or_name, size=64, seed=0, x=0.5, y=0.5, scale=0.7, angle=0.0, background=True, without=()):
    """Draw one object at an exact pose and return its image (size, size, 3) uint8 and its Truth.

    x, y, scale: the object's centre and longer side in image sides (0..1); angle: degrees, counter-clockwise. All that
    is not the pose - proportions, colours, background - is fixed by class and seed, so any of these can be varied
    alone; whatever is given as None is what the seed draws at random, which lies wholly inside the image. A pose that
    is given may reach beyond the edges; then the mask ends there. background=False leaves one plain colour. Parts named
    in `without` are not drawn, and everything else stays where it is (a face without its "nose").

    seed: a non-negative integer, or a pair (seed, i): image i of load(seed=seed) is draw(its label, size, (seed, i),
    None, None, None, None). Raises DataError for an unknown class or part, a size under 16, a scale not above 0.
    """
    label = class_index(label_or_name)
    size = checked_size(size)
    without = _checked_parts(CLASSES[label], (without,) if isinstance(without, str) else without)
    # A stream for each, so that drawing more from one changes nothing in the others.
    pose_rng, object_rng, colour_rng, ground_rng = np.random.default_rng(checked_seed(seed)).spawn(4)
    palette = choose_palette(colour_rng)
    sketch = _sketch(CLASSES[label], palette.ink_width, object_rng)
    drawn = _random_pose(sketch, pose_rng)
    pose = [float(own if given is None else given) for given, own in zip((x, y, scale, angle), drawn)]
    if not all(map(math.isfinite, pose)) or pose[2] <= 0:
        raise DataError(f"a pose needs finite numbers and a scale above 0, got x, y, scale, angle = {tuple(pose)}")
    ground = draw_background(palette, ground_rng, size) if background else plain(palette, size)
    colour, cover = paint(sketch, palette, size, *pose, without=without)
    image = np.rint(ground + (colour - ground) * cover[..., None]).astype(np.uint8)
    mask, (x, y, scale, angle) = cover > 0, pose
    parts = {name: _placed(sketch.parts[name], size, *pose) for name in PARTS[CLASSES[label]]}
    return image, Truth(label, _tight_box(mask), mask, parts, x * size, y * size, scale, angle)


def class_index(label_or_name):
    """Return a class's index from its index or its name; DataError lists the ten names."""
    if isinstance(label_or_name, str):
        if label_or_name in PARTS:
            return CLASSES.index(label_or_name)
    else:
        label = whole_number(label_or_name, "a sketch's class is a name or an index")
        if 0 <= label < len(CLASSES):
            return label
    raise DataError(f"there is no class {label_or_name!r}; the ten classes (0 to 9) are {', '.join(CLASSES)}")


def checked_size(size):
    """Return a side in pixels as int; below 16 nothing could be recognised, and DataError says so."""
    size = whole_number(size, "a sketch's size is a whole number of pixels")
    if size < 16:
        raise DataError(f"sketches are at least 16 pixels a side, got size={size}")
    return size


def checked_seed(seed):
    """Return a seed, or a pair (seed, i), as a list of non-negative integers."""
    seed_or_pair = seed if isinstance(seed, (tuple, list)) else (seed,)
    numbers = [whole_number(n, "a seed is a whole number") for n in seed_or_pair]
    if not numbers or min(numbers) < 0:
        raise DataError(f"a seed is a whole number from 0 upwards, or a pair of them, got {seed!r}")
    return numbers


def whole_number(value, rule):
    """Return a whole number as int; anything else is refused with the rule it breaks."""
    try:
        return operator.index(value)
    except TypeError:
        raise DataError(f"{rule}, got {value!r}") from None


def _checked_parts(name, without):
    for part in without:
        if part not in PARTS[name]:
            raise DataError(f"a {name} has no part {part!r}; its parts are {', '.join(PARTS[name])}")
    return without


def _sketch(name, ink_width, rng):
    pen = Pen(ink_width)
    _OBJECTS[name][0](pen, rng)
    return pen.finish(flip=rng.uniform() < 0.5 and name not in _HAVE_A_LEFT)


def _random_pose(sketch, rng):
    """Draw x, y, scale and angle such that the object lies inside the image."""
    scale, angle = rng.uniform(0.50, 0.90), rng.uniform(-15, 15)
    x0, y0, x1, y1 = sketch.reach(angle)
    room = 1 - 2 * _MARGIN
    scale = min(scale, room / max(x1 - x0, y1 - y0))
    u, v = rng.uniform(0, 1, 2)
    x = _MARGIN - scale * x0 + u * (room - scale * (x1 - x0))
    y = _MARGIN - scale * y0 + v * (room - scale * (y1 - y0))
    return x, y, scale, angle


def _placed(part, size, x, y, scale, angle):
    """Move a part's circle from the object's frame to the image, in pixels."""
    px, py = part[:2] @ rotation(angle) * scale + (x, y)
    return float(size * px), float(size * py), float(size * scale * part[2])


def _tight_box(mask):
    if not mask.any():
        return np.zeros(4, np.float32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
