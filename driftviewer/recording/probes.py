"""From probeinterface's probes to the arrays of a `RecordingInfo`, and back."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.protocol import DerivedRecording, Recording, RecordingInfo

_UNITS_UM = {"um": 1.0, "mm": 1e3, "m": 1e6}


@dataclass(frozen=True, eq=False)
class Contacts:
    """The contacts of a probe in the order of the recording's channels.

    Parameters
    ----------
    locations : (C, 2) float64
        µm.
    shank_ids : (C,) int64
        From 0.
    channels : (C,) int64
        Number of the channel that each contact is wired to, ascending.
    names : tuple of str
        Names of the contacts; empty where the probe gives none, or one twice.
    """

    locations: np.ndarray
    shank_ids: np.ndarray
    channels: np.ndarray
    names: tuple[str, ...] = ()


def contacts_from_dict(probe: Any, where: str | Path) -> Contacts:
    """Return the contacts of a probeinterface document (one probe or a group), ordered by its wiring.

    Contacts that are wired to no channel (device channel index -1) are left out.

    Raises
    ------
    InputError
        Not a probeinterface document, or a wiring that names a channel twice.
    """
    from probeinterface import Probe

    try:
        documents = probe.get("probes", [probe])
        for one in documents:
            _refuse_duplicates(one["contact_positions"], where)
        parts = [_contacts(Probe.from_dict(one)) for one in documents]
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, IndexError, OverflowError) as error:
        raise InputError(
            f"{where} holds no probe that probeinterface can read ({error}); write it again with write_probeinterface()."
        ) from error
    if not parts:
        raise InputError(f"{where} holds no probe; add one with probeinterface.")
    locations = np.concatenate([positions for positions, *_ in parts])
    shanks = np.concatenate([[f"{index}/{shank}" for shank in names] for index, (_, names, *_) in enumerate(parts)])
    offset, channels = 0, []
    for positions, _, wiring, _ in parts:
        channels.append(np.arange(offset, offset + len(positions)) if wiring is None else wiring)
        offset += len(positions)
    channel = np.concatenate(channels)
    wired = np.flatnonzero(channel >= 0)
    order = wired[np.argsort(channel[wired], kind="stable")]
    if len(np.unique(channel[order])) < len(order):
        raise InputError(f"{where}: two contacts are wired to the same channel; correct device_channel_indices of the probe.")
    return Contacts(locations[order], shank_numbers(shanks[order]), channel[order], _names([names for *_, names in parts], order))


def _names(parts: list[list[str]], order: np.ndarray) -> tuple[str, ...]:
    """Return the names of the contacts in an order, none where some are missing or not unique."""
    names = [name for part in parts for name in part]
    chosen = tuple(names[i] for i in order) if all(parts) else ()
    return chosen if all(chosen) and len(set(chosen)) == len(chosen) else ()


def _refuse_duplicates(positions: Any, where: str | Path) -> None:
    unique, counts = np.unique(np.asarray(positions, dtype=np.float64), axis=0, return_counts=True)
    if len(unique) and counts.max() > 1:
        place = ", ".join(f"{value:g}" for value in unique[counts.argmax()])
        raise InputError(f"{where}: {counts.max()} contacts share the position ({place}); give each its own place in the probe file.")


def _contacts(probe: Any) -> tuple[np.ndarray, list[str], np.ndarray | None, list[str]]:
    positions = np.asarray(probe.contact_positions, dtype=np.float64)[:, :2] * _UNITS_UM[probe.si_units]
    shanks = probe.shank_ids if probe.shank_ids is not None else np.zeros(len(positions), int)
    wiring = probe.device_channel_indices
    names = [] if probe.contact_ids is None else [str(name) for name in probe.contact_ids]
    return positions, [str(shank) for shank in shanks], None if wiring is None else np.asarray(wiring, dtype=np.int64), names


def shank_numbers(names: Any) -> np.ndarray:
    """Return shank numbers from 0, in the order of the shanks' names."""
    if names is None:
        return np.zeros(0, np.int64)
    return np.unique(np.asarray(names).astype(str), return_inverse=True)[1].astype(np.int64).ravel()


