"""A real pseudo-terminal with a screen that can be read, and a full screen fed from a file."""
