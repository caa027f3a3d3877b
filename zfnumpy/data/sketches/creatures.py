"""How a bird, a cat, a face and a fish are drawn: pen and rng in, shapes with named parts out.

Units are free; every object is scaled to side 1 afterwards. y grows downwards.
"""

import numpy as np

from .geometry import arc, box, ellipse, rotated, smooth

SIDES = ((-1, "left"), (1, "right"))  # as one looks at the image


def bird(pen, rng):
    """A bird from its right side: egg-shaped body, head, beak, wing, fanned tail and two legs."""
    u = rng.uniform
    long, deep, lean = u(0.26, 0.33), u(0.19, 0.25), u(10, 38)
    r = u(0.13, 0.17)
    tip = rotated([(long, 0)], lean)[0]  # where the body's axis leaves it, at the breast
    neck = tip + (u(-0.05, 0.02), -r * u(0.35, 0.75))
    tail_length, fan = u(0.24, 0.36), u(0.07, 0.13)
    foot = deep + u(0.13, 0.19)
    with pen.part("legs", at=(0.085, (deep + foot) / 2)):  # on the fore leg: there is nothing between the two
        for x in (-0.05, 0.08):
            pen.stroke(np.array([(x, deep * 0.6), (x + 0.01, foot)]), 0.022, fill="third")
            pen.stroke(np.array([(x - 0.03, foot), (x + 0.08, foot)]), 0.022, fill="third")
    with pen.part("tail"):
        root, end = -long * 0.7, -long * 0.8 - tail_length
        feathers = [(root, -0.07), (end, -fan), (end + 0.05, 0), (end, fan), (root, 0.07)]
        pen.shape(rotated(feathers, lean + u(-25, 5)), fill="second")
    body = rotated(ellipse(0, 0, long, deep, power=u(1.9, 2.3)), lean)
    pen.shape(body)
    with pen.part("beak"):
        length, thick = u(0.13, 0.22), u(0.05, 0.08)
        beak = [(r * 0.6, -thick), (r + length, thick * u(-0.2, 0.6)), (r * 0.6, thick)]
        pen.shape(rotated(beak, u(-12, 5)) + neck, fill="third")
    head = ellipse(*neck, r, r * u(0.9, 1.0))
    with pen.part("head"):
        if u() < 0.4:  # a crest
            crest = np.array([(-0.5, -0.6), (-1.1, -1.55), (-0.1, -1.2), (0.1, -1.6), (0.4, -1.0)])
            pen.shape(r * crest + neck, fill="second")
        pen.shape(head)
    pen.shape(body, ink=False)  # hides the ink between head and body
    if u() < 0.5:
        pen.shape(rotated(ellipse(long * 0.15, deep * 0.45, long * 0.6, deep * 0.45), lean), fill="light", ink=False)
    with pen.part("eye"):
        x, y = neck + (r * 0.25, -r * 0.15)
        pen.shape(ellipse(x, y, r * 0.42, n=16), fill="light", ink=False)
        pen.shape(ellipse(x + r * 0.06, y, r * 0.25, n=12), fill="dark", ink=False)
    with pen.part("wing"):
        back, drop = long * u(1.0, 1.35), deep * u(0.6, 0.85)
        front, hind = long * 0.4, -back * 0.3
        wing = smooth([(front, -drop * 0.5), (front, drop * 0.6), (hind, drop), (-back, 0), (hind, -drop)])
        pen.shape(rotated(wing, lean + u(-12, 18)), fill="second")


