"""The networks against stored numbers of the published code."""
