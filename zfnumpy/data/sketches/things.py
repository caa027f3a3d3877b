"""How a boat, a car, a clock, a cup, a flower and a house are drawn: pen and rng in, shapes with named parts out.

Units are free; every object is scaled to side 1 afterwards. y grows downwards.
"""

import numpy as np

from .geometry import arc, box, ellipse, rotated, smooth

SIDES = ((-1, "left"), (1, "right"))  # as one looks at the image


def boat(pen, rng):
    """A sailing boat heading right: hull, mainsail behind the mast, jib before it, and a flag on top."""
    u = rng.uniform
    long, deep = u(0.36, 0.44), u(0.15, 0.21)
    top, mast = -u(0.58, 0.72), u(-0.06, 0.08)
    with pen.part("flag"):
        fly, hoist = u(0.12, 0.18), u(0.08, 0.11)
        flag = [(mast, top), (mast - fly, top + hoist * u(0.2, 0.8)), (mast, top + hoist)]
        pen.shape(np.array(flag), fill="third")
    pen.stroke(np.array([(mast, top), (mast, 0.0)]), 0.025, fill="light")
    foot, peak = -u(0.05, 0.09), top + u(0.11, 0.16)
    with pen.part("mainsail"):
        clew = mast - 0.03 - u(0.22, 0.34)
        belly = u(0.0, 0.08)
        leech = [(mast - 0.03, peak), ((mast + clew) / 2 - belly, (peak + foot) / 2), (clew, foot)]
        sail = np.concatenate([smooth(leech, closed=False), [(mast - 0.03, foot)]])
        pen.shape(sail, fill="light" if u() < 0.5 else "second")
    with pen.part("jib"):
        jib = [(mast + 0.03, peak + u(0.0, 0.12)), (mast + 0.03, foot), (min(mast + u(0.2, 0.3), long), foot)]
        pen.shape(np.array(jib), fill="third" if u() < 0.5 else "light")
    with pen.part("hull"):
        bow, stern = u(0.08, 0.16), u(0.02, 0.10)
        hull = [(-long, 0), (long, -u(0, 0.04)), (long - bow, deep), (-long + stern, deep)]
        pen.shape(np.array(hull))
        if u() < 0.6:
            pen.line([(-long + stern * 0.5, deep * 0.45), (long - bow * 0.55, deep * 0.4)], 0.04, role="second")
        else:
            for k in range(3):
                pen.shape(ellipse(-0.16 + 0.16 * k, deep * 0.48, 0.035, n=12), fill="light")


def car(pen, rng):
    """A car driving right: body and cabin, two windows, two wheels with hubs, a headlight."""
    u = rng.uniform
    long, waist, floor = u(0.44, 0.50), -u(0.02, 0.06), u(0.13, 0.18)
    roof = waist - u(0.17, 0.24)
    back, front = -long * u(0.62, 0.98), long * u(0.15, 0.5)  # where the cabin stands on the body
    rake_back, rake_front = u(0.02, 0.12), u(0.08, 0.16)
    nose = u(0.0, 0.07)
    cabin = [(back, waist), (back + rake_back, roof), (front - rake_front, roof), (front, waist)]
    hood = [(front, waist), (long - 0.03, waist + nose), (long, waist + nose + 0.05)]
    pen.shape(smooth([(-long, waist), *hood, (long, floor), (-long, floor)], rounds=1), np.array(cabin))
    pillar = (back + rake_back / 2 + front - rake_front / 2) / 2 + u(-0.05, 0.03)
    sill, lintel, slope = waist + 0.015, roof + 0.045, 0.75
    glass = "light" if u() < 0.6 else "third"
    with pen.part("rear_window"):
        behind, edge = back + 0.05, pillar - 0.02
        pane = [(behind, sill), (behind + rake_back * slope, lintel), (edge, lintel), (edge, sill)]
        pen.shape(np.array(pane), fill=glass)
    with pen.part("front_window"):
        ahead, edge = front - 0.04, pillar + 0.03
        pane = [(edge, sill), (edge, lintel), (ahead - rake_front * slope, lintel), (ahead, sill)]
        pen.shape(np.array(pane), fill=glass)
    if u() < 0.5:
        pen.line([(-long + 0.02, waist + 0.1), (long - 0.02, waist + 0.1)], 0.03, role="second")
    pen.line([(pillar + 0.03, waist + 0.05), (pillar + 0.09, waist + 0.05)])
    with pen.part("headlight"):
        pen.shape(ellipse(long - 0.04, waist + nose + 0.07, 0.035, 0.045, n=14), fill="light")
    r, hub = u(0.10, 0.135), u(0.35, 0.6)
    for name, x in (("rear", -long * u(0.52, 0.62)), ("front", long * u(0.52, 0.62))):
        with pen.part(f"{name}_wheel"):
            pen.shape(ellipse(x, floor, r, n=24), fill="dark")
            pen.shape(ellipse(x, floor, r * hub, n=16), fill="light" if hub > 0.45 else "second", ink=False)


