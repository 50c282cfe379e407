"""Why the demo ends without success.

DemoError
"""


class DemoError(Exception):
    """The text is for the person at the terminal: what is wrong, and what to do."""
