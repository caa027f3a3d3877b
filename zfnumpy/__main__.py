"""python -m zfnumpy"""

import sys

from .cli import main

sys.exit(main())
