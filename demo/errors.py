"""Why the demo ends without success.

DemoError           exit code 1
  DemoStoppedError  exit code 130: Ctrl+C
"""


class DemoError(Exception):
    """The text is for the person at the terminal: what is wrong, and what to do."""


class DemoStoppedError(DemoError):
    """The person stopped the demo; the text says what goes on and what is left."""
