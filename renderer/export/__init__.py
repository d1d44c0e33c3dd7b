"""The head for other programs: its parts with their colours, trimesh objects, GLB files."""
