"""PerFRDiff: several facial reactions of one particular listener to a talking person."""

__version__ = "0.1.0"
