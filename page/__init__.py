"""The page: widgets and events over the library, and its programming interface."""
