"""Scripts: `python -m experiments.NAME`."""

import sys

from .stopping import heed_signals

if sys.argv[0] == "-m":  # the script itself comes next, and with it all that takes long to import
    heed_signals()
