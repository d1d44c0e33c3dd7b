"""What makes reactions this listener's: the weight shift, and how it is calibrated. Light to import."""

MAX_STRENGTH = 2.0  # of a weight shift: 0 generic, 1 as learnt
