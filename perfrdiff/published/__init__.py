"""The published networks, number for number: their files, settings, inference and training, faults included on request.

* `weights`: the published files, fetched, checked and converted; `names` has their keys and settings as ours.
* `config`: the published YAML files.
* `compat`: every fault of the published code as one named option with its reason.
* `inference`: both variants from features to reactions.
* `training`, `losses`: one training step, with every random number passed in.
* `conformance`: all of it compared with stored numbers of the published code.
"""
