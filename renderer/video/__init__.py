"""Pictures to video files: one track each, and all of them side by side."""
