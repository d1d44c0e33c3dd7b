"""The REACT 2024 data set: read, written, and its neighbours of appropriate reactions."""
