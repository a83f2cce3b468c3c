"""`python -m overlord`."""

from __future__ import annotations

import sys

from overlord.cli import main

if __name__ == "__main__":
    sys.exit(main())
