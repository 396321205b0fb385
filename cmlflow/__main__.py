"""``python -m cmlflow``, for torchrun and for installations whose scripts are not on the path."""

import sys

from cmlflow.cli import main

sys.exit(main())
