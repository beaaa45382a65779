"""The `.meta` that belongs to a recording, made from a real one or from probeinterface's catalogue."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from driftviewer.errors import InputError
from driftviewer.recording.protocol import RecordingInfo
from driftviewer.recording.spikeglx import gains_uv, read_meta, read_probe, saved_channels

_READOUT = 384
_FIT_UM = 1.0
# Part number in probeinterface's catalogue, IMRO type, largest integer, half the voltage range.
_CATALOGUE = (("NP1000", "0", 512, 0.6), ("NP2003", "2003", 2048, 0.62), ("NP2013", "2013", 2048, 0.62))


@dataclass(frozen=True, eq=False)
class Template:
    """A `.meta` and how a recording's C channels sit in it.

    Parameters
    ----------
    text : str
        The `.meta`.
    saved : list of int
        Readout channels in file order, then the sync channels.
    order : (C,) int64
        Channel of the recording for each column of the file.
    gain_uv : (C,) float64
        Of the template's contacts, in the recording's channel order.
    num_sync : int
        Columns after the channels.
    """

    text: str
    saved: list[int]
    order: np.ndarray
    gain_uv: np.ndarray
    num_sync: int


def template_for(info: RecordingInfo, meta: Path | None) -> Template:
    """Return the template for a recording's contacts: a real `.meta`, or a plain one (`InputError` if none fits)."""
    if meta is not None:
        return _from_meta(info, meta, meta)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plain.ap.meta")
        path.write_text(_plain_meta(info), encoding="utf-8")
        return _from_meta(info, path, Path(info.source or info.name))


def _from_meta(info: RecordingInfo, meta: Path, where: Path) -> Template:
    fields, probe = read_meta(meta), read_probe(meta)
    saved = saved_channels(fields, meta)
    contacts = match(info.channel_locations, np.asarray(probe.contact_positions, dtype=np.float64))
    if contacts is None:
        raise InputError(
            f"The contacts of {info.name} are not among those of {where}; take the .meta of their probe, or write_binary() instead."
        )
    order = np.argsort(contacts)
    sync = saved[probe.get_contact_count() :]
    channels = [saved[contact] for contact in contacts[order]]
    text = meta.read_text(encoding="utf-8", errors="replace")
    return Template(text, channels + sync, order, gains_uv(fields, probe, meta)[contacts], len(sync))


def match(locations: np.ndarray, contacts: np.ndarray) -> np.ndarray | None:
    """Return which contact each location is, the locations unshifted or shifted as a whole; None if some is none.

    Shifts are tried that put the lowest location on one of the contacts of the lowest rows.
    """
    if len(locations) > len(contacts):
        return None
    tree = cKDTree(contacts)
    lowest = locations[np.lexsort((locations[:, 0], locations[:, 1]))[0]]
    rows = np.unique(np.round(contacts[:, 1], 3))[:4]
    candidates = contacts[np.isin(np.round(contacts[:, 1], 3), rows)]
    for shift in np.vstack([np.zeros(2), candidates - lowest]):
        distance, nearest = tree.query(locations + shift)
        if distance.max() <= _FIT_UM and len(np.unique(nearest)) == len(nearest):
            return np.asarray(nearest)
    return None


def _plain_meta(info: RecordingInfo) -> str:
    from probeinterface.neuropixels_tools import build_neuropixels_probe

    for part, imro_type, largest, half_range in _CATALOGUE:
        probe = build_neuropixels_probe(part)
        found = match(info.channel_locations, np.asarray(probe.contact_positions, dtype=np.float64))
        table = None if found is None else _imro(part, imro_type, probe, found)
        if table is not None:
            text, used = table
            return "\n".join((
                "typeThis=imec", f"imDatPrb_pn={part}", f"imDatPrb_type={imro_type}", "imDatPrb_slot=2", "imDatPrb_port=1",
                "imDatPrb_sn=0", f"imMaxInt={largest}", f"imAiRangeMax={half_range}", f"imAiRangeMin={-half_range}",
                f"acqApLfSy={_READOUT},{_READOUT if imro_type == '0' else 0},1", f"snsApLfSy={len(used)},0,1",
                f"snsSaveChanSubset={_ranges([*used, _SYNC[imro_type]])}", f"nSavedChans={len(used) + 1}",
                f"~imroTbl={text}", "~snsChanMap=" + _channel_names(used, 1), "",
            ))  # fmt: skip
    raise InputError(
        f"The {info.num_channels} contacts of {info.name} are not those of a Neuropixels 1.0 or 2.0 probe;"
        " give the .meta of their probe as meta_template, or use write_binary()."
    )


