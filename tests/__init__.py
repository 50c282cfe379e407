"""Trainwright's tests, one folder a tier, and the embedded cluster they run on."""
