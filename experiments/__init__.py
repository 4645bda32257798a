"""Scripts: `python -m experiments.NAME`, or `remid-NAME` where the package is installed."""

import sys
from pathlib import Path

from .huge_pages import start_with_huge_pages
from .stopping import heed_signals

if sys.argv[0] == "-m" or Path(sys.argv[0]).name.startswith("remid-"):  # the script itself comes next, with what is heavy
    start_with_huge_pages()
    heed_signals()
