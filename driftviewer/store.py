"""Results on disk: SpikeInterface's motion files both ways, with more of ours beside them.

A folder holds `parameters.json`, `run_times.json`, `peaks.npy`, `peak_locations.npy` and `motion/`; ours are
`driftviewer.json` (see `result_folder`) and more of the motion in `motion/`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.journal import load_array, load_json, save_array, save_json
from driftviewer.motion_csv import SUFFIXES as TABLES
from driftviewer.motion_csv import load_motion_csv, save_motion_csv
from driftviewer.recording.kilosort_motion import kilosort_motion, save_kilosort_motion

RECORD = "driftviewer.json"
PEAK_TIMES = "peak_times_s.npy"
KILOSORT = "ops.npy"
PEAK_SHANKS = "peak_shanks.npy"
_EXTRAS = ("confidence", "windows", "depth_bins_um", "shank_ids", "shank_displacement", "shank_confidence")


@dataclass(frozen=True, eq=False)
class MotionInfo:
    """Everything a run produced; also read like SpikeInterface's dictionary, ``info["motion"]``.

    Parameters
    ----------
    parameters : dict
        Preset and the keyword arguments of every step.
    run_times : dict
        Seconds per step.
    peaks : (N,) structured
        `PEAK_DTYPE`, sorted by frame.
    peak_locations : (N,) structured
        Fields x, y and more, µm; NaN where localisation failed.
    motion : Motion
        The estimate.
    notes : tuple of str
        What the user should know.
    pipeline : dict
        The pipeline as `Pipeline.to_dict` gives it; empty for folders of other programs.
    times_s : (N,) float64, optional
        Times of the peaks, only where the recording's clock is uneven (a time vector).
    shanks : (N,) int64, optional
        Shank of each peak, on a probe of several.
    """

    parameters: dict[str, Any]
    run_times: dict[str, float]
    peaks: np.ndarray
    peak_locations: np.ndarray
    motion: Motion
    notes: tuple[str, ...] = ()
    pipeline: Mapping[str, Any] | None = None
    times_s: np.ndarray | None = None
    shanks: np.ndarray | None = None

    def __getitem__(self, name: str) -> Any:
        if name in ("temporal_bins", "spatial_bins"):
            return getattr(self.motion, {"temporal_bins": "temporal_bins_s", "spatial_bins": "spatial_bins_um"}[name])
        if name not in self.keys():
            raise KeyError(name)
        return getattr(self, name)

    @property
    def peak_times_s(self) -> np.ndarray:
        """Times (N,) of the peaks on the motion's clock, s; at 30 kHz from zero where the folder does not tell."""
        if self.times_s is not None:
            return self.times_s
        rate = float(self.parameters.get("sampling_frequency") or 30_000.0)
        return np.asarray(self.peaks["sample_index"] / rate + float(self.parameters.get("t_start") or 0.0))

    def keys(self) -> tuple[str, ...]:
        """Return the names that SpikeInterface's dictionary has."""
        return ("parameters", "run_times", "peaks", "peak_locations", "motion")


def save_motion(motion: Motion, folder: str | Path) -> None:
    """Save a motion as a folder that SpikeInterface's ``Motion.load`` reads, with our extras beside.

    A name that ends in ``.csv`` or ``.tsv`` gives a table (see `save_motion_csv`), ``ops.npy`` Kilosort's ``dshift`` and ``yblk``.
    """
    folder = Path(folder)
    if folder.suffix.lower() in TABLES:
        return save_motion_csv(motion, folder)
    if folder.name == KILOSORT:
        return save_kilosort_motion(motion, folder)
    save_array(folder / "displacement_seg0.npy", motion.displacement)
    save_array(folder / "temporal_bins_s_seg0.npy", motion.temporal_bins_s)
    save_array(folder / "spatial_bins_um.npy", motion.spatial_bins_um)
    for name in _EXTRAS:
        _save_extra(folder / f"{name}.npy", getattr(motion, name))
    save_json(folder / "notes.json", list(motion.notes))
    info = dict(version="0.105.3", dev_mode=False, object="Motion", num_segments=1)
    save_json(folder / "spikeinterface_info.json", info | dict(direction=motion.direction, interpolation_method="linear"))


def _save_extra(path: Path, value: np.ndarray | None) -> None:
    if value is None:
        path.unlink(missing_ok=True)
    else:
        save_array(path, value)


