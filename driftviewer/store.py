"""Result folders: SpikeInterface's motion files both ways, and the steps that a later run may take over.

A folder holds SpikeInterface's files (`parameters.json`, `run_times.json`, `peaks.npy`, `peak_locations.npy`, `motion/`)
and ours beside them: `driftviewer.json` with the cache key of each step, and more of the motion in `motion/`. While a run
is under way its pieces lie in `.partial/`; the result is written there whole and then moved into place, the record last.
"""

import hashlib
import importlib
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.journal import cannot_write, load_array, load_json, save_array, save_json, write_atomic

RECORD = "driftviewer.json"
PEAK_TIMES = "peak_times_s.npy"
_EXTRAS = ("confidence", "windows", "depth_bins_um")


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
    """

    parameters: dict[str, Any]
    run_times: dict[str, float]
    peaks: np.ndarray
    peak_locations: np.ndarray
    motion: Motion
    notes: tuple[str, ...] = ()
    pipeline: Mapping[str, Any] | None = None
    times_s: np.ndarray | None = None

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
    """Save a motion as a folder that SpikeInterface's ``Motion.load`` reads, with our extras beside."""
    folder = Path(folder)
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
    """Load a motion saved by `save_motion`, by SpikeInterface, or in its layout from before 0.101.

    Raises
    ------
    InputError
        No motion there, more than one segment, or files that do not fit each other.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}; give a folder that correct_motion(folder=...) or SpikeInterface wrote.")
    if (folder / "motion").is_dir():
        return load_motion(folder / "motion")
    if (folder / "motion.npy").exists():
        arrays = [load_array(folder / f"{name}.npy") for name in ("motion", "temporal_bins", "spatial_bins")]
        return _checked(folder, *arrays)
    if not (folder / "spikeinterface_info.json").exists():
        raise InputError(f"{folder} holds no motion; give a folder that correct_motion(folder=...) or SpikeInterface wrote.")
    info = _load_object(folder / "spikeinterface_info.json")
    if info.get("num_segments", 1) != 1:
        raise InputError(
            f"{folder} holds a motion of {info['num_segments']} segments; save one motion per segment and load them one by one."
        )
    arrays = [load_array(folder / f"{name}.npy") for name in ("displacement_seg0", "temporal_bins_s_seg0", "spatial_bins_um")]
    extras: dict[str, Any] = {n: load_array(folder / f"{n}.npy") for n in _EXTRAS if (folder / f"{n}.npy").exists()}
    if (folder / "notes.json").exists():
        extras["notes"] = _texts(load_json(folder / "notes.json"))
    return _checked(folder, *arrays, direction=info.get("direction", "y"), **extras)


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
    record = _load_object(folder / RECORD) if (folder / RECORD).exists() else {}
    parameters, times = _load_object(folder / "parameters.json"), _load_object(folder / "run_times.json")
    numbers = [*times.values(), *(parameters.get(name) or 0 for name in ("sampling_frequency", "t_start"))]
    if not all(isinstance(number, int | float) and abs(number) < 1e15 for number in numbers):
        raise InputError(f"{folder} is damaged: a time in run_times.json or parameters.json is not a number; run the correction again.")
    uneven = load_array(folder / "motion" / PEAK_TIMES) if (folder / "motion" / PEAK_TIMES).exists() else None
    if uneven is not None and (uneven.shape != peaks.shape or uneven.dtype.kind != "f"):
        raise InputError(f"{folder} is half-written: its peaks and their times do not fit each other; run the correction again.")
    pipeline = record.get("pipeline")
    return MotionInfo(
        parameters, times, peaks, locations, motion,
        notes=_texts(record.get("notes", ())), pipeline=pipeline if isinstance(pipeline, dict) else None, times_s=uneven,
    )  # fmt: skip


def _has(array: np.ndarray, dtype: np.dtype) -> bool:
    """Return whether an array is a list of records with (at least) the fields of a type, all of them numbers."""
    names = dtype.names or ()
    return array.ndim == 1 and set(names) <= set(array.dtype.names or ()) and all(array.dtype[name].kind in "iuf" for name in names)


def _digest(motion: Motion) -> str:
    digest = hashlib.sha256(repr((motion.direction, motion.notes)).encode())
    for values in (*motion, *(getattr(motion, name) for name in _EXTRAS)):
        digest.update(b"none" if values is None else repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list | tuple) else ()


def _load_object(path: Path) -> dict[str, Any]:
    value = load_json(path)
    if not isinstance(value, dict):
        raise InputError(f"{path} is not a JSON object; it is damaged: run the correction again.")
    return value


class ResultFolder:
    """The folder of a run: finds what an earlier run left, keeps the pieces of this one, and publishes the result.

    As a context manager it keeps other runs out, finishes a publication that was interrupted, and leaves no empty folder behind.

    Raises
    ------
    InputError
        `root` is a file, cannot be written, or another run is writing to it.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.partial, self._staged = self.root / ".partial", self.root / ".partial" / "result"
        self._lock: BinaryIO | None = None
        try:
            self._refuse_foreign()
            self.partial.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self.root, error) from error

    def _refuse_foreign(self) -> None:
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root} is a file; give a folder for the results.")
        foreign = self.root.is_dir() and any(self.root.iterdir()) and not self.partial.exists()
        if foreign and not (self.root / RECORD).exists():
            raise InputError(
                f"{self.root} holds files that driftviewer did not write; give a new folder, so that nothing of yours is overwritten."
            )

    def __enter__(self) -> "ResultFolder":
        try:
            self._lock = self._locked()
            self._install()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise cannot_write(self.root, error) from error
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is None:
            return
        self._lock.close()
        with suppress(OSError):
            if [path.name for path in self.partial.iterdir()] == ["lock"]:
                shutil.rmtree(self.partial)
                self.root.rmdir()

    def _locked(self) -> BinaryIO:
        path = self.partial / "lock"
        while True:
            self.partial.mkdir(parents=True, exist_ok=True)
            file = open(path, "wb")  # noqa: SIM115 - held until the run ends
            _lock_file(file, self.root)
            # a run that is just finishing takes its lock away with its pieces
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
            file.close()

    def record(self) -> dict[str, Any]:
        """Return the record of the last finished run; empty if there is none or it is damaged."""
        try:
            return _load_object(self.root / RECORD)
        except InputError:
            return {}

    def find(self, name: str, key: str) -> np.ndarray | None:
        """Return the array `name` if an earlier run, finished or not, made it from the same inputs; damaged files count as absent."""
        kept = self.root / f"{name}.npy" if self._finished(name, key) else self._piece(name, key)
        try:
            return load_array(kept)
        except InputError:
            return None

    def find_motion(self, key: str) -> Motion | None:
        """Return the motion if the last finished run made it from the same inputs; a damaged one counts as absent."""
        if not self._finished("motion", key):
            return None
        try:
            found = load_motion(self.root / "motion")
        except InputError:
            return None
        return found if self.record().get("motion_digest") == _digest(found) else None

    def run_times(self, key: str) -> dict[str, float]:
        """Return the run times of the last finished run if its peak locations were made from the same inputs, else none."""
        try:
            found = _load_object(self.root / "run_times.json") if self._finished("peak_locations", key) else {}
        except InputError:
            return {}
        return {name: seconds for name, seconds in found.items() if isinstance(seconds, int | float)}

    def _finished(self, name: str, key: str) -> bool:
        keys = self.record().get("keys")
        return isinstance(keys, dict) and keys.get(name) == key

    def keep(self, name: str, key: str, array: np.ndarray) -> None:
        """Keep a step's result until the run is finished."""
        save_array(self._piece(name, key), array)

    def parts(self, key: str) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield ``(end_frame, arrays)`` of the consecutive parts of an interrupted pass, from the recording's begin."""
        end = 0
        parts = sorted(self.partial.glob(f"{key[:16]}-*-*.npz"), key=lambda path: int(path.stem.split("-")[1]))
        for path in parts:
            _, first, last = path.stem.split("-")
            if int(first) != end:
                continue
            try:
                with np.load(path, allow_pickle=False) as arrays:
                    loaded = dict(arrays)
            except (OSError, ValueError, EOFError, zipfile.BadZipFile):
                return
            end = int(last)
            yield end, loaded

    def keep_part(self, key: str, start_frame: int, end_frame: int, **arrays: np.ndarray) -> None:
        """Keep what a pass found between two frames."""
        write_atomic(self.partial / f"{key[:16]}-{start_frame}-{end_frame}.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]

    def keep_notes(self, key: str, notes: Iterable[str]) -> None:
        """Keep what was noted while the arrays of that key were made."""
        save_json(self.partial / f"notes-{key[:16]}.json", list(notes))

    def notes(self, key: str) -> tuple[str, ...]:
        """Return the notes kept under a key by an earlier run, finished or not; none if they are damaged."""
        kept = self.record().get("kept_notes")
        if isinstance(kept, dict) and key in kept:
            return _texts(kept[key])
        try:
            return _texts(load_json(self.partial / f"notes-{key[:16]}.json"))
        except InputError:
            return ()

    def publish(self, info: MotionInfo, record: Mapping[str, Any]) -> None:
        """Replace the folder's results by `info`: a full disk leaves the old ones, and a run killed here is finished by the next."""
        shutil.rmtree(self._staged, ignore_errors=True)
        save_motion_info(info, self._staged)
        save_json(self._staged / RECORD, {"driftviewer": version("driftviewer"), "motion_digest": _digest(info.motion), **record})
        try:
            self._install()
        except OSError as error:
            raise cannot_write(self.root, error) from error
        shutil.rmtree(self.partial, ignore_errors=True)

    def _install(self) -> None:
        """Move a result that was written whole into place; without its record a result is not believed."""
        if not (self._staged / RECORD).exists():
            return
        (self.root / RECORD).unlink(missing_ok=True)
        if (self._staged / "motion").is_dir():
            shutil.rmtree(self.root / "motion", ignore_errors=True)
        for path in sorted(self._staged.iterdir(), key=lambda path: path.name == RECORD):
            path.replace(self.root / path.name)

    def _piece(self, name: str, key: str) -> Path:
        return self.partial / f"{name}-{key[:16]}.npy"


def _lock_file(file: BinaryIO, root: Path) -> None:
    """Hold a lock that ends with the process, where the system has such locks."""
    try:
        fcntl = importlib.import_module("fcntl")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise InputError(f"Another run is writing to {root}; wait until it is done, or give another folder.") from error
    except (ImportError, OSError):
        return
