"""Colours that panels and plots follow."""

from dataclasses import dataclass
from typing import Any

from qtpy.QtGui import QColor  # before pyqtgraph, which takes the binding it finds loaded

import pyqtgraph as pg  # isort: skip


@dataclass(frozen=True)
class Theme:
    """Colours as hex text, named as in the window's own theme."""

    background: str
    foreground: str
    text: str
    primary: str
    highlight: str
    warning: str
    error: str

    @property
    def is_dark(self) -> bool:
        """Whether text is lighter than what it stands on."""
        return QColor(self.background).lightness() < 128


DARK = Theme("#23242b", "#2e333e", "#f0f1f2", "#424a54", "#61696e", "#e3b617", "#99121f")
LIGHT = Theme("#ebe7e6", "#dddad8", "#1e1e21", "#c5c3c1", "#afacaa", "#e3b617", "#ff121f")

RAW_COLOR, CURRENT_COLOR = "#3b8eea", "#e8743b"
"""Accents that can be told apart on both themes: what is data, and what is chosen."""


def on(color: str) -> str:
    """Return black or white, whichever is read better on `color`."""
    red, green, blue = _channels(color)
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"


def mixed(first: str, second: str, share: float) -> str:
    """Return the colour between two, `share` of the way to the second."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_channels(first), _channels(second), strict=True))
    return QColor(red, green, blue).name()


def shades(color: str, count: int, theme: Theme) -> list[str]:
    """Return so many shades of a color that can be told apart on a plot, from the strongest to the palest; one is the color itself."""
    if count == 1:
        return [color]
    strongest, ground = mixed(color, theme.text, 0.65), canvas(theme)
    return [
        mixed(strongest, color, 2 * s) if s < 0.5 else mixed(color, ground, 0.9 * (s - 0.5))
        for s in (k / (count - 1) for k in range(count))
    ]


def _channels(color: str) -> tuple[int, int, int]:
    known = QColor(color)
    return known.red(), known.green(), known.blue()


def canvas(theme: Theme) -> str:
    """Return the background of plots: further from the text than the panel's."""
    return mixed(theme.background, "#000000" if theme.is_dark else "#ffffff", 0.6)


def error_sheet(theme: Theme) -> str:
    """Return a style sheet for a label that holds an error."""
    return f"background: {theme.error}; color: {on(theme.error)}; padding: 5px; border-radius: 3px;"


def note_sheet(theme: Theme) -> str:
    """Return a style sheet for a label that holds a note or a warning."""
    return f"border: 0px; border-left: 3px solid {theme.warning}; padding-left: 6px; background: transparent;"


def hint_sheet(theme: Theme) -> str:
    """Return a style sheet for text of second rank."""
    return f"color: {mixed(theme.text, theme.background, 0.3)}; background: transparent;"


def apply(plot: Any, theme: Theme) -> None:
    """Give a `PlotItem`, `PlotWidget` or `GraphicsLayoutWidget` the colours of a theme."""
    if hasattr(plot, "setBackground"):
        plot.setBackground(canvas(theme))
    if isinstance(plot, pg.GraphicsLayoutWidget):
        items = [item for item in plot.ci.items if isinstance(item, pg.PlotItem)]
    else:
        items = [plot.getPlotItem() if isinstance(plot, pg.PlotWidget) else plot]
    for item in items:
        for entry in item.axes.values():
            entry["item"].setPen(theme.text)
            entry["item"].setTextPen(theme.text)
        item.titleLabel.setAttr("color", theme.text)
        item.titleLabel.setText(item.titleLabel.text)