def load_motion(folder: str | Path) -> Motion:
    """Load a motion saved by `save_motion`, by SpikeInterface (also in its layout from before 0.101), or by Kilosort4.

    Parameters
    ----------
    folder : path
        A folder with a motion; a table (``.csv``, ``.tsv``, see `load_motion_csv`); Kilosort4's folder or its ``ops.npy``.

    Raises
    ------
    InputError
        No motion there, more than one segment, or files that do not fit each other.
    """
    folder = Path(folder)
    if folder.suffix.lower() in TABLES and not folder.is_dir():
        return load_motion_csv(folder)
    if folder.name == KILOSORT:
        return _from_kilosort(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give a folder that correct_motion(folder=...) or SpikeInterface wrote.")
    if (folder / "motion").is_dir():
        return load_motion(folder / "motion")
    if (folder / "motion.npy").exists():
        arrays = [load_array(folder / f"{name}.npy") for name in ("motion", "temporal_bins", "spatial_bins")]
        return _checked(folder, *arrays)
    if (folder / KILOSORT).is_file():
        return _from_kilosort(folder / KILOSORT)
    if not (folder / "spikeinterface_info.json").exists():
        raise InputError(f"{folder} holds no motion; give a folder that correct_motion(folder=...) or SpikeInterface wrote.")
    info = load_object(folder / "spikeinterface_info.json")
    if info.get("num_segments", 1) != 1:
        raise InputError(
            f"{folder} holds a motion of {info['num_segments']} segments; save one motion per segment and load them one by one."
        )
    arrays = [load_array(folder / f"{name}.npy") for name in ("displacement_seg0", "temporal_bins_s_seg0", "spatial_bins_um")]
    extras: dict[str, Any] = {n: load_array(folder / f"{n}.npy") for n in _EXTRAS if (folder / f"{n}.npy").exists()}
    if (folder / "notes.json").exists():
        extras["notes"] = texts(load_json(folder / "notes.json"))
    return _checked(folder, *arrays, direction=info.get("direction", "y"), **extras)


def _from_kilosort(path: Path) -> Motion:
    motion = kilosort_motion(path)
    if motion is None:
        raise InputError(f"{path} holds no motion: Kilosort ran without drift correction (nblocks = 0); estimate the motion with correct.")
    return motion


def _checked(folder: Path, displacement: np.ndarray, times: np.ndarray, depths: np.ndarray, **extras: Any) -> Motion:
    try:
        return Motion(displacement, times, depths, **extras)
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error


def save_motion_info(info: MotionInfo, folder: str | Path) -> None:
    """Save a run as SpikeInterface's ``load_motion_info`` reads it."""
    folder = Path(folder)
    save_array(folder / "peaks.npy", info.peaks)
    save_array(folder / "peak_locations.npy", info.peak_locations)
    save_motion(info.motion, folder / "motion")
    _save_extra(folder / "motion" / PEAK_TIMES, info.times_s)
    _save_extra(folder / "motion" / PEAK_SHANKS, info.shanks)
    save_json(folder / "run_times.json", info.run_times)
    save_json(folder / "parameters.json", info.parameters)


def load_motion_info(folder: str | Path) -> MotionInfo:
    """Load a run saved by us or by SpikeInterface (also in its layout from before 0.101).

    Raises
    ------
    InputError
        The folder is missing, half-written, or its files do not fit each other.
    """
    folder = Path(folder)
    if (folder / ".partial").is_dir() and not (folder / RECORD).exists():
        raise InputError(f"{folder} is half-written: a run there has not finished; run the same correction again to complete it.")
    motion = load_motion(folder)
    peaks, locations = (load_array(folder / f"{name}.npy") for name in ("peaks", "peak_locations"))
    if peaks.shape != locations.shape or not (_has(peaks, PEAK_DTYPE) and _has(locations, LOCATION_DTYPE)):
        raise InputError(f"{folder} is half-written: its peaks and locations do not fit each other; run the correction again.")
    record = load_object(folder / RECORD) if (folder / RECORD).exists() else {}
    parameters, times = load_object(folder / "parameters.json"), load_object(folder / "run_times.json")
    numbers = [*times.values(), *(parameters.get(name) or 0 for name in ("sampling_frequency", "t_start"))]
    if not all(isinstance(number, int | float) and abs(number) < 1e15 for number in numbers):
        raise InputError(f"{folder} is damaged: a time in run_times.json or parameters.json is not a number; run the correction again.")
    uneven, shanks = (_beside_peaks(folder, name, kind, peaks) for name, kind in ((PEAK_TIMES, "f"), (PEAK_SHANKS, "i")))
    pipeline = record.get("pipeline")
    return MotionInfo(
        parameters, times, peaks, locations, motion,
        notes=texts(record.get("notes", ())), pipeline=pipeline if isinstance(pipeline, dict) else None, times_s=uneven, shanks=shanks,
    )  # fmt: skip


def _beside_peaks(folder: Path, name: str, kind: str, peaks: np.ndarray) -> np.ndarray | None:
    """Load an array with one value for each peak, where there is one."""
    path = folder / "motion" / name
    if not path.exists():
        return None
    values = load_array(path)
    if values.shape != peaks.shape or values.dtype.kind != kind:
        raise InputError(f"{folder} is half-written: its peaks and {name} do not fit each other; run the correction again.")
    return values


def _has(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether an array is a list of records with (at least) the fields of a type, all of them numbers."""
    names = dtype.names or ()
    return array.ndim == 1 and set(names) <= set(array.dtype.names or ()) and all(array.dtype[name].kind in "iuf" for name in names)


def motion_digest(motion: Motion) -> str:
    """Return a digest of everything a motion holds, to notice files that were changed."""
    digest = hashlib.sha256(repr((motion.direction, motion.notes)).encode())
    for values in (*motion, *(getattr(motion, name) for name in _EXTRAS)):
        digest.update(b"none" if values is None else repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()


def texts(value: Any) -> tuple[str, ...]:
    """Return a JSON list as texts, anything else as none."""
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def load_object(path: Path) -> dict[str, Any]:
    """Load a JSON object; anything else there is an `InputError`."""
    value = load_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object; it is damaged: run the correction again.")
    return value
