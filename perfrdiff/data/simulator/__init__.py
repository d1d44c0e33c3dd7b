"""Simulated conversations: a speaker with a voice and a face, and listeners with habits."""
