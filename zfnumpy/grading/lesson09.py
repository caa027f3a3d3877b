"""The checks of lesson 9: the strongest of a stream, receptive fields, and patches that leave the image."""

import numpy as np

from .check import TaskCheck, case


def keep_strongest(batches, k, kind="stable", turned=False):
    """Keep the k strongest of a stream; turned: the new batch above the best, so that the last of equals wins."""
    best = None
    for values, images in batches:
        new = values, np.broadcast_to(images[:, None], values.shape)
        if best is not None:
            parts = [(b, n)[::-1 if turned else 1] for b, n in zip(best, new)]
            new = tuple(np.concatenate(pair) for pair in parts)
        order = np.argsort(-new[0], axis=0, kind=kind)[:k]
        best = tuple(np.take_along_axis(each, order, axis=0) for each in new)
    return best


def receptive_field(windows):
    size, jump, start = 1, 1, 0
    for k, stride, pad in windows:
        size, start, jump = size + (k - 1) * jump, start - pad * jump, jump * stride
    return size, jump, start


def crop(picture, top, left, size, fill=128):
    H, W, _ = picture.shape
    rows, columns = top + np.arange(size), left + np.arange(size)
    inside = ((rows >= 0) & (rows < H))[:, None] & ((columns >= 0) & (columns < W))
    seen = picture[np.clip(rows, 0, H - 1)[:, None], np.clip(columns, 0, W - 1)]
    return np.where(inside[..., None], seen, np.asarray(fill, picture.dtype)), inside


def checks(rng):
    """Return {task: TaskCheck} of fresh cases."""
    return {"9.1": _strongest(rng), "9.2": _field(rng), "9.3": _crop(rng)}


def _strongest(rng):
    def last_wins(batches, k):
        """Sort upwards and turn round: of equals the last."""
        values = np.concatenate([v for v, _ in batches])
        images = np.concatenate([np.broadcast_to(i[:, None], v.shape) for v, i in batches])
        order = np.argsort(values, axis=0, kind="stable")[::-1][:k]
        return np.take_along_axis(values, order, axis=0), np.take_along_axis(images, order, axis=0)

    def weakest(batches, k):
        values, images = keep_strongest([(-v, i) for v, i in batches], k)
        return -values, images

    def upwards(batches, k):
        values, images = keep_strongest(batches, k)
        return values[::-1].copy(), images[::-1].copy()

    def rows_only(batches, k):
        """Count rows within each batch, not the images' numbers."""
        return keep_strongest([(v, np.arange(len(i))) for v, i in batches], k)

    def counted(batches, k):
        """Count rows through the stream, not the images' numbers."""
        first, found = 0, []
        for v, i in batches:
            found.append((v, np.arange(first, first + len(i))))
            first += len(i)
        return keep_strongest(found, k)

    def last_batch(batches, k):
        return keep_strongest(batches[-1:], k)

    def first_batch(batches, k):
        return keep_strongest(batches[:1], k)

    def whole_rows(batches, k):
        """Sort by the first map and let the others follow."""
        values = np.concatenate([v for v, _ in batches])
        images = np.concatenate([np.broadcast_to(i[:, None], v.shape) for v, i in batches])
        order = np.argsort(-values[:, 0], kind="stable")[:k]
        return values[order], images[order]

    def from_zeros(batches, k):
        """Begin with k zeros, which beat what is negative."""
        zeros = np.zeros((k, batches[0][0].shape[1]), batches[0][0].dtype), np.zeros(k, np.int64)
        return keep_strongest([zeros, *batches], k)

    def maps_first(batches, k):
        return tuple(each.T.copy() for each in keep_strongest(batches, k))

    def best_of_each(batches, k):
        """Keep k of every batch."""
        parts = [keep_strongest([each], k) for each in batches]
        return tuple(np.concatenate(each) for each in zip(*parts))

    mistakes = [("It looks as if the last of equal values is kept: the first, so the best so far go above the new "
                 'batch, and kind="stable".', last_wins),
                ("It looks as if a later batch wins where values are equal: put the best so far above it.",
                 lambda batches, k: keep_strongest(batches, k, turned=True)),
                ("It looks as if the weakest are kept: argsort goes upwards, so sort -values.", weakest),
                ("It looks as if the weakest of the strongest comes first: strongest first.", upwards),
                ("It looks as if the rows of a batch are counted: its images have numbers of their own.", rows_only),
                ("It looks as if the rows are counted through the stream: images have numbers of their own.", counted),
                ("It looks as if only the last batch counts: what was best before must stay in the race.", last_batch),
                ("It looks as if only the first batch counts.", first_batch),
                ("It looks as if all maps are sorted by the first: each has its own order, take_along_axis.", whole_rows),
                ("It looks as if zeros are in the race from the start: all values of a map might be negative.", from_zeros),
                ("It looks as if maps are rows: (k, C), strongest first down a column.", maps_first),
                ("It looks as if the k strongest of every batch are kept: of all.", best_of_each)]

    def stream(sizes, C, draw, dtype=np.float64):
        numbers, found = rng.permutation(sum(sizes) + 20), []
        for n in sizes:
            found.append((draw((n, C)).astype(dtype), numbers[:n].copy()))
            numbers = numbers[n:]
        return found

    normal = rng.standard_normal
    cases = [case(about, keep_strongest, stream(sizes, C, draw, dtype), k, mistakes=mistakes)
             for about, sizes, C, k, draw, dtype in (
                 ("one map", (4, 4, 4), 1, 3, normal, np.float64),
                 ("five maps, batches of different sizes", (6, 3, 5, 1), 5, 4, normal, np.float64),
                 ("values that tie", (5, 5, 5, 5), 4, 6, lambda shape: rng.integers(0, 4, shape), np.float64),
                 ("a batch with more ties than are kept", (40, 40), 2, 9, lambda shape: rng.integers(0, 2, shape),
                  np.float64),
                 ("all are negative", (4, 3), 3, 3, lambda shape: -1 - rng.random(shape), np.float64),
                 ("the strongest only", (3, 3, 3), 3, 1, normal, np.float64),
                 ("fewer images than are asked for", (2, 3), 2, 9, normal, np.float64),
                 ("one batch", (7,), 3, 4, normal, np.float64),
                 ("float32", (5, 6), 3, 4, normal, np.float32))]
    return TaskCheck(cases, ("Keep the best so far. What do you do with them when a batch arrives?",
                             "Concatenate the best and the batch, in this order, and sort each column by -values, stably.",
                             'order = np.argsort(-values, axis=0, kind="stable")[:k], then np.take_along_axis of both.'))


