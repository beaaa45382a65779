"""Distances and neighbourhoods of contacts."""

import numpy as np
from scipy.spatial.distance import cdist


def distances(locations: np.ndarray) -> np.ndarray:
    """Return the distances (C, C) between contacts (C, 2), µm."""
    return np.asarray(cdist(locations, locations))


def neighbours(locations: np.ndarray, radius_um: float, usable: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """List the contacts within a radius of each contact, nearest first.

    Parameters
    ----------
    locations : (C, 2) float
        Contact positions, µm.
    radius_um : float
        Contacts at exactly this distance are included.
    usable : (C,) bool, optional
        Contacts that may be listed as neighbours.

    Returns
    -------
    indices : (C, K) int64
        Neighbours of each contact, itself first (if usable), padded with -1.
    counts : (C,) int64
        How many of a row are neighbours.
    """
    apart = distances(locations)
    near = apart <= radius_um + 1e-6
    if usable is not None:
        near &= usable[None, :]
    counts = near.sum(axis=1)
    order = np.argsort(np.where(near, apart, np.inf), axis=1, kind="stable")[:, : max(1, int(counts.max()))]
    listed = np.arange(order.shape[1])[None, :] < counts[:, None]
    return np.where(listed, order, -1).astype(np.int64), counts.astype(np.int64)
