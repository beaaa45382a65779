"""Recordings and sorted folders opened from napari's own menus."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari

from driftviewer.chunks import drain
from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.plugin.controller import COLORS, opening
from driftviewer.plugin.levels import UNITS_AND_LABELS, Extent, Grid, motion_segments, placement
from driftviewer.raster import PeakRaster
from driftviewer.recording.open import can_open
from driftviewer.recording.sidecar import DATA_SUFFIXES, sidecar_of

LayerData = tuple[Any, ...]
ASPECT = 1.6
"""Width to height at which a raster is drawn where no window tells."""


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Return `read` for what driftviewer knows, None for everything else."""
    if not isinstance(path, str):
        if len(path) != 1:
            return None
        path = path[0]
    file = Path(path)
    if not can_open(file) and not (file / "peak_locations.npy").exists():
        return None
    suffix = file.suffix.lower()
    if file.is_file() and suffix in (".json", *DATA_SUFFIXES):
        # an array or a JSON file on its own is more likely something else's
        beside = DATA_SUFFIXES if suffix == ".json" else (".meta",)
        described = any(file.with_suffix(other).is_file() for other in beside)
        if not described and (suffix == ".json" or sidecar_of(file) is None):
            return None
    return read


def read(path: str | Sequence[str]) -> list[LayerData]:
    """Open a path in driftviewer's panels of the current viewer; without a viewer, return the layers of its peaks.

    Raises
    ------
    InputError
        Without a viewer, a recording has no peaks to show.
    """
    path = path if isinstance(path, str) else path[0]
    viewer = napari.current_viewer()
    if viewer is not None:
        from driftviewer.plugin.app import cockpit_of

        cockpit_of(viewer).open_path(Path(path))
        return [(None,)]
    found = drain(opening(Path(path)), progress_bar=False)
    if found.raster is None:
        raise InputError(f"{path} is a recording, in which peaks are yet to be found; open it in a viewer, or run `driftviewer correct`.")
    return layer_data(found.raster, {name: motion for name, motion, _ in found.motions})


def layer_data(raster: PeakRaster, motions: dict[str, Motion]) -> list[LayerData]:
    """Return a raster and the lines of motions as napari's layer tuples."""
    extent = Extent.of(raster, None)
    um_per_s = float(f"{(extent.d1 - extent.d0) * ASPECT / (extent.t1 - extent.t0):.3g}")
    grid = Grid(raster, extent, um_per_s)
    image = {"name": "raster", "multiscale": True, "contrast_limits": (0.0, 1.0), "gamma": 0.8, "interpolation2d": "nearest"}
    layers: list[LayerData] = [(grid.levels(), {**image, **placement(grid)}, "image")]
    for (name, motion), color in zip(motions.items(), COLORS, strict=False):
        lines = {"name": name, "edge_color": color, "vector_style": "line", "edge_width": (extent.d1 - extent.d0) / 500}
        layers.append((motion_segments(motion, um_per_s, vertices=700), {**lines, **UNITS_AND_LABELS}, "vectors"))
    return layers
