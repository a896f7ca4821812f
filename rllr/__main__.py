"""`python -m rllr`."""

import errno
import os
import sys

from rllr.cli import main

try:
    status = main()
    sys.stdout.flush()
except BrokenPipeError:  # `rllr … | head`; Python would say so once more at its end
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = 1
except OSError as error:
    if error.errno != errno.ENOSPC:
        raise
    print(f"error: {error}: the disk, or where the output goes, is full", file=sys.stderr)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    status = 2
sys.exit(status)
