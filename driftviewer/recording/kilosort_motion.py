"""Kilosort's notion of motion, ``dshift`` and ``yblk``, both ways: arrays and ``ops.npy``.

Kilosort evaluates its interpolation kernel for the contact at depth y at y - dshift (get_drift_matrix in its preprocessing),
so what was recorded at depth d stands at d + dshift afterwards. Ours is corrected = depth - displacement: the opposite sign.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.journal import write_atomic
from driftviewer.recording.restricted_pickle import load_object_array

BATCH_FRAMES = 60000
RATE_HZ = 30000.0
MOST_BATCHES = 10**7


def from_kilosort(dshift: Any, yblk: Any, batch_size: float = BATCH_FRAMES, fs: float = RATE_HZ, tmin: float = 0.0) -> Motion:
    """Return the motion that Kilosort's arrays describe.

    Parameters
    ----------
    dshift : (batches,) or (batches, blocks) array
        Kilosort's shift, µm: what it adds to depths.
    yblk : (blocks,) array
        Centres of the blocks, µm, in any order.
    batch_size : float
        Frames in a batch (Kilosort 2.5 calls it ``NT``).
    fs : float
        Frames per second, Hz.
    tmin : float
        Time of the first batch's begin, s.

    Returns
    -------
    Motion
        Bins at the middles of the batches, displacement = -dshift.

    Raises
    ------
    InputError
        Something is not a number, or the shapes do not fit each other.
    """
    try:
        batch, rate, begin = float(batch_size), float(fs), float(tmin)
        shift, blocks = np.asarray(dshift, dtype=np.float64), np.atleast_1d(np.asarray(yblk, dtype=np.float64)).ravel()
        shift = shift.reshape(len(shift), -1)
    except (TypeError, ValueError) as error:
        raise InputError(f"its dshift, yblk, batch_size or fs is not a number ({error}); sort again.") from error
    if shift.shape[1] != len(blocks) or not np.isfinite(shift).all() or not (batch > 0 and rate > 0):
        raise InputError(f"dshift {shift.shape} does not fit {len(blocks)} blocks; sort again.")
    order = np.argsort(blocks)
    times = begin + (np.arange(len(shift)) + 0.5) * batch / rate
    return Motion(-shift[:, order], times, blocks[order])


def to_kilosort(motion: Motion, fs: float = RATE_HZ, batch_size: int | None = None) -> dict[str, Any]:
    """Return a motion as Kilosort's ``ops`` holds it.

    Parameters
    ----------
    motion : Motion
        Along y.
    fs : float
        Frames per second of the recording, Hz.
    batch_size : int, optional
        Frames in a batch; by default those of the motion's own time bin, with which even bins are kept as they are.
        Kilosort4 itself uses 60000.

    Returns
    -------
    ops : dict
        ``dshift`` (batches, blocks) and ``yblk`` (blocks,), µm; ``batch_size``, ``fs``, ``tmin``, ``Nbatches``, as `from_kilosort`
        and `kilosort_motion` read them.

    Raises
    ------
    InputError
        The motion goes along x or is one of several shanks, or the frames make no batches.
    """
    if motion.direction != "y":
        raise InputError("Kilosort knows motion along y only, but this one goes along x; correct it with interpolate_motion().")
    if motion.shank_ids is not None:
        raise InputError("Kilosort knows one motion for all shanks; give that of one shank: motion.for_shank(shank).")
    times = motion.temporal_bins_s
    widths = np.diff(times) if len(times) > 1 else np.array([2.0])
    begin, end = times[0] - widths[0] / 2, times[-1] + widths[-1] / 2
    frames = round(float(np.median(widths)) * fs) if batch_size is None else int(batch_size)
    if not (np.isfinite(fs) and fs > 0 and frames > 0 and (end - begin) * fs / frames < MOST_BATCHES):
        raise InputError(
            f"{frames} frames at {fs:g} Hz make no batches of {end - begin:g} s of motion; give fs in Hz and batch_size in frames."
        )
    batches = max(1, round((end - begin) * fs / frames))
    middles = begin + (np.arange(batches) + 0.5) * frames / fs
    shift = -motion.on_grid(middles, motion.spatial_bins_um)
    return {
        "dshift": shift,
        "yblk": motion.spatial_bins_um.copy(),
        "batch_size": frames,
        "fs": float(fs),
        "tmin": float(begin),
        "Nbatches": batches,
    }


def save_kilosort_motion(motion: Motion, path: str | Path, fs: float = RATE_HZ, batch_size: int | None = None) -> None:
    """Save a motion as an ``ops.npy`` with what `to_kilosort` returns.

    Raises
    ------
    InputError
        As `to_kilosort`, or the file exists: Kilosort's own holds much more than its motion.
    """
    if Path(path).exists():
        raise InputError(f"{path} exists and may be Kilosort's own; give another folder.")
    ops = to_kilosort(motion, fs, batch_size)
    write_atomic(path, lambda file: np.save(file, ops, allow_pickle=True))  # type: ignore[arg-type]


def kilosort_motion(path: str | Path) -> Motion | None:
    """Return Kilosort4's own motion; None where it ran without drift correction.

    Parameters
    ----------
    path : path
        ``ops.npy`` with ``dshift`` (batches, blocks), ``yblk`` (blocks,), ``batch_size``, ``fs`` and ``tmin``.

    Raises
    ------
    InputError
        Not numpy data alone, damaged, or without these entries.
    """
    ops = load_object_array(path)
    if not isinstance(ops, dict):
        raise InputError(f"{path} does not hold Kilosort's options; sort again or delete it.")
    nested = ops.get("settings")
    known: dict[str, Any] = (nested if isinstance(nested, dict) else {}) | ops
    if ops.get("dshift") is None or ops.get("yblk") is None:
        return None
    layout = {"batch_size": known.get("batch_size", BATCH_FRAMES), "fs": known.get("fs", RATE_HZ), "tmin": known.get("tmin") or 0.0}
    try:
        return replace(from_kilosort(ops["dshift"], ops["yblk"], **layout), notes=("Estimated by Kilosort4.",))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
