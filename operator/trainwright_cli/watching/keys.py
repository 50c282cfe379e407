"""Turns the bytes that a terminal sends into names of keys. Pure."""

import re

UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "pageup", "pagedown", "home", "end"
ENTER, ESCAPE = "enter", "escape"
_SEQUENCE = re.compile(rb"\x1b(?:[\[O][0-9;]*[A-Za-z~])?|[^\x1b]")
_INCOMPLETE = re.compile(rb"\x1b(?:[\[O][0-9;]*)?$")
_NAMES = {
    b"\x1b[A": UP,
    b"\x1bOA": UP,
    b"k": UP,
    b"\x1b[B": DOWN,
    b"\x1bOB": DOWN,
    b"j": DOWN,
    b"\x1b[5~": PAGE_UP,
    b"\x1b[6~": PAGE_DOWN,
    b" ": PAGE_DOWN,
    b"\x1b[H": HOME,
    b"\x1bOH": HOME,
    b"\x1b[1~": HOME,
    b"g": HOME,
    b"\x1b[F": END,
    b"\x1bOF": END,
    b"\x1b[4~": END,
    b"G": END,
    b"\r": ENTER,
    b"\n": ENTER,
    b"\x1b": ESCAPE,
    b"\x7f": ESCAPE,  # backspace goes back, too
    b"\x08": ESCAPE,
}


def is_incomplete(data: bytes) -> bool:
    """Whether the rest of an escape sequence may still be on its way; true for a lone Escape."""
    return _INCOMPLETE.search(data) is not None


def parse_keys(data: bytes) -> list[str]:
    """Return the keys in order: names of this module, or the character; unknown sequences are dropped."""
    keys = []
    for match in _SEQUENCE.findall(data):
        name = _NAMES.get(match)
        if name is None and len(match) == 1 and 0x20 < match[0] < 0x7F:
            name = match.decode()
        if name is not None:
            keys.append(name)
    return keys
