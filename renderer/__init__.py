"""Coefficients to pixels. Imported before torch and numpy are loaded, for it says how their threads wait."""

import os

# A thread that waits for work by spinning takes the core from the one that has it: on a busy machine a listener's
# set-up of 9 s took 103. OpenMP, whichever torch brings along, and numpy's OpenBLAS read these when they are loaded;
# OpenBLAS's is a power of two of processor cycles, 4 the least. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
