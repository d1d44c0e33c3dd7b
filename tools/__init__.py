"""Programs that make and inspect what is in `assets/`. Run as `python -m tools.NAME`."""

import perfrdiff  # noqa: F401 - says how threads wait, before a tool imports torch
