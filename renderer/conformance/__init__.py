"""The renderers against stored numbers of the published ones: `python -m renderer.conformance`."""
