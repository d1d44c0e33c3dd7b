"""Measurements; README.md says which question each answers. Run as `python -m benchmarks.NAME`."""

import perfrdiff  # noqa: F401 - says how threads wait, before a benchmark imports torch