def make_probe(info: RecordingInfo) -> Any:
    """Return the contacts of a recording as a `probeinterface.Probe`, wired in the order of its channels and named like them."""
    import probeinterface

    probe = probeinterface.Probe(ndim=2, si_units="um")
    probe.set_contacts(info.channel_locations, shapes="circle", shape_params={"radius": 5.0}, shank_ids=info.shank_ids.astype(str))
    if len(set(info.channel_ids)) == info.num_channels:
        probe.set_contact_ids(info.channel_ids)
    probe.set_device_channel_indices(np.arange(info.num_channels))
    return probe


def probe_to_dict(info: RecordingInfo) -> dict[str, Any]:
    """Return the contacts of a recording as a probeinterface document."""
    import probeinterface

    group = probeinterface.ProbeGroup()
    group.add_probe(make_probe(info))
    head: dict[str, Any] = {"specification": "probeinterface", "version": probeinterface.__version__}
    head.update(group.to_dict(array_as_list=True))
    return head


class RewiredRecording(DerivedRecording):
    """Some columns of a recording, in another order, on contacts of their own."""

    def __init__(self, parent: Recording, columns: np.ndarray, **changes: Any) -> None:
        super().__init__(parent, **changes)
        self.columns = columns

    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames (T, C)."""
        return np.ascontiguousarray(self.parent.read(start, end)[:, self.columns])

    def describe(self) -> dict[str, Any]:
        """Return the parent's identity, the columns and the contacts."""
        info = self.info
        contacts = {"locations": info.channel_locations.tolist(), "shanks": info.shank_ids.tolist()}
        return {"type": "rewired", "parent": self.parent.describe(), "columns": self.columns.tolist(), **contacts}


def with_probe(recording: Recording, probe: Any) -> Recording:
    """Return a recording with the contacts of a probeinterface probe, group or document; see `Recording.set_probe`."""
    document = probe if isinstance(probe, dict) else getattr(probe, "to_dict", dict)()
    contacts = contacts_from_dict(document, f"The probe given to {recording.info.name}")
    info, columns = recording.info, contacts.channels
    if not len(columns) or columns[-1] >= info.num_channels:
        raise InputError(
            f"The probe's {len(columns)} wired contacts do not fit the {info.num_channels} channels of {info.name};"
            f" device_channel_indices must lie between 0 and {info.num_channels - 1}."
        )
    changes: dict[str, Any] = {name: getattr(info, name)[columns] for name in ("gain_uv", "offset_uv", "sample_shifts")}
    changes["channel_ids"] = contacts.names or tuple(np.asarray(info.channel_ids, dtype=object)[columns])
    rewired = RewiredRecording(recording, columns, channel_locations=contacts.locations, shank_ids=contacts.shank_ids, **changes)
    rewired.info.check()
    return rewired


def sample_shifts(probe: Any) -> np.ndarray:
    """Return the delay of each contact's ADC within a frame, in frames; zeros where the probe's ADC table is unknown.

    An ADC serves its channels one after the other, and on probes with a separate LF band it spends further cycles
    on that one: Neuropixels 1.0 has 12 channels an ADC and 13 cycles a frame (SpikeGLX's ProbeTable).
    """
    order = probe.contact_annotations.get("adc_sample_order")
    per_adc = probe.annotations.get("num_channels_per_adc")
    if order is None or per_adc is None:
        return np.zeros(probe.get_contact_count())
    ap_hz = probe.annotations.get("ap_sample_frequency_hz") or 30000.0
    lf_hz = probe.annotations.get("lf_sample_frequency_hz") or 0.0
    shifts: np.ndarray = np.asarray(order, dtype=np.float64) / round(per_adc * (1 + lf_hz / ap_hz))
    return shifts
