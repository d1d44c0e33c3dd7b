"""Whole data sets: many files through one command, in processes that load everything once (docs/batch.md)."""
