"""The templates of grid convolution: for each contact, the places around it and what a spike there looks like."""

from dataclasses import dataclass, field

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.spatial_kernels import KernelShape, grid_points

MOST_BYTES = 1_000_000_000
SAME_UM = 1e-3
"""Contacts whose surroundings agree to this share a table."""


@dataclass(frozen=True)
class Grid:
    """The places that are tried, and the kernels there.

    Parameters
    ----------
    shape : KernelShape
        L levels.
    radius_um, margin_um, step_um : float
        How far from the peak's contact, and beyond the outermost ones, places reach; their distance.
    sparsity_threshold : float
        See `KernelShape.kernels`.
    """

    shape: KernelShape
    radius_um: float
    margin_um: float
    step_um: float
    sparsity_threshold: float

    @property
    def reach_um(self) -> float:
        """No contact farther from the peak's takes part."""
        return self.radius_um + self.shape.reach_um(self.radius_um, self.sparsity_threshold)


@dataclass(frozen=True, eq=False)
class TemplateTables:
    """Flat arrays of the tables, one for all contacts whose surroundings look the same.

    Parameters
    ----------
    origins : (C, 2) float64
        Where each contact is, µm.
    table_of : (C,) int64
        The table of each contact.
    contacts, counts : (C, K) and (C,) int64
        The contacts in the templates around each contact, padded with -1, and how many.
    templates, starts : float32 and (tables,) int64
        The tables (contacts, levels, places) one after another, and where each begins.
    places, place_starts, sizes : (P, 2) float64, (tables,) int64 and (tables,) int64
        The places of the tables one after another, µm from the contact, where each table's begin, and how many.
    levels_um : (L,) float64
        The kernels' z or sigma.
    """

    origins: np.ndarray
    table_of: np.ndarray
    contacts: np.ndarray
    counts: np.ndarray
    templates: np.ndarray
    starts: np.ndarray
    places: np.ndarray
    place_starts: np.ndarray
    sizes: np.ndarray
    levels_um: np.ndarray

    @classmethod
    def build(cls, info: RecordingInfo, usable: np.ndarray, grid: Grid) -> "TemplateTables":
        """Compute the templates around every contact, each shank on its own, without contacts that are not usable.

        Raises
        ------
        InputError
            The templates would need more than 1 GB.
        """
        made = _Tables(grid)
        table_of = np.zeros(info.num_channels, np.int64)
        near: list[np.ndarray] = []
        for channel, (location, shank) in enumerate(zip(info.channel_locations, info.shank_ids, strict=True)):
            members = np.flatnonzero(info.shank_ids == shank)
            places = grid_points(info.channel_locations[members], grid.margin_um, grid.step_um, location, grid.radius_um) - location
            members = members[usable[members]]
            around = info.channel_locations[members] - location
            inside = np.hypot(*around.T) <= grid.reach_um
            table_of[channel], used = made.find(places, around[inside])
            near.append(members[inside][used])
        counts = np.array([len(indices) for indices in near])
        contacts = np.full((len(near), max(1, counts.max())), -1, np.int64)
        for row, indices in zip(contacts, near, strict=True):
            row[: len(indices)] = indices
        levels = np.asarray(grid.shape.levels_um, np.float64)
        return cls(info.channel_locations, table_of, contacts, counts, *made.packed(), levels)


@dataclass(eq=False)
class _Tables:
    """The tables made so far, by what the surroundings look like."""

    grid: Grid
    numbers: dict[bytes, int] = field(default_factory=dict)
    places: list[np.ndarray] = field(default_factory=list)
    templates: list[np.ndarray] = field(default_factory=list)
    used: list[np.ndarray] = field(default_factory=list)

    def find(self, places: np.ndarray, around: np.ndarray) -> tuple[int, np.ndarray]:
        """Return the number of the table of `places` (G, 2) seen by contacts `around` (K, 2), and which contacts are in it."""
        seen = np.concatenate([[[len(around), 0]], around / SAME_UM, places / SAME_UM])
        key = np.rint(seen).astype(np.int64).tobytes()
        if key not in self.numbers:
            self._check_size(len(places) * len(around))
            apart = np.hypot(*(places[:, None] - around[None]).transpose(2, 0, 1))
            table = self.grid.shape.kernels(apart, self.grid.sparsity_threshold).transpose(2, 0, 1).astype(np.float32)
            used = np.asarray(table.any(axis=(1, 2)))
            self.numbers[key] = len(self.templates)
            self.templates.append(table[used].ravel())
            self.places.append(places)
            self.used.append(used)
        number = self.numbers[key]
        return number, self.used[number]

    def _check_size(self, more: int) -> None:
        size = 4 * len(self.grid.shape.levels_um) * more + sum(table.nbytes for table in self.templates)
        if size > MOST_BYTES:
            raise InputError(
                f"localize.upsampling_um = {self.grid.step_um:g} within radius_um = {self.grid.radius_um:g} needs more than 1 GB"
                " of templates; raise the first or lower the second."
            )

    def packed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return templates, where each table's begin, places, where each table's begin, and how many places each has."""
        sizes = np.array([len(places) for places in self.places])
        starts = np.cumsum([0, *(table.size for table in self.templates)])[:-1]
        return np.concatenate(self.templates), starts, np.concatenate(self.places), np.cumsum([0, *sizes])[:-1], sizes