def clock(pen, rng):
    """An alarm clock: two bells, two feet, a dial with marks, an hour hand and a minute hand."""
    u = rng.uniform
    r, power = u(0.34, 0.40), 2.0 if u() < 0.65 else u(3, 6)
    reach = r * (1.0 if power == 2.0 else 1.22)
    for side in (-1, 1):
        foot = np.array([(side * reach * 0.5, reach * 0.6), (side * reach * 0.72, reach * 1.08)])
        pen.stroke(foot, 0.05, fill="second")
    spread, bell = u(34, 46), u(0.11, 0.16)
    for side, name in SIDES:
        turn = -side * spread
        with pen.part(f"{name}_bell"):
            dome = arc(0, -reach - 0.035, bell, bell * u(0.8, 1.0), 0, 180, n=12)
            pen.shape(rotated(dome, turn), fill="second")
    if u() < 0.6:
        pen.line(arc(0, -reach - 0.02, 0.08, 0.1, 0, 180, n=10))
    pen.shape(ellipse(0, 0, r, power=power))
    with pen.part("dial"):
        pen.shape(ellipse(0, 0, r * u(0.74, 0.82)), fill="light")
        count = (4, 12, 12)[rng.integers(3)]
        for k in range(count):
            c, s = np.cos(2 * np.pi * k / count), np.sin(2 * np.pi * k / count)
            pen.line([(r * 0.56 * c, r * 0.56 * s), (r * 0.66 * c, r * 0.66 * s)], 0.028, role="dark")
    hours, minutes = u(0, 360), u(0, 360)
    for name, turn, length, width in (("hour_hand", hours, 0.36, 0.055), ("minute_hand", minutes, 0.56, 0.038)):
        with pen.part(name):
            pen.stroke(rotated([(0, 0), (r * length, 0)], turn), width, fill="dark", ink=False)
    pen.shape(ellipse(0, 0, 0.035, n=12), fill="third", ink=False)


