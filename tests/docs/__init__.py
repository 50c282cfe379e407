"""Every command in the docs is run by a test."""
