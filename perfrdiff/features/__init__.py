"""From raw media to numbers: decoding at 25 frames per second, face tracking, facial attributes, MFCCs.

Nothing heavy is imported here; take what you need from ``clip`` (whole files), ``media``, ``tracking``, ``attributes``
and ``audio``.
"""

MAX_SECONDS = 120.0  # of a clip; two minutes take some minutes to draw on two cores