_SYNC = {"0": 768, "2003": 384, "2013": 384}


def _imro(part: str, imro_type: str, probe: Any, electrodes: np.ndarray) -> tuple[str, list[int]] | None:
    """Return an IMRO table with these electrodes, and their readout channels; None if the probe cannot read them together."""
    electrodes = np.sort(electrodes)
    if imro_type == "0":
        channels = electrodes % _READOUT
        if len(np.unique(channels)) < len(channels):
            return None
        bank = np.zeros(_READOUT, np.int64)
        bank[channels] = electrodes // _READOUT
        rows = [f"({channel} {bank[channel]} 0 500 250 1)" for channel in range(_READOUT)]
        return f"({imro_type},{_READOUT})" + "".join(rows), np.sort(channels).tolist()
    if len(electrodes) > _READOUT:
        return None
    spare = np.setdiff1d(np.arange(probe.get_contact_count()), electrodes)[: _READOUT - len(electrodes)]
    rows = [_np2_row(channel, str(probe.contact_ids[one])) for channel, one in enumerate([*electrodes, *spare])]
    return f"({imro_type},{_READOUT})" + "".join(rows), list(range(len(electrodes)))


def _np2_row(channel: int, contact: str) -> str:
    """Return ``(channel bank_mask reference electrode)`` or, with several shanks, ``(channel shank bank reference electrode)``."""
    shank, electrode = re.fullmatch(r"(?:s(\d+))?e(\d+)", contact).groups()  # type: ignore[union-attr]
    bank = int(electrode) // _READOUT
    if shank is None:
        return f"({channel} {1 << bank} 0 {electrode})"
    return f"({channel} {shank} {bank} 0 {electrode})"


def _channel_names(channels: list[int], num_sync: int) -> str:
    names = [f"AP{channel};{channel}" for channel in channels] + [f"SY{sync};{_READOUT + sync}" for sync in range(num_sync)]
    return f"({len(channels)},0,{num_sync})" + "".join(f"({name}:{index})" for index, name in enumerate(names))


def _ranges(channels: list[int]) -> str:
    """Return a list of channels as SpikeGLX writes it, e.g. ``0:383,768``."""
    parts: list[list[int]] = []
    for channel in channels:
        if parts and channel == parts[-1][1] + 1:
            parts[-1][1] = channel
        else:
            parts.append([channel, channel])
    return ",".join(str(first) if first == last else f"{first}:{last}" for first, last in parts)


def adapted(template: Template, info: RecordingInfo, data: Path, range_factor: float) -> str:
    """Return the `.meta` text for the data file of a recording."""
    old = dict(line.partition("=")[::2] for line in template.text.splitlines() if "=" in line)
    columns = info.num_channels + template.num_sync
    top = float(old["imAiRangeMax"]) * range_factor
    old |= {
        "fileName": data.absolute().as_posix(),
        "fileSizeBytes": str(2 * columns * info.num_samples),
        "fileTimeSecs": repr(info.num_samples / info.sampling_frequency),
        "fileSHA1": "0",
        "firstSample": str(round(info.t_start * info.sampling_frequency)),
        "imAiRangeMax": repr(top),
        "imAiRangeMin": repr(-top),
        "imSampRate": repr(info.sampling_frequency),
        "nSavedChans": str(columns),
        "snsApLfSy": f"{info.num_channels},0,{template.num_sync}",
        "snsSaveChanSubset": _ranges(template.saved),
    }
    if old.get("~snsChanMap", "").count(";") != columns:
        old["~snsChanMap"] = _channel_names(template.saved[: info.num_channels], template.num_sync)
    return "".join(f"{key}={value}\n" for key, value in old.items())
