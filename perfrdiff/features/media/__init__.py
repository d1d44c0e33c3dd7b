"""Video, audio and photo files: opened once, decoded at 25 frames per second."""
