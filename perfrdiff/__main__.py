"""python -m perfrdiff COMMAND: the same as the console command perfrdiff."""

import sys

from perfrdiff.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
