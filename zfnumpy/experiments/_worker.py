"""What a helper process runs: `python -m zfnumpy.experiments._worker FOLDER THREADS`, a job's JSON on its standard input."""

import sys

from ..errors import ZFNumpyError
from ..ops import get_ops
from .jobs import job_of, train_job


def main(arguments):
    """Train one job below FOLDER; return an exit code: 0 trained, 2 refused, with a line on stderr, 130 interrupted."""
    folder, threads = arguments
    try:
        train_job(job_of(sys.stdin.read()), folder, get_ops("numba", int(threads)))
    except ZFNumpyError as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