def cat(pen, rng):
    """The head of a cat: pointed ears, slit or round pupils, a small nose and whiskers."""
    u = rng.uniform
    wide, tall = u(0.38, 0.45), u(0.31, 0.38)
    ear, lean = u(0.22, 0.32), u(0.0, 0.1)
    for side, name in SIDES:
        with pen.part(f"{name}_ear"):
            inner, outer = (side * wide * 0.18, -tall * 0.86), (side * wide * 0.93, -tall * 0.25)
            tip = (side * (wide * 0.8 + lean), -tall - ear)
            pen.shape(smooth([inner, inner, tip, tip, outer, outer], rounds=1))
            middle = np.mean([inner, tip, outer], axis=0)
            pen.shape((np.array([inner, tip, outer]) - middle) * 0.55 + middle, fill="third", ink=False)
    pen.shape(ellipse(0, 0, wide, tall, power=u(2.0, 2.5)))
    if u() < 0.6:  # stripes upon the forehead
        for x in (-0.09, 0, 0.09):
            pen.line([(x, -tall * 0.9), (x * 0.7, -tall * 0.55)], 0.035, role="second")
    apart, r, slit = wide * u(0.42, 0.52), u(0.075, 0.11), u(0.3, 0.6)
    y = -tall * u(0.05, 0.25)
    iris = "light" if u() < 0.4 else "second"
    for side, name in SIDES:
        with pen.part(f"{name}_eye"):
            pen.shape(ellipse(side * apart, y, r, r * u(0.8, 1.05), n=20), fill=iris)
            pen.shape(ellipse(side * apart, y, r * slit, r * 0.75, n=12), fill="dark", ink=False)
    muzzle = tall * u(0.28, 0.4)
    if u() < 0.6:
        for side in (-1, 1):
            pen.shape(ellipse(side * 0.075, muzzle + 0.07, 0.1, 0.085, n=20), fill="light", ink=False)
    mouth = muzzle + u(0.07, 0.09)
    for side in (-1, 1):
        pen.line(arc(side * 0.06, mouth, 0.06, 0.06, 180, 360, n=8))
    with pen.part("nose"):
        n = u(0.05, 0.075)
        tip = [(-n, muzzle - n * 0.6), (n, muzzle - n * 0.6), (0, muzzle + n * 0.7)]
        pen.shape(smooth(tip, rounds=1), fill="third")
    reach, rise = wide + u(0.06, 0.16), u(-0.03, 0.06)
    for side, name in SIDES:
        # Their place is the root of the middle whisker: half of each lies outside the head, where they are thin.
        with pen.part(f"{name}_whiskers", at=(side * wide * 0.75, mouth - rise * 0.5)):
            for k in (-1, 0, 1):
                pen.line([(side * wide * 0.5, mouth + 0.035 * k), (side * reach, mouth - rise + 0.1 * k)])


def face(pen, rng):
    """A human face from the front: hair in one of four styles, ears, eyes, nose and mouth."""
    u = rng.uniform
    wide, tall = u(0.33, 0.41), u(0.41, 0.48)
    style = ("fringe", "curls", "spikes", "long")[rng.integers(4)]
    if style == "long":
        with pen.part("hair"):
            side, hem = wide * 1.22, tall * u(0.5, 0.95)
            pen.shape(box(-side, -tall * 1.1, side, hem, wide * u(0.6, 1.0)), fill="second")
    else:
        for side in (-1, 1):
            pen.shape(ellipse(side * wide, u(-0.02, 0.06), 0.075, 0.1, n=20))
    pen.shape(ellipse(0, 0, wide, tall, power=u(2.0, 2.9)))
    with pen.part("hair", at=(0.0, -tall * 0.85)):
        _hair(pen, rng, style, wide, tall)
    apart, y = wide * u(0.40, 0.50), -tall * u(0.05, 0.2)
    r, plain, look = u(0.075, 0.105), u() < 0.25, u(-0.4, 0.4)
    glasses, brow = u() < 0.25, u(-0.03, 0.03)
    for side, name in SIDES:
        with pen.part(f"{name}_eye"):
            if plain:
                pen.shape(ellipse(side * apart, y, r * 0.5, r * 0.7, n=16), fill="dark", ink=False)
            else:
                pen.shape(ellipse(side * apart, y, r, r * u(0.8, 1.0), n=20), fill="light")
                pen.shape(ellipse(side * apart + look * r, y, r * 0.5, n=12), fill="dark", ink=False)
        if glasses:
            rim = ellipse(side * apart, y, r * 1.55, n=24)
            pen.line(np.concatenate([rim, rim[:1]]), 0.03, role="dark")
            pen.line([(0, y - 0.01), (side * (apart - r * 1.5), y - 0.01)], 0.03, role="dark")
        else:
            over = y - r * 1.6
            pen.line([(side * (apart - r), over + brow), (side * (apart + r), over - brow)], 0.035, role="dark")
    length = tall * u(0.25, 0.36)
    with pen.part("nose"):
        if u() < 0.5:
            pen.shape(smooth([(-0.01, y), (0.065, y + length), (-0.065, y + length)], rounds=1), fill="main")
        else:
            pen.shape(ellipse(0, y + length * 0.8, u(0.04, 0.065), u(0.04, 0.06), n=16), fill="third")
    _mouth(pen, rng, wide * u(0.35, 0.6), tall * u(0.52, 0.64))


