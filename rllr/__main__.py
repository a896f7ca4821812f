"""`python -m rllr`."""

import os
import sys

from rllr.cli import main

try:
    status = main()
    sys.stdout.flush()
except BrokenPipeError:  # `rllr … | head`; Python would say so once more at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = 1
sys.exit(status)
