"""Tests of the pure parts of `demo`."""
