"""A figure that is addressed in pixels from its top left corner, as Grafana's grid is.

Matplotlib counts from the bottom in fractions; everything that draws here says pixels instead.
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from tools.pictures import theme

DOTS_PER_INCH = 100
NUM_COLORS = 96


@dataclass(frozen=True)
class Box:
    """A rectangle (unit: pixels from the top left corner)."""

    left: float
    top: float
    width: float
    height: float

    def inner(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """What remains inside the margins."""
        return Box(
            self.left + left,
            self.top + top,
            max(1.0, self.width - left - right),
            max(1.0, self.height - top - bottom),
        )


class Canvas:
    """A picture of a width and a height (unit: pixels)."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = round(width), round(height)
        size = (self.width / DOTS_PER_INCH, self.height / DOTS_PER_INCH)
        self.figure = Figure(figsize=size, dpi=DOTS_PER_INCH, facecolor=theme.CANVAS)
        self._canvas = FigureCanvasAgg(self.figure)

    def rectangle(self, box: Box, color: str, edge: str | None = None, order: float = 0) -> None:
        """A filled rectangle."""
        patch = Rectangle(
            (box.left / self.width, 1 - (box.top + box.height) / self.height),
            box.width / self.width,
            box.height / self.height,
            facecolor=color,
            edgecolor=edge or color,
            linewidth=0.6,
            transform=self.figure.transFigure,
            zorder=order,
        )
        self.figure.add_artist(patch)

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """Text whose upper left corner (or as `ha`, `va` say) is here; dollars are no formula."""
        settings = {"color": theme.TEXT, "va": "top", "ha": "left", "parse_math": False, **style}
        self.figure.text(left / self.width, 1 - top / self.height, text, **settings)

    def axes(self, box: Box) -> Axes:
        """Axes that fill a rectangle."""
        return self.figure.add_axes(
            (
                box.left / self.width,
                1 - (box.top + box.height) / self.height,
                box.width / self.width,
                box.height / self.height,
            )
        )

    def measure(self, text: str, size: float) -> float:
        """The width of a text of so many points, a little more rather than less (unit: pixels)."""
        return len(text) * size * DOTS_PER_INCH / 72 * 0.6

    def shorten(self, text: str, size: float, width: float) -> str:
        """The text, cut with an ellipsis where it is wider than so many pixels."""
        if self.measure(text, size) <= width:
            return text
        letters = int(width / self.measure("x", size)) - 1
        return text[: max(1, letters)].rstrip() + "…"

    def image(self) -> Image.Image:
        """The picture with a small palette."""
        self._canvas.draw()  # type: ignore[no-untyped-call]
        pixels = bytes(self._canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        whole = Image.frombytes("RGBA", (self.width, self.height), pixels)
        return whole.convert("RGB").quantize(NUM_COLORS, dither=Image.Dither.NONE)

    def save(self, path: Path) -> None:
        """Write the picture as a PNG file."""
        stream = BytesIO()
        self.image().save(stream, "PNG", optimize=True)
        path.write_bytes(stream.getvalue())
