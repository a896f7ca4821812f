"""`python -m rllr`."""

import sys

from rllr.cli import main

sys.exit(main())
