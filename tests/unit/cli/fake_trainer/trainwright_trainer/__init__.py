"""Stands for the trainer where only the CLI is tested: same command, environment and reports, no torch."""
