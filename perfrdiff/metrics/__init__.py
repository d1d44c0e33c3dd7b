"""The challenge's metrics, and the loops they are made of."""
