"""PIRender, the network that animates a photo, rewritten from its specification (docs/method.md 13.6)."""
