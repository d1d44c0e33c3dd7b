"""A face found and followed: landmarks, units, pose, and what is known of each frame."""