def _field(rng):
    def changed(step):
        def mistaken(windows):
            size, jump, start = 1, 1, 0
            for k, stride, pad in windows:
                size, jump, start = step(size, jump, start, k, stride, pad)
            return size, jump, start
        return mistaken

    mistakes = [("It looks as if the jump grows first: size and start take jumps of the layer below, so before it.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump * s, jump * s, start - p * jump * s))),
                ("It looks as if size comes before the jump but start after it: both count in jumps of the layer below.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, jump * s, start - p * jump * s))),
                ("It looks as if the jump grows before the size: k - 1 jumps of the layer below.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump * s, jump * s, start - p * jump))),
                ("It looks as if k jumps are added: k neighbours are k - 1 jumps apart.",
                 changed(lambda size, jump, start, k, s, p: (size + k * jump, jump * s, start - p * jump))),
                ("It looks as if windows are added in pixels: one unit of the layer below is `jump` pixels.",
                 changed(lambda size, jump, start, k, s, p: (size + k - 1, jump * s, start - p * jump))),
                ("It looks as if sizes are multiplied: neighbours overlap, so k - 1 jumps are added.",
                 changed(lambda size, jump, start, k, s, p: (size * k, jump * s, start - p * jump))),
                ("It looks as if jumps are added: they multiply, a step of a step.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, jump + s, start - p * jump))),
                ("It looks as if only the last stride is the jump: they multiply.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, s, start - p * jump))),
                ("It looks as if the padding counts pixels: it is p units of the layer below, of `jump` pixels.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, jump * s, start - p))),
                ("It looks as if the padding moves the start to the right: it begins before the image, below 0.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, jump * s, start + p * jump))),
                ("It looks as if the padding is left out of the start.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1) * jump, jump * s, start))),
                ("It looks as if the padding makes the field larger: it only moves it.",
                 changed(lambda size, jump, start, k, s, p: (size + (k - 1 + 2 * p) * jump, jump * s, start - p * jump))),
                ("It looks as if the list is read from the top: the layer next to the image comes first.",
                 lambda windows: receptive_field(windows[::-1]))]

    def draw(n):
        sizes = rng.integers(2, 6, n)
        return [(int(k), int(rng.integers(1, 4)), int(rng.integers(1, k // 2 + 1))) for k in sizes]

    fixed = [("no window", []), ("one window", [(7, 2, 1)]), ("ZFNet's first layers", [(7, 2, 1), (3, 2, 1), (5, 2, 0)]),
             ("stride 1 throughout", [(3, 1, 1)] * 4), ("windows of one unit", [(1, 1, 0), (1, 2, 0), (3, 1, 1)]),
             ("a stride larger than the window", [(2, 3, 0), (3, 2, 1), (2, 2, 1)]),
             ("four layers", draw(4)), ("six layers", draw(6))]
    return TaskCheck([case(about, receptive_field, windows, mistakes=mistakes) for about, windows in fixed],
                     ("Draw three units side by side, 2 pixels apart, each seeing 7 pixels. How many do they see together?",
                      "size grows by k - 1 jumps, start falls by p jumps, of the layer below; then the jump is multiplied.",
                      "size += (k - 1) * jump; start -= pad * jump; jump *= stride, in this order."))


def _crop(rng):
    def moved_in(picture, top, left, size, fill=128):
        H, W, _ = picture.shape
        return crop(picture, min(max(top, 0), max(H - size, 0)), min(max(left, 0), max(W - size, 0)), size, fill)

    def to_corner(picture, top, left, size, fill=128):
        """Put what is seen into the patch's upper left corner."""
        seen = picture[max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)]
        patch, inside = np.full((size, size, 3), fill, picture.dtype), np.zeros((size, size), bool)
        patch[:seen.shape[0], :seen.shape[1]] = seen
        inside[:seen.shape[0], :seen.shape[1]] = True
        return patch, inside

    def sliced(picture, top, left, size, fill=128):
        """Slice, and let negative numbers count from the end."""
        patch = picture[top:top + size, left:left + size]
        return patch, np.ones(patch.shape[:2], bool)

    def cut(picture, top, left, size, fill=128):
        patch = picture[max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)]
        return patch, np.ones(patch.shape[:2], bool)

    def repeated(picture, top, left, size, fill=128):
        """Repeat the border's pixels."""
        H, W, _ = picture.shape
        rows, columns = np.clip(top + np.arange(size), 0, H - 1), np.clip(left + np.arange(size), 0, W - 1)
        return picture[rows[:, None], columns], crop(picture, top, left, size)[1]

    def around(picture, top, left, size, fill=128):
        """Go on at the other side."""
        H, W, _ = picture.shape
        return picture[(top + np.arange(size))[:, None] % H, (left + np.arange(size)) % W], crop(picture, top, left, size)[1]

    def by_value(picture, top, left, size, fill=128):
        patch, _ = crop(picture, top, left, size, fill)
        return patch, (patch != fill).any(axis=-1)

    mistakes = [("It looks as if the patch is moved into the image: it stays, and is `fill` outside.", moved_in),
                ("It looks as if what is seen goes to the patch's corner: rows that lie above the image stay free above it.",
                 to_corner),
                ("It looks as if a negative index counts from the end here: cut the rows and columns at 0 first.", sliced),
                ("It looks as if the patch is cut at the border: it is size × size always, `fill` outside.", cut),
                ("It looks as if the border's pixels are repeated outside: `fill` there.", repeated),
                ("It looks as if the patch goes on at the image's other side: `fill` there.", around),
                ("It looks as if top and left are exchanged: rows first.",
                 lambda picture, top, left, size, fill=128: crop(picture, left, top, size, fill)),
                ("It looks as if it is 0 outside: `fill`.",
                 lambda picture, top, left, size, fill=128: crop(picture, top, left, size, 0)),
                ("It looks as if fill is always 128: it is an argument.",
                 lambda picture, top, left, size, fill=128: crop(picture, top, left, size, 128)),
                ("It looks as if inside and outside are exchanged: true where the picture reaches.",
                 lambda picture, top, left, size, fill=128: (crop(picture, top, left, size, fill)[0],
                                                             ~crop(picture, top, left, size, fill)[1])),
                ("It looks as if inside is told by the colour: a picture may have pixels of the colour `fill` itself.",
                 by_value),
                ("It looks as if inside has the colours' axis: (size, size).",
                 lambda picture, top, left, size, fill=128: (
                     crop(picture, top, left, size, fill)[0],
                     np.repeat(crop(picture, top, left, size, fill)[1][..., None], 3, axis=2))),
                ("It looks as if only the patch is returned: return patch, inside.",
                 lambda picture, top, left, size, fill=128: crop(picture, top, left, size, fill)[0])]
    picture = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    filled = picture.copy()
    filled[3:6, 4:8] = 128
    places = [("wholly inside", picture, 2, 5, 4), ("over the upper left corner", picture, -2, -1, 5),
              ("over the lower right corner", picture, 6, 9, 5), ("over the right edge", picture, 3, 10, 4),
              ("over the upper edge", picture, -3, 4, 5), ("over the lower left corner", picture, 7, -3, 6),
              ("larger than the picture", picture, -2, -3, 17), ("outside altogether", picture, -6, 3, 4),
              ("outside in both directions", picture, 11, 14, 3), ("a picture that holds the colour 128", filled, 2, 3, 6),
              ("one pixel", picture, 8, 11, 1)]
    cases = [case(about, crop, *where, mistakes=mistakes) for about, *where in places]
    cases += [case("another fill", crop, picture, -1, 9, 5, fill=40, mistakes=mistakes),
              case("float32", crop, rng.random((5, 7, 3)).astype(np.float32), 2, -2, 5, fill=0.5, mistakes=mistakes)]
    return TaskCheck(cases, ("Begin with a patch of `fill`, and an array of False. Which of its rows does the picture have?",
                             "Rows max(top, 0) to min(top + size, H) of the picture are seen; in the patch, less `top`.",
                             "patch[i0 - top:i1 - top, j0 - left:j1 - left] = picture[i0:i1, j0:j1], if there are any."))
