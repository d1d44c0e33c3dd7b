"""From raw media to numbers: decoding at 25 frames per second, face tracking, affect attributes, MFCCs.

Nothing heavy is imported here; take what you need from ``clip`` (whole files), ``media``, ``tracking``, ``affect`` and
``audio``.
"""
