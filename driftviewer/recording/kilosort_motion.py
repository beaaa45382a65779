"""The motion that Kilosort4 estimated, from its ``ops.npy``."""

from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.recording.restricted_pickle import load_object_array


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
    shift, blocks = ops.get("dshift"), ops.get("yblk")
    if shift is None or blocks is None:
        return None
    try:
        batch = float(known.get("batch_size", 60000))
        rate = float(known.get("fs", 30000))
        begin = float(known.get("tmin") or 0.0)
        shift, blocks = np.asarray(shift, dtype=np.float64), np.atleast_1d(np.asarray(blocks, dtype=np.float64)).ravel()
        shift = shift.reshape(len(shift), -1)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: its dshift, yblk, batch_size or fs is not a number ({error}); sort again.") from error
    if shift.shape[1] != len(blocks) or not np.isfinite(shift).all() or not (batch > 0 and rate > 0):
        raise InputError(f"{path}: dshift {shift.shape} does not fit {len(blocks)} blocks; sort again.")
    order = np.argsort(blocks)
    times = begin + (np.arange(len(shift)) + 0.5) * batch / rate
    # Kilosort evaluates its interpolation kernel for the contact at depth y at y - dshift (get_drift_matrix in its preprocessing),
    # so what was recorded at depth d stands at d + dshift afterwards. Ours is corrected = depth - displacement: the opposite sign.
    return Motion(-shift[:, order], times, blocks[order], notes=("Estimated by Kilosort4.",))
