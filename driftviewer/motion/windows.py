"""Depth windows: where along the probe a displacement of its own is estimated."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

WindowShape = Literal["gaussian", "rect", "triangle"]


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows over D depth bins.

    Parameters
    ----------
    weights : (W, D) float64
        Weight of each depth bin in each window, largest 1.
    centers_um : (W,) float64
        Ascending.
    notes : tuple of str
        What the user should know of the choice.
    """

    weights: np.ndarray
    centers_um: np.ndarray
    notes: tuple[str, ...] = ()


def make_windows(
    depth_bins_um: np.ndarray,
    depth_range_um: tuple[float, float],
    *,
    rigid: bool = False,
    shape: WindowShape = "gaussian",
    step_um: float = 200.0,
    scale_um: float = 300.0,
    margin_um: float = 0.0,
) -> Windows:
    """Lay windows along a probe.

    Parameters
    ----------
    depth_bins_um : (D,) float64
        Centres of the depth bins.
    depth_range_um : (float, float)
        Depth of the lowest and the highest contact.
    rigid : bool
        One window over everything.
    shape : {"gaussian", "rect", "triangle"}
        Gaussian with `scale_um` as standard deviation, or rectangle or triangle `scale_um` wide.
    step_um, scale_um : float
        Distance between windows and their width.
    margin_um : float
        How far beyond the outermost contacts windows may be centred; negative keeps them inside.
        0 places the outermost windows exactly at the ends of the probe and widens the step to fit.

    Returns
    -------
    Windows
        One window, with a note, where the probe is shorter than a step.
    """
    low, high = depth_range_um[0] - margin_um, depth_range_um[1] + margin_um
    count = int((high - low) / step_um + 1e-9)
    if rigid or count < 1:
        notes = () if rigid else (_too_short(depth_range_um, step_um),)
        return Windows(np.ones((1, depth_bins_um.size)), np.array([0.5 * (depth_bins_um[0] + depth_bins_um[-1])]), notes)
    if margin_um == 0:
        centers: np.ndarray = np.linspace(low, high, count + 1)
    else:
        centers = low + 0.5 * (high - low - count * step_um) + step_um * np.arange(count + 1)
    distance = np.abs(depth_bins_um[None, :] - centers[:, None])
    weights = _SHAPES[shape](distance, scale_um)
    seen = weights.max(axis=1) > 1e-6
    return Windows(weights[seen], centers[seen])


def _too_short(depth_range_um: tuple[float, float], step_um: float) -> str:
    span = depth_range_um[1] - depth_range_um[0]
    return f"The probe spans {span:.0f} µm, less than one window step of {step_um:g} µm, so one rigid window is used."


def _gaussian(distance: np.ndarray, scale: float) -> np.ndarray:
    return np.exp(-0.5 * (distance / scale) ** 2)


def _rect(distance: np.ndarray, scale: float) -> np.ndarray:
    return (distance < scale / 2).astype(np.float64)


def _triangle(distance: np.ndarray, scale: float) -> np.ndarray:
    return np.clip(1 - distance / (scale / 2), 0, None)


_SHAPES = {"gaussian": _gaussian, "rect": _rect, "triangle": _triangle}
