"""Colours that go together: palettes chosen by lightness, strength and hue, and turned into RGB."""

import math
from dataclasses import dataclass


@dataclass
class Palette:
    """The colours of one image as (r, g, b) in 0..255, and how its object is textured and lit.

    roles: the object's colours by name (main, second, third, light, dark, ink, and weave, the pattern on main).
    ground: the background's colours; the first is its base. clutter: colours for the shapes strewn over it.
    pattern: (kind, turn in degrees, period in object sides), or None for a plain object.
    light: (x, y), how much brighter the object becomes over one object side to the right and downwards.
    """

    roles: dict
    ground: list
    clutter: list
    ink_width: float
    pattern: tuple | None
    light: tuple


def rgb(lightness, chroma, hue):
    """Turn an OKLCH colour (lightness 0..1, chroma 0..0.3, hue in degrees) into (r, g, b) integers 0..255.

    In OKLCH equal lightness looks equally light whatever the hue, so contrast can be asked for by a number. Colours
    that a screen cannot show are made paler until it can.
    """
    a, b = math.cos(math.radians(hue)), math.sin(math.radians(hue))
    while True:
        u, v = chroma * a, chroma * b
        long = (lightness + 0.3963377774 * u + 0.2158037573 * v) ** 3
        middle = (lightness - 0.1055613458 * u - 0.0638541728 * v) ** 3
        short = (lightness - 0.0894841775 * u - 1.2914855480 * v) ** 3
        linear = (
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        )
        if chroma < 0.01 or (min(linear) > -0.001 and max(linear) < 1.001):
            return tuple(round(255 * _gamma(min(max(c, 0.0), 1.0))) for c in linear)
        chroma *= 0.88


def _gamma(c):
    return 12.92 * c if c <= 0.0031308 else 1.055 * c ** (1 / 2.4) - 0.055


def palette(rng):
    """Choose an image's colours, the same way for every class: colour alone tells no class from another."""
    u = rng.uniform
    ground_l = u(0.28, 0.93)
    # The object's main colour is at least 0.2 lighter or darker than the ground, wherever there is room for that.
    rooms = [(low, high) for low, high in ((0.50, ground_l - 0.2), (ground_l + 0.2, 0.92)) if high > low]
    widths = [high - low for low, high in rooms]
    low, high = rooms[0] if len(rooms) == 1 or u(0, sum(widths)) < widths[0] else rooms[1]
    main_l = u(low, high)
    hue = u(0, 360)
    accent = hue + rng.choice((-120, -60, -35, 35, 60, 120, 180)) + u(-12, 12)
    third = accent + rng.choice((-60, 60, 150)) + u(-12, 12)
    strength = u(0.08, 0.19)
    second_l = _apart(main_l, u(0.14, 0.30), rng)
    third_l = _apart(main_l, u(0.10, 0.24), rng)
    weave_l = _apart(main_l, u(0.06, 0.11), rng)
    roles = {
        "main": rgb(main_l, strength, hue),
        "weave": rgb(weave_l, strength, hue + u(-25, 25)),
        "second": rgb(second_l, u(0.08, 0.18), accent),
        "third": rgb(third_l, u(0.08, 0.19), third),
        "light": rgb(u(0.90, 0.97), u(0.0, 0.05), accent),
        "dark": rgb(u(0.18, 0.28), u(0.0, 0.06), hue),
        "ink": rgb(u(0.14, 0.26), u(0.02, 0.06), hue + u(-40, 40)),
    }
    # Half of the grounds are of the object's own hues.
    ground_hue = hue + u(-30, 30) if u() < 0.5 else accent + u(20, 340)
    ground_strength, spread = u(0.02, 0.12), u(10, 70)
    ground = [rgb(ground_l, ground_strength, ground_hue)] + [
        rgb(_within(ground_l + u(-0.11, 0.11)), ground_strength * u(0.6, 1.3), ground_hue + u(-spread, spread))
        for _ in range(3)
    ]
    clutter = [rgb(_within(ground_l + u(-0.18, 0.18)), u(0.04, 0.16), ground_hue + u(-140, 140)) for _ in range(4)]
    clutter += [roles["main"]]
    pattern = None
    if u() < 0.25:
        pattern = (("stripes", "dots", "checks")[rng.integers(3)], u(0, 180), u(0.10, 0.20))
    down = -u(0.1, 0.5)
    return Palette(roles, ground, clutter, u(0.024, 0.036), pattern, (u(-0.3, 0.3), down))


def _apart(lightness, step, rng):
    """Return a lightness `step` away, to either side where both are possible."""
    up, down = lightness + step, lightness - step
    if up > 0.93:
        return down
    return up if down < 0.30 or rng.uniform() < 0.5 else down


def _within(lightness):
    return min(max(lightness, 0.18), 0.96)
