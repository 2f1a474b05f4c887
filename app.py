"""Entry point: hands over to app/entry.py."""

import sys

from app.entry import main

if __name__ == "__main__":
    sys.exit(main())
