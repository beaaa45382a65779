"""A raster drawn in a thread, ready to be shown."""

import functools
import importlib
from dataclasses import dataclass

from driftviewer.data import Motion
from driftviewer.plugin.levels import Extent, Grid, Level
from driftviewer.raster import PeakRaster


@dataclass(frozen=True, eq=False)
class Drawing:
    """A raster ready to be shown, drawn in a thread."""

    grid: Grid
    raw: list[Level]
    corrected: list[Level] | None
    motion: Motion | None


def draw(last: Drawing | None, raster: PeakRaster, extent: Extent, um_per_s: float, weight: str, motion: Motion | None) -> Drawing:
    """Draw the levels that are kept whole, taking over from the last drawing what has not changed."""
    _warm_up()
    grid, raw, corrected = None, None, None
    if (
        last is not None
        and last.grid.raster is raster
        and (last.grid.extent, last.grid.um_per_s, last.grid.weight) == (extent, um_per_s, weight)
    ):
        grid, raw = last.grid, last.raw
        corrected = last.corrected if last.motion is motion else None
    grid = grid or Grid(raster, extent, um_per_s, weight)
    raw = raw or grid.levels()
    if motion is not None:
        corrected = corrected or grid.levels(motion)
    for level in (*raw, *(corrected or ())):
        level.prepare()
    return Drawing(grid, raw, corrected, motion)


@functools.cache
def _warm_up() -> None:
    """Load, in a thread, what napari loads with its first layer: most of a second in which the window would stand still."""
    importlib.import_module("pandas")
    importlib.import_module("pint").get_application_registry().Unit("µm")
