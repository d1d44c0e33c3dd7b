"""The demo weights from nothing: `python -m perfrdiff.training.demo.recipe`."""
