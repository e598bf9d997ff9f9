"""``python -m slrbench``."""

import sys

from slrbench.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
