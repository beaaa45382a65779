"""Flat binary files and `.npy` arrays described by a JSON sidecar."""

from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.journal import load_array, load_json
from driftviewer.recording.binary import BinaryRecording, checked_columns, sample_dtype, whole_frames
from driftviewer.recording.probes import Contacts, contacts_from_dict
from driftviewer.recording.protocol import RecordingInfo

DATA_SUFFIXES = (".bin", ".dat", ".raw", ".npy")


def sidecar_of(path: Path) -> Path | None:
    """Return the JSON beside a data file: ``<name>.json``, or ``info.json`` in a folder of its own."""
    for candidate in (path.with_suffix(".json"), path.with_name("info.json")):
        if candidate.is_file():
            return candidate
    return None


def data_of(sidecar: Path) -> Path:
    """Return the data file that a sidecar describes."""
    stem = "traces" if sidecar.name == "info.json" else sidecar.stem
    for suffix in DATA_SUFFIXES:
        if (candidate := sidecar.with_name(stem + suffix)).is_file():
            return candidate
    raise InputError(
        f"{sidecar} describes a recording, but there is no {stem}{'/'.join(DATA_SUFFIXES)} beside it; put the data file there."
    )


def open_binary(path: str | Path) -> BinaryRecording:
    """Open a data file by its sidecar, or the other way round.

    The sidecar is a JSON object: ``sampling_frequency``, ``dtype`` and ``num_channels`` (both may be left out beside an `.npy`),
    ``gain_to_uV``, ``offset_to_uV``, ``t_start``, ``num_samples``, ``boundaries``, ``inter_sample_shift``, ``channel_ids``,
    ``offset`` (bytes), ``channel_map`` (columns of the probe's contacts where the file has more), and either ``probe``
    (a probeinterface document) or ``probe_file``, by default ``probe.json``.

    Raises
    ------
    InputError
        A key is missing or wrong, the sidecar disagrees with the file or with the probe, or the file is truncated.
    """
    path = Path(path)
    sidecar = path if path.suffix == ".json" else sidecar_of(path)
    if sidecar is None:
        raise InputError(
            f"{path} has no sidecar; write {path.with_suffix('.json').name} beside it (sampling_frequency, dtype, num_channels, probe)."
        )
    data = data_of(sidecar) if path.suffix == ".json" else path
    known = load_json(sidecar)
    if not isinstance(known, dict):
        raise InputError(f"{sidecar} is not a JSON object; see open_binary() for its keys.")
    return _open(data, sidecar, known)


def _open(data: Path, sidecar: Path, known: dict[str, Any]) -> BinaryRecording:
    layout = _npy_layout(data, known, sidecar) if data.suffix == ".npy" else _flat_layout(data, known, sidecar)
    columns, frames, dtype = layout.pop("num_columns"), layout.pop("frames"), layout["file_dtype"]
    chosen = _channel_map(known, columns, sidecar)
    contacts, notes = _contacts(known, sidecar), list(known["notes"]) if isinstance(known.get("notes"), list) else []
    channels = columns if chosen is None else len(chosen)
    if len(contacts.locations) != channels:
        raise InputError(
            f"{sidecar}: the probe has {len(contacts.locations)} contacts but the recording {channels} channels;"
            ' correct the probe, or list the columns of its contacts as "channel_map".'
        )
    if int(_number(known, "num_samples", sidecar, frames)) != frames:
        raise InputError(
            f"{data} holds {frames} frames but {sidecar.name} says {known['num_samples']}; copy the file again or correct the sidecar."
        )
    if "gain_to_uV" not in known:
        notes.append(f"{sidecar.name} gives no gain_to_uV: amplitudes are in the file's own unit.")
    info = RecordingInfo.create(
        _number(known, "sampling_frequency", sidecar), frames, dtype.newbyteorder("="), contacts.locations,
        shank_ids=contacts.shank_ids, gain_uv=_per_channel(known, "gain_to_uV", 1.0, channels, sidecar),
        offset_uv=_per_channel(known, "offset_to_uV", 0.0, channels, sidecar),
        sample_shifts=_per_channel(known, "inter_sample_shift", 0.0, channels, sidecar),
        t_start=_number(known, "t_start", sidecar, 0.0), boundaries=_boundaries(known, frames, sidecar),
        name=str(known.get("name") or "") or (data.parent.name if sidecar.name == "info.json" else data.stem),
        source=str(data), notes=tuple(map(str, notes)), **_ids(known, channels, sidecar),
    )  # fmt: skip
    return BinaryRecording(info, data, num_columns=columns, columns=chosen, **layout)


