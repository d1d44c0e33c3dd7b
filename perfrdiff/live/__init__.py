"""A conversation partner in front of a camera, and one listener who reacts while they talk."""
