"""What a helper process runs: `python -m zfnumpy.data.sketches._worker SIZE SEED START STOP STEP`."""

import sys

from .rendering import draw_record


def main(arguments):
    """Draw images START, START + STEP, … below STOP and write their records to the standard output."""
    size, seed, *numbers = map(int, arguments)
    for number in range(*numbers):
        sys.stdout.buffer.write(draw_record(size, seed, number).tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
