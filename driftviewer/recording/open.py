"""Open whatever a path holds."""

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driftviewer.errors import InputError
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.phy_folder import SortedPeaks, has_raw_data, is_peak_folder, open_phy_raw, read_peak_folder, read_sorted_peaks
from driftviewer.recording.protocol import Recording
from driftviewer.recording.sidecar import DATA_SUFFIXES, open_binary, sidecar_of

UNDERSTOOD = (
    "SpikeGLX (.ap.bin with .meta), Open Ephys binary (structure.oebin), .bin/.dat/.raw/.npy with a JSON sidecar and a probe,"
    " a Phy or Kilosort folder (params.py), a folder with peak_times.npy, peak_depths.npy and peak_amplitudes.npy,"
    " and folders saved by SpikeInterface"
)
_SPIKEINTERFACE = ("si_folder.json", "spikeinterface_info.json", "binary.json", "cached.json", ".zattrs", "zarr.json")

_DEPTH = 5


def open_recording(path: str | Path, *, stream: str | None = None) -> Recording:
    """Open a recording, lazily and with its probe, whatever its format.

    Parameters
    ----------
    path : path
        A file or folder of SpikeGLX, Open Ephys, flat binary or `.npy` with sidecar, Phy/Kilosort (for its raw file),
        or a folder saved by SpikeInterface.
    stream : str, optional
        Which of several probes or streams, or a part of its name.

    Raises
    ------
    InputError
        Nothing there, an unknown format, or a damaged recording; the sentence says what to do.
    """
    found = open_any(path, stream=stream)
    if isinstance(found, SortedPeaks):
        raise InputError(
            f"{path} holds spikes but not the recording they came from; give the raw recording, or open the folder to see its spikes alone."
        )
    return found


def open_any(path: str | Path, *, stream: str | None = None) -> Recording | SortedPeaks:
    """Open a recording as `open_recording` does, or the spikes of a folder that has lost its raw file."""
    try:
        path = Path(path).expanduser()
    except TypeError as error:
        raise InputError(f"{path!r} is not a path; give the file or folder of a recording.") from error
    if not path.exists():
        raise InputError(f"{path} does not exist; check the spelling, and that the disk is connected.")
    reader = _folder_reader(path) if path.is_dir() else _file_reader(path)
    if reader is None:
        raise InputError(f"{path} is not a recording that driftviewer knows; it reads {UNDERSTOOD}.")
    return reader(path, stream)


Reader = Callable[[Path, str | None], Recording | SortedPeaks]


def _file_reader(path: Path) -> Reader | None:
    suffix = path.suffix.lower()
    if path.name in _SPIKEINTERFACE:
        return lambda path, stream: _spikeinterface(path.parent)
    if path.name == "params.py":
        return lambda path, stream: _phy(path.parent)
    if path.name in ("structure.oebin", "settings.xml") or (path.name == "continuous.dat" and _in_openephys(path)):
        return _openephys
    if suffix == ".meta" or (suffix == ".bin" and path.with_suffix(".meta").is_file()):
        return _spikeglx
    if suffix == ".json" or (suffix in DATA_SUFFIXES and sidecar_of(path) is not None):
        return _flat
    if suffix == ".bin" and path.stem.endswith((".ap", ".lf")):
        return _spikeglx
    return _flat if suffix in DATA_SUFFIXES else None


def _flat(path: Path, stream: str | None) -> Recording:
    if stream is not None:
        raise InputError(f"{path} is one flat file, in which there is no stream {stream!r} to choose; leave the stream out.")
    return open_binary(path)


def _folder_reader(path: Path) -> Reader | None:
    if (path / "params.py").is_file():
        return lambda path, stream: _phy(path)
    if is_peak_folder(path):
        return lambda path, stream: read_peak_folder(path)
    if any((path / name).is_file() for name in _SPIKEINTERFACE):
        return lambda path, stream: _spikeinterface(path)
    described = _described(path)
    if described:
        return lambda path, stream: _one_of(path, described, stream)
    return _openephys if _in_openephys(path) else _system_below(path)


def _system_below(folder: Path) -> Reader | None:
    """Look for the files of a recording system a few folders down: all of a disk would take minutes."""
    for root, folders, files in os.walk(folder):
        if "structure.oebin" in files:
            return _openephys
        if any(name.endswith(".meta") and f"{name.removesuffix('.meta')}.bin" in files for name in files):
            return _spikeglx
        if len(Path(root).relative_to(folder).parts) >= _DEPTH:
            folders.clear()
    return None


def _described(folder: Path) -> list[Path]:
    """Return the data files of a folder that have a sidecar."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in DATA_SUFFIXES)
    own = [file for file in files if file.with_suffix(".json").is_file()]
    bench = [file for file in files if file.stem == "traces"] if (folder / "info.json").is_file() else []
    return own or bench


def _one_of(folder: Path, files: list[Path], stream: str | None) -> Recording:
    matching = [file for file in files if stream is None or stream in file.name]
    if len(matching) != 1:
        raise InputError(f"{folder} holds {len(files)} recordings; give one of them: {', '.join(file.name for file in files)}.")
    return open_binary(matching[0])


def _in_openephys(path: Path) -> bool:
    return any((above / "structure.oebin").is_file() for above in list(path.absolute().parents)[:3])


def _openephys(path: Path, stream: str | None) -> Recording:
    from driftviewer.recording.neo_reader import open_openephys

    return open_openephys(path, stream=stream)


def _spikeglx(path: Path, stream: str | None) -> Recording:
    from driftviewer.recording.spikeglx import open_spikeglx

    return open_spikeglx(path, stream=stream)


def _phy(folder: Path) -> Recording | SortedPeaks:
    return open_phy_raw(folder) if has_raw_data(folder) else read_sorted_peaks(folder)


def _spikeinterface(folder: Path) -> Recording:
    if importlib.util.find_spec("spikeinterface") is None:
        raise InputError(f"{folder} was saved by SpikeInterface, which is not installed; run: pip install driftviewer[spikeinterface].")
    import spikeinterface.core as si

    load: Any = getattr(si, "load", None) or si.load_extractor
    try:
        return as_recording(load(folder))
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"SpikeInterface cannot load {folder} as a recording ({error}); save it again with recording.save().") from error


def can_open(path: str | Path) -> bool:
    """Return whether `open_any` would try to read a path; nothing of it is read."""
    path = Path(path).expanduser()
    return path.exists() and (_folder_reader(path) if path.is_dir() else _file_reader(path)) is not None
