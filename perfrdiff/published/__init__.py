"""The published networks, number for number: their files, settings, inference and training, faults included on request.

* `names`: the published files' keys and settings as ours.
* `compat`: every fault of the published code as one named option with its reason.
* `inference`: both variants from features to reactions.
* `training`, `losses`: what the published training computes, draw for draw.
* `conformance` (one level up) proves all of it against fixtures.
"""
