"""A face detected and followed: landmarks, units, pose, and the quality of each frame."""
