"""Open Ephys binary folders, their layout read by neo's `OpenEphysBinaryRawIO`."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.binary import BinaryRecording, whole_frames
from driftviewer.recording.concatenate import concatenate
from driftviewer.recording.probes import sample_shifts, shank_numbers
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.recording.streams import choose

DEFAULT_PITCH_UM = 20.0


def open_openephys(path: str | Path, *, stream: str | None = None) -> Recording:
    """Open an Open Ephys recording in binary format.

    Parameters
    ----------
    path : path
        The session, a record node, an experiment or a recording: all recordings below it are joined.
    stream : str, optional
        Which stream, or a part of its name; needed if several may hold spikes.

    Returns
    -------
    recording : Recording
        Without Neuropixels probe in ``settings.xml`` its contacts are a line at 20 µm pitch, and its notes say so.

    Raises
    ------
    InputError
        No such recording, a damaged one, several streams and no `stream`, or a probe that does not fit the channels.
    """
    folder = session_folder(Path(path))
    reader = _parse(folder)
    streams = reader.header["signal_streams"]
    name = choose([str(one) for one in streams["name"]], stream, folder)
    index = [str(one) for one in streams["name"]].index(name)
    parts = []
    for block in range(reader.header["nb_block"]):
        parts += [_open_segment(reader, folder, block, segment, index) for segment in range(reader.header["nb_segment"][block])]
    return concatenate(parts)


def session_folder(path: Path) -> Path:
    """Return the folder for neo: `path` itself, or the recording that a file or folder inside one belongs to."""
    path = path.resolve()
    start = path if path.is_dir() else path.parent
    if any(start.rglob("structure.oebin")):
        return start
    for above in list(start.parents)[:3]:
        if (above / "structure.oebin").is_file():
            return above
    raise InputError(f"{path} holds no structure.oebin; give the folder of an Open Ephys recording in binary format.")


def _parse(folder: Path) -> Any:
    from neo.rawio import OpenEphysBinaryRawIO

    reader = OpenEphysBinaryRawIO(dirname=str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader.parse_header()
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, EOFError) as error:
        raise InputError(
            f"{folder} is not a whole Open Ephys recording ({type(error).__name__}: {error}); give one experiment or copy it again."
        ) from error
    return reader


def _open_segment(reader: Any, folder: Path, block: int, segment: int, index: int) -> BinaryRecording:
    stream = reader.header["signal_streams"][index]
    layout = reader.get_analogsignal_buffer_description(block, segment, stream["buffer_id"])
    data, dtype, columns = Path(layout["file_path"]), np.dtype(layout["dtype"]), int(layout["shape"][1])
    frames = whole_frames(data, columns, dtype, layout["file_offset"])
    stored = reader.header["signal_channels"]
    stored = stored[stored["buffer_id"] == stream["buffer_id"]]
    chosen = np.flatnonzero(stored["stream_id"] == stream["id"])
    channels = stored[chosen]
    scale = np.where(np.char.lower(channels["units"]) == "v", 1e6, 1.0)
    probe, notes = _probe(data, len(chosen))
    info = RecordingInfo.create(
        float(channels["sampling_rate"][0]), frames, dtype, probe.pop("channel_locations"),
        gain_uv=channels["gain"] * scale, offset_uv=channels["offset"] * scale, channel_ids=channels["name"],
        t_start=float(reader.get_signal_t_start(block, segment, index)), name=f"{folder.name} {stream['name']}".strip(),
        source=str(data), notes=notes, **probe,
    )  # fmt: skip
    return BinaryRecording(info, data, num_columns=columns, columns=chosen, offset=layout["file_offset"])


def _probe(data: Path, channels: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    settings = _settings(data)
    found = _neuropixels(settings, data.parent.name) if settings is not None else None
    if found is None:
        depths = np.arange(channels) * DEFAULT_PITCH_UM
        note = (
            f"Nothing describes the probe: its {channels} contacts are assumed to lie on a line,"
            f" {DEFAULT_PITCH_UM:g} µm apart in channel order, so depths and displacements hold only if that is true."
        )
        return {"channel_locations": np.column_stack([np.zeros(channels), depths])}, (note,)
    if found.get_contact_count() != channels:
        raise InputError(
            f"{settings}: the probe has {found.get_contact_count()} contacts but {data} {channels} channels;"
            " take the settings.xml of this experiment."
        )
    shanks = np.zeros(channels, np.int64) if found.shank_ids is None else shank_numbers(found.shank_ids)
    return {"channel_locations": found.contact_positions, "shank_ids": shanks, "sample_shifts": sample_shifts(found)}, ()


def _settings(data: Path) -> Path | None:
    """Return the settings that belong to a ``<node>/experimentN/recordingM/continuous/<stream>/continuous.dat``."""
    experiment = data.parents[3]
    number = experiment.name.removeprefix("experiment")
    name = "settings.xml" if number in ("", "1") else f"settings_{number}.xml"
    for candidate in (experiment.parent / name, experiment.parent / "settings.xml", experiment.parent.parent / "settings.xml"):
        if candidate.is_file():
            return candidate
    return None


def _neuropixels(settings: Path, stream: str) -> Any:
    """Return the Neuropixels probe of a stream, None where the settings describe none for it."""
    import probeinterface

    if not probeinterface.has_neuropixels_probes(settings):
        return None
    several_streams = probeinterface.has_neuropixels_probes(settings, stream)
    if not several_streams and not any(mark in stream for mark in ("Neuropix", "OneBox", "ONIX", "Probe")):
        return None
    # probeinterface raises bare exceptions for settings it cannot use.
    try:
        return probeinterface.read_openephys_neuropixels(settings, stream_name=stream)
    except Exception as error:
        raise InputError(f"{settings}: the probe of {stream} cannot be read ({error}); restore the original settings.xml.") from error