def _hair(pen, rng, style, wide, tall):
    u = rng.uniform
    cap = arc(0, 0, wide * 1.05, tall * 1.06, 25, 155)
    if style in ("fringe", "long"):
        part = u(-0.6, 0.6) * wide
        hem = [(-wide * 0.85, -tall * 0.42), (part, -tall * u(0.55, 0.85)), (wide * 0.85, -tall * 0.42)]
        pen.shape(np.concatenate([cap, hem]), fill="second")
    elif style == "curls":
        size = u(0.10, 0.14)
        spots = arc(0, 0, wide * 0.98, tall * 0.95, 15, 165, n=7)
        pen.shape(*(ellipse(x, y, size, n=16) for x, y in spots), fill="second")
    else:
        tips = arc(0, 0, wide * 1.15, tall * u(1.2, 1.4), 20, 160, n=6)
        roots = arc(0, 0, wide * 0.85, tall * 0.72, 12, 168, n=7)
        zigzag = np.concatenate([np.stack([roots[:-1], tips], axis=1).reshape(-1, 2), roots[-1:]])
        pen.shape(zigzag, fill="second")


def _mouth(pen, rng, half, y):
    """A grin, a smile, an open mouth or a straight one."""
    kind, deep = rng.integers(4), rng.uniform(0.04, 0.11)
    with pen.part("mouth"):
        if kind == 0:
            pen.shape(arc(0, y, half, deep * 1.4, 180, 360, n=12), fill="light")
        elif kind == 1:
            pen.line(arc(0, y, half, deep, 190, 350, n=10), 0.045, role="dark")
        elif kind == 2:
            pen.shape(ellipse(0, y, half * 0.6, deep, n=20), fill="dark")
        else:
            pen.shape(ellipse(0, y, half, deep * 0.6, n=20), fill="third")


def fish(pen, rng):
    """A fish swimming to the right: tail, fins above and below, an eye and a mouth."""
    u = rng.uniform
    long, deep = u(0.34, 0.40), u(0.17, 0.29)
    with pen.part("tail"):
        spread, notch = u(0.15, 0.24), u(0.04, 0.1)
        x = -long - u(0.2, 0.26)
        fork = [(-long * 0.75, 0), (x, -spread), (x + notch, 0), (x, spread)]
        pen.shape(smooth(fork, rounds=1), fill="second")
    with pen.part("dorsal_fin"):
        high, back = deep + u(0.08, 0.16), u(-0.24, -0.10)
        fin = [(long * 0.45, -deep * 0.7), (0.02, -high), (back, -high * u(0.9, 1.1)), (back, -deep * 0.6)]
        pen.shape(smooth(fin, rounds=1), fill="second")
    with pen.part("belly_fin"):
        low = deep + u(0.06, 0.13)
        fin = [(0.12, deep * 0.7), (-0.04, low), (-0.14, low), (-0.06, deep * 0.7)]
        pen.shape(smooth(fin, rounds=1), fill="second")
    # Narrow at the tail, blunt at the head.
    half = np.linspace(0, np.pi, 14)
    x, y = -long * np.cos(half), deep * np.sin(half) ** u(0.85, 1.15) * (1 + 0.25 * np.cos(half - np.pi))
    pen.shape(np.concatenate([np.stack([x, -y], 1), np.stack([x, y], 1)[::-1]]))
    if u() < 0.6:
        for k in range(rng.integers(2, 4)):
            middle = -0.17 + 0.13 * k
            tall = deep * 0.8 * np.sqrt(1 - (middle / long) ** 2)
            pen.line(arc(middle - 0.05, 0, 0.06, tall, 80, -80, n=8), u(0.03, 0.05), role="second")
    gill = long * u(0.25, 0.4)
    pen.line(arc(gill - 0.07, 0, 0.07, deep * 0.7, 70, -70, n=8))
    with pen.part("eye"):
        r = u(0.05, 0.075)
        x, y = long * u(0.58, 0.66), -deep * u(0.2, 0.35)
        pen.shape(ellipse(x, y, r, n=16), fill="light")
        pen.shape(ellipse(x + r * 0.15, y, r * 0.5, n=12), fill="dark", ink=False)
    with pen.part("mouth"):
        lip = deep * u(0.25, 0.4)
        pen.line(arc(long * 0.95, lip - 0.05, 0.13, 0.09, 190, 290, n=8), 0.035, role="dark")
