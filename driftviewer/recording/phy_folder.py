"""Phy and Kilosort folders: the raw file behind them, or the spikes alone; and folders of bare peaks."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.journal import load_array
from driftviewer.recording.binary import BinaryRecording, checked_columns, sample_dtype, whole_frames
from driftviewer.recording.concatenate import concatenate
from driftviewer.recording.probes import shank_numbers
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.recording.spike_positions import load_numbers, optional_vector, spike_positions, vector

_PEAK_FILES = ("peak_times.npy", "peak_depths.npy", "peak_amplitudes.npy")


@dataclass(frozen=True, eq=False)
class SortedPeaks:
    """Spikes whose recording is not at hand: enough for a raster and for estimating motion. N spikes, C channels.

    Parameters
    ----------
    times_s : (N,) float64
        Ascending.
    depths_um, x_um : (N,) float64
        Position on the probe; x is NaN where it is unknown.
    amplitudes : (N,) float64
        As the folder has them (Kilosort: template scaling); ones where it has none.
    sampling_frequency : float
        Hz; NaN where it is unknown.
    channel_locations : (C, 2) float64
        Contact positions, µm; empty where they are unknown.
    shank_ids : (C,) int64
        Shank of each contact, from 0.
    name : str
        Title for people.
    notes : tuple of str
        What the user should know.
    motion : Motion, optional
        Kilosort's own estimate.
    peak_shanks : (N,) int64, optional
        Shank of each spike, where it is known and there are several.
    """

    times_s: np.ndarray
    depths_um: np.ndarray
    x_um: np.ndarray
    amplitudes: np.ndarray
    sampling_frequency: float
    channel_locations: np.ndarray
    shank_ids: np.ndarray
    name: str
    notes: tuple[str, ...] = ()
    motion: Motion | None = None
    peak_shanks: np.ndarray | None = None


def read_params(folder: Path) -> dict[str, Any]:
    """Return the assignments of a ``params.py`` whose values are literals; nothing in it is executed.

    Raises
    ------
    InputError
        The file is missing or is not Python.
    """
    path = folder / "params.py"
    try:
        tree = ast.parse(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} is not a list of Python assignments ({error}); write it again.") from error
    params = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                params[statement.targets[0].id] = ast.literal_eval(statement.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                continue
    return params


def _need(params: dict[str, Any], key: str, folder: Path, kinds: Any = (int, float)) -> Any:
    value = params.get(key)
    if not isinstance(value, kinds) or (kinds == (int, float) and not value > 0):
        raise InputError(f"{folder / 'params.py'}: {key} is {'missing' if value is None else repr(value)}; give it as a plain value.")
    return value


def raw_files(folder: Path) -> list[Path]:
    """Return the raw files that ``params.py`` names and that exist, also where the folder was moved with its data."""
    params = read_params(folder)
    found = []
    for name in _listed(params):
        base = name.replace("\\", "/").rsplit("/", 1)[-1]
        places = (folder / str(params.get("dir_path", "")) / name, folder / base, folder.parent / base)
        found += [place for place in places if place.is_file()][:1]
    return found


def has_raw_data(folder: Path) -> bool:
    """Return whether the raw file behind a Phy folder is at hand, whole."""
    files = raw_files(folder)
    return bool(files) and len(files) == len(_listed(read_params(folder)))


def _listed(params: dict[str, Any]) -> list[str]:
    names = params.get("dat_path") or []
    return [str(name) for name in (names if isinstance(names, list | tuple) else [names])]


def open_phy_raw(folder: str | Path) -> Recording:
    """Open the raw data behind a Phy or Kilosort folder, with the folder's channel map and positions.

    Raises
    ------
    InputError
        The raw file, a parameter or the channel map is missing or wrong.
    """
    folder = Path(folder)
    params = read_params(folder)
    files = raw_files(folder)
    if not has_raw_data(folder):
        raise InputError(f"The raw file {params.get('dat_path')!r} of {folder} is not there; correct dat_path in params.py.")
    return concatenate([_open_raw(path, folder, params) for path in files])


def _open_raw(path: Path, folder: Path, params: dict[str, Any]) -> BinaryRecording:
    dtype = sample_dtype(_need(params, "dtype", folder, str), folder / "params.py")
    num_columns, offset = int(_need(params, "n_channels_dat", folder)), int(params.get("offset") or 0)
    layout: dict[str, Any] = {"num_columns": num_columns, "offset": offset, "file_dtype": dtype}
    if path.suffix == ".npy":
        array = load_array(path, memory_map=True)
        layout |= {"num_columns": array.shape[-1], "offset": int(getattr(array, "offset", 0)), "file_dtype": array.dtype}
    frames = whole_frames(path, layout["num_columns"], layout["file_dtype"], layout["offset"])
    locations, shanks = _contacts(folder)
    columns = checked_columns(vector(folder, "channel_map.npy"), layout["num_columns"], folder / "channel_map.npy")
    if len(columns) != len(locations):
        raise InputError(
            f"{folder}: channel_map.npy lists {len(columns)} channels but channel_positions.npy {len(locations)}; export the folder again."
        )
    info = RecordingInfo.create(
        _need(params, "sample_rate", folder), frames, layout["file_dtype"].newbyteorder("="), locations,
        shank_ids=shanks, channel_ids=columns, name=path.stem, source=str(path),
        notes=("A Phy folder gives no gain: amplitudes are in the file's own unit.",),
    )  # fmt: skip
    return BinaryRecording(info, path, columns=columns, **layout)


def _contacts(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    locations = load_numbers(folder / "channel_positions.npy", ndim=2).astype(np.float64)
    if locations.shape[1] < 2:
        raise InputError(f"{folder / 'channel_positions.npy'} has shape {locations.shape}; it must be channels x 2.")
    shanks = optional_vector(folder, "channel_shanks.npy")
    if shanks is None or len(shanks) != len(locations):
        return locations[:, :2], np.zeros(len(locations), np.int64)
    return locations[:, :2], shank_numbers(shanks.astype(np.int64))


def read_sorted_peaks(folder: str | Path) -> SortedPeaks:
    """Read the spikes of a Phy or Kilosort folder: times, positions, amplitudes, and Kilosort4's motion if it is there.

    Positions come from ``spike_positions.npy``, else from the principal-component features, else from the templates.

    Raises
    ------
    InputError
        A needed file is missing or damaged, lengths disagree, or nothing tells where the spikes are.
    """
    from driftviewer.recording.kilosort_motion import kilosort_motion

    folder = Path(folder)
    rate = float(_need(read_params(folder), "sample_rate", folder))
    times = vector(folder, "spike_times.npy").astype(np.int64) / rate
    locations, shanks = _contacts(folder)
    notes: list[str] = []
    positions = spike_positions(folder, locations, len(times), notes)
    amplitudes = optional_vector(folder, "amplitudes.npy")
    if amplitudes is None:
        notes.append("The folder has no amplitudes.npy: all amplitudes are shown as 1.")
        amplitudes = np.ones(len(times))
    motion = None
    if (folder / "ops.npy").is_file():
        try:
            motion = kilosort_motion(folder / "ops.npy")
        except InputError as error:
            notes.append(f"Kilosort's motion is not shown: {error}")
    if motion is not None:
        notes.append("Depths are Kilosort's, found after its own drift correction; its motion is what it removed.")
    return _peaks(times, positions, amplitudes, rate, locations, shanks, folder, notes, motion)


def _peaks(
    times: np.ndarray, positions: np.ndarray, amplitudes: np.ndarray, rate: float, locations: np.ndarray,
    shanks: np.ndarray, folder: Path, notes: list[str], motion: Motion | None = None,
) -> SortedPeaks:  # fmt: skip
    for name, array in (("positions", positions), ("amplitudes", amplitudes)):
        if len(array) != len(times):
            raise InputError(
                f"{folder}: {len(times)} spike times but {len(array)} {name}; its files do not belong together, export it again."
            )
    # a year, and metres: what lies beyond is damage
    usable = (np.abs(times) < 3e7) & (np.abs(positions[:, 1]) < 1e7) & np.isfinite(amplitudes)
    if not usable.all():
        notes.append(f"{(~usable).sum()} spikes without a usable time, depth or amplitude are left out.")
    order = np.flatnonzero(usable)[np.argsort(times[usable], kind="stable")]
    return SortedPeaks(
        times[order].astype(np.float64), positions[order, 1].astype(np.float64), positions[order, 0].astype(np.float64),
        amplitudes[order].astype(np.float64), rate, locations, shanks, folder.resolve().name, tuple(notes), motion,
    )  # fmt: skip


def is_peak_folder(folder: Path) -> bool:
    """Return whether a folder holds bare peaks, in MEDiCINe's layout."""
    return all((folder / name).is_file() for name in _PEAK_FILES)


def read_peak_folder(folder: str | Path) -> SortedPeaks:
    """Read ``peak_times.npy`` (s), ``peak_depths.npy`` (µm) and ``peak_amplitudes.npy``.

    Raises
    ------
    InputError
        A file is missing or damaged, or lengths disagree.
    """
    folder = Path(folder)
    times, depths, amplitudes = (vector(folder, name) for name in _PEAK_FILES)
    if len(depths) != len(times):
        raise InputError(f"{folder}: {len(times)} peak times but {len(depths)} depths; its files do not belong together.")
    positions = np.column_stack([np.full(len(depths), np.nan), depths])
    notes = ["Only peaks are known: no probe, no sampling frequency."]
    return _peaks(times, positions, amplitudes, float("nan"), np.empty((0, 2)), np.empty(0, np.int64), folder, notes)
