"""PIRender, the network that animates a photo, rewritten from its specification (spec renderers.md section 1)."""