def cup(pen, rng):
    """A cup on a saucer, its handle to the right, steam rising from it."""
    u = rng.uniform
    wide, tall = u(0.24, 0.30), u(0.26, 0.40)
    narrow = wide * u(0.55, 0.95)
    lip = wide * u(0.18, 0.28)
    curls, rise = [], np.linspace(0, 1, 9)
    for x in (-0.12, 0.02, 0.14)[: rng.integers(2, 4)]:
        sway, high = u(0.03, 0.05) * np.sin(rise * 2 * np.pi * u(0.8, 1.2)), u(0.28, 0.38)
        curls.append(np.stack([x + sway, -0.1 - rise * (high - 0.1)], axis=1))
    with pen.part("steam", at=tuple(curls[1][4])):
        for curl in curls:
            pen.stroke(curl, 0.032, fill="light")
    with pen.part("saucer"):
        pen.shape(ellipse(0, tall + 0.01, wide * u(1.35, 1.65), u(0.055, 0.085), power=2.4), fill="second")
    size = tall * u(0.28, 0.36)
    middle = (wide + narrow) / 2 + 0.01
    ring = arc(middle, tall * 0.45, size * u(0.8, 1.1), size, 105, -105)
    with pen.part("handle", at=tuple(ring[len(ring) // 2])):
        pen.stroke(ring, u(0.05, 0.07), fill="main")
    foot = arc(0, tall - 0.08, narrow, 0.09, 180, 360, n=10)
    bowl = np.concatenate([[(-wide, 0)], foot, [(wide, 0)]])
    pen.shape(bowl, ellipse(0, 0, wide, lip))
    kind = rng.integers(4)
    if kind == 0:
        pen.line([(-wide * 0.9, tall * 0.55), (wide * 0.9, tall * 0.55)], 0.07, role="second")
    elif kind == 1:
        pen.shape(ellipse(0, tall * 0.55, 0.09, n=20), fill="third", ink=False)
    elif kind == 2:
        for x in (-0.5, 0, 0.5):
            pen.line([(x * wide, lip), (x * narrow, tall * 0.9)], 0.04, role="second")
    with pen.part("rim"):
        pen.shape(ellipse(0, 0, wide, lip), fill="main")
        pen.shape(ellipse(0, 0.01, wide * 0.84, lip * 0.72), fill="third" if u() < 0.5 else "dark", ink=False)


def flower(pen, rng):
    """A flower: petals around a heart, a bent stem and two leaves."""
    u = rng.uniform
    count, inner = rng.integers(5, 10), u(0.13, 0.17)
    length = u(0.30, 0.36) - 0.06
    petal_breadth = min(np.pi * 0.26 / count * u(1.0, 1.35), 0.15)
    bottom, bend = u(0.54, 0.70), u(-0.12, 0.12)
    stem = smooth([(0, 0), (bend, bottom * 0.6), (bend * 0.5, bottom)], closed=False, rounds=3)
    with pen.part("stem", at=tuple(stem[len(stem) * 2 // 3])):
        pen.stroke(stem, 0.05, fill="second")
    for side, name in SIDES:
        with pen.part(f"{name}_leaf"):
            root = stem[len(stem) * rng.integers(62, 84) // 100]
            reach, lift, breadth = u(0.22, 0.32), u(15, 50), u(0.08, 0.11)
            leaf = smooth([(0, 0), (reach * 0.4, -breadth), (reach * 1.15, 0), (reach * 0.4, breadth)], rounds=2)
            pen.shape(rotated(leaf, lift) * (side, 1) + root, fill="second")
    turn, power = u(0, 360), u(1.5, 2.2)
    with pen.part("blossom", at=(0.0, 0.0)):
        petal = ellipse(inner * 0.5 + length * 0.55, 0, length * 0.62, petal_breadth, power=power, n=18)
        petals = [rotated(petal, turn + 360 * k / count) for k in range(count)]
        if u() < 0.5:
            pen.shape(*petals)
        else:
            for petal in petals:
                pen.shape(petal)
    with pen.part("heart"):
        pen.shape(ellipse(0, 0, inner, n=20), fill="third")
        if u() < 0.6:
            for x, y in ellipse(0, 0, inner * 0.5, n=5):
                pen.shape(ellipse(x, y, inner * 0.17, n=8), fill="dark", ink=False)


def house(pen, rng):
    """A house from the front: roof, chimney, door and two windows, beside the door or above it."""
    u = rng.uniform
    tall = u() < 0.4
    half, high = (u(0.27, 0.33), u(0.46, 0.54)) if tall else (u(0.36, 0.44), u(0.32, 0.42))
    eave, ridge = u(0.04, 0.09), u(0.22, 0.36)
    flat = u(0.35, 0.6) if u() < 0.3 else 0.0  # how much of the ridge is level
    side = rng.choice((-1, 1))
    with pen.part("chimney"):
        x, w = side * half * u(0.5, 0.62), u(0.045, 0.065)
        top = -ridge * u(0.95, 1.15)
        pen.shape(box(x - w, top, x + w, -0.02), fill="third")
        pen.shape(box(x - w * 1.35, top - 0.05, x + w * 1.35, top), fill="third")
    pen.shape(box(-half, -0.03, half, high))
    with pen.part("roof"):
        level = half * flat
        roof = [(-half - eave, 0), (-level, -ridge), (level, -ridge), (half + eave, 0)]
        pen.shape(np.array(roof), fill="second")
    x, w = (u(-0.3, 0.3) * half, u(0.075, 0.1)) if tall else (u(-0.06, 0.06), u(0.075, 0.1))
    lintel = high - (u(0.2, 0.25) if tall else u(0.22, 0.28))
    with pen.part("door"):
        door = box(x - w, lintel, x + w, high)
        if u() < 0.4:
            door = np.concatenate([arc(x, lintel + w * 0.6, w, w * 0.8, 180, 0, n=8), door[2:]])
        pen.shape(door, fill="third")
        pen.shape(ellipse(x + w * 0.5, (lintel + high) / 2 + 0.02, 0.022, n=8), fill="light", ink=False)
    size = u(0.065, 0.09) if tall else min(u(0.07, 0.095), (half - 0.16) / 2.1)
    y = high * 0.25 if tall else high * u(0.35, 0.5)
    apart = half * u(0.48, 0.55) if tall else (half + 0.12) / 2 + 0.02
    cross, lit = u() < 0.7, "light" if u() < 0.7 else "dark"
    for side, name in SIDES:
        with pen.part(f"{name}_window"):
            c = side * apart
            pen.shape(box(c - size, y - size, c + size, y + size * u(1.0, 1.3)), fill=lit)
            if cross:
                pen.line([(c, y - size), (c, y + size)])
                pen.line([(c - size, y), (c + size, y)])