def _flat_layout(data: Path, known: dict[str, Any], sidecar: Path) -> dict[str, Any]:
    columns = _number(known, "num_channels", sidecar)
    if columns < 1 or columns != int(columns):
        raise InputError(f"{sidecar}: num_channels is {columns:g}; give the number of channels in the file.")
    if "dtype" not in known:
        raise InputError(f'{sidecar} lacks "dtype"; add the type of the samples, for example "int16".')
    dtype, offset = sample_dtype(known["dtype"], sidecar), int(_number(known, "offset", sidecar, 0))
    if offset < 0:
        raise InputError(f"{sidecar}: offset is {offset}; give the number of bytes before the first frame.")
    frames = whole_frames(data, int(columns), dtype, offset)
    return {"num_columns": int(columns), "frames": frames, "file_dtype": dtype, "offset": offset}


def _npy_layout(data: Path, known: dict[str, Any], sidecar: Path) -> dict[str, Any]:
    array = load_array(data, memory_map=True)
    dtype = sample_dtype(array.dtype, data)
    if array.ndim != 2 or not array.size:
        raise InputError(f"{data} has shape {array.shape}; save an array of frames x channels.")
    if "dtype" in known and sample_dtype(known["dtype"], sidecar) != dtype:
        raise InputError(f"{data} is {dtype} but {sidecar.name} says {known['dtype']}; correct the sidecar.")
    columns = int(_number(known, "num_channels", sidecar, array.shape[1]))
    if columns != array.shape[1]:
        raise InputError(f"{data} has shape {array.shape} but {sidecar.name} says {columns} channels; save an array of frames x channels.")
    fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    offset = int(getattr(array, "offset", 0))
    return {"num_columns": columns, "frames": len(array), "file_dtype": dtype, "offset": offset, "fortran_order": fortran}


def _contacts(known: dict[str, Any], sidecar: Path) -> Contacts:
    if isinstance(known.get("probe"), dict):
        return contacts_from_dict(known["probe"], sidecar)
    path = sidecar.with_name(str(known.get("probe_file", "probe.json")))
    if not path.is_file():
        raise InputError(
            f'{sidecar} has no probe and there is no {path.name} beside it; add a probeinterface probe as "probe" or "probe_file".'
        )
    return contacts_from_dict(load_json(path), path)


def _number(known: dict[str, Any], key: str, sidecar: Path, default: float | None = None) -> float:
    value = known.get(key, default)
    if value is None:
        raise InputError(f'{sidecar} lacks "{key}"; add it.')
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        raise InputError(f'{sidecar}: "{key}" is {value!r}; give a number.')
    return value


def _per_channel(known: dict[str, Any], key: str, default: float, channels: int, sidecar: Path) -> np.ndarray:
    try:
        values = np.broadcast_to(np.asarray(known.get(key, default), dtype=np.float64), channels)
    except (ValueError, TypeError, OverflowError):
        values = np.full(channels, np.nan)
    if not np.isfinite(values).all():
        raise InputError(f'{sidecar}: "{key}" must be one number or {channels}, one for each channel; correct it.')
    if key == "gain_to_uV" and not values.all():
        raise InputError(f'{sidecar}: "{key}" is 0, which leaves no signal; give the size of one step in µV, or leave it out.')
    return values


def _channel_map(known: dict[str, Any], columns: int, sidecar: Path) -> np.ndarray | None:
    if known.get("channel_map") is None:
        return None
    return checked_columns(known["channel_map"], columns, sidecar)


def _boundaries(known: dict[str, Any], frames: int, sidecar: Path) -> tuple[int, ...]:
    found = known.get("boundaries", ())
    if not isinstance(found, list | tuple) or not all(isinstance(frame, int) and 0 < frame < frames for frame in found):
        raise InputError(f'{sidecar}: "boundaries" must list frames inside the recording.')
    return tuple(sorted(found))


def _ids(known: dict[str, Any], channels: int, sidecar: Path) -> dict[str, Any]:
    names = known.get("channel_ids")
    if names is None:
        return {}
    if not isinstance(names, list) or len(names) != channels:
        raise InputError(f'{sidecar}: "channel_ids" must list {channels} names.')
    return {"channel_ids": names}
