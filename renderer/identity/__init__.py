"""A photo becomes a head: shape, texture and colours of one person for the built-in face model."""
