"""SpikeGLX: pairs of `.bin` and `.meta`, by run, probe, gate and trigger."""

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from driftviewer.errors import InputError
from driftviewer.recording.binary import BinaryRecording, whole_frames
from driftviewer.recording.concatenate import concatenate
from driftviewer.recording.probes import sample_shifts, shank_numbers
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.recording.streams import choose

_NAME = re.compile(
    r"^(?P<run>.*?)(?:_g(?P<gate>\d+))?(?:_t(?P<trigger>\d+|cat))?(?:\.exported)?"
    r"\.(?P<device>imec\d*|obx\d*|nidq)(?:\.(?P<band>ap|lf|obx))?$"
)


@dataclass(frozen=True)
class Pair:
    """One `.bin` with its `.meta`, and what their name says."""

    meta: Path
    run: str
    stream: str
    order: tuple[int, int]
    is_catgt: bool

    @property
    def data(self) -> Path:
        """The `.bin`."""
        return self.meta.with_suffix(".bin")


def find_pairs(folder: Path) -> list[Pair]:
    """Return the pairs below a folder."""
    metas = sorted(path for path in folder.rglob("*.meta") if path.with_suffix(".bin").is_file())
    return [_pair(path) for path in metas]


def _pair(meta: Path) -> Pair:
    match = _NAME.match(meta.stem)
    if match is None:
        original = re.split(r"[\\/]", read_meta(meta).get("fileName", ""))[-1]
        match = _NAME.match(original.removesuffix(".bin"))
    if match is None:
        raise InputError(f"{meta} is not named as SpikeGLX names its files; rename it like run_g0_t0.imec0.ap.meta.")
    stream = match["device"] + (f".{match['band']}" if match["band"] else "")
    trigger = match["trigger"] or "0"
    order = (int(match["gate"] or 0), -1 if trigger == "cat" else int(trigger))
    return Pair(meta, match["run"], stream, order, trigger == "cat")


def read_meta(path: Path) -> dict[str, str]:
    """Return the ``key=value`` lines of a `.meta` file, keys without their tilde."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.removeprefix("~").strip(): value.strip() for key, _, value in pairs}


def open_spikeglx(path: str | Path, *, stream: str | None = None) -> Recording:
    """Open a SpikeGLX file, probe folder or run folder.

    Parameters
    ----------
    path : path
        A `.bin` or `.meta` (that file alone), or a folder: all gates and triggers of one probe are joined.
    stream : str, optional
        Which probe and band of a folder, e.g. ``"imec0.ap"``; needed if there are several probes.

    Raises
    ------
    InputError
        A file of the pair is missing, truncated, or disagrees with the other; several probes and no `stream`.
    """
    path = Path(path)
    if path.is_file():
        meta = path.with_suffix(".meta")
        if not meta.is_file():
            raise InputError(f"{path} has no {meta.name} beside it; copy the .meta that SpikeGLX wrote with it.")
        if not meta.with_suffix(".bin").is_file():
            raise InputError(f"{meta} has no {meta.with_suffix('.bin').name} beside it; copy the data file there.")
        return _open_pair(meta)
    pairs = find_pairs(path)
    if not pairs:
        raise InputError(f"{path} holds no pair of .bin and .meta; give the folder of a SpikeGLX run.")
    names = {(pair.run, pair.stream) for pair in pairs}
    one_run = len({run for run, _ in names}) == 1
    labels = {(stream if one_run else f"{run}/{stream}"): (run, stream) for run, stream in sorted(names)}
    wanted = labels[choose(list(labels), stream, path)]
    chosen = sorted((pair for pair in pairs if (pair.run, pair.stream) == wanted), key=lambda pair: pair.order)
    return _join([pair for pair in chosen if pair.is_catgt] or chosen, path)


def read_spikeglx(folder_path: str | Path, stream_id: str | None = None) -> Recording:
    """Open a SpikeGLX run by the names of SpikeInterface's function (see `open_spikeglx`)."""
    return open_spikeglx(folder_path, stream=stream_id)


def _join(pairs: list[Pair], folder: Path) -> Recording:
    seen: dict[tuple[int, int], Path] = {}
    for pair in pairs:
        if pair.order in seen:
            raise InputError(f"{folder} holds {seen[pair.order]} and {pair.data}, two copies of one file; give one of the files.")
        seen[pair.order] = pair.data
    return concatenate([_open_pair(pair.meta) for pair in pairs])


def _open_pair(path: Path) -> BinaryRecording:
    meta, data = read_meta(path), path.with_suffix(".bin")
    columns = int(_value(meta, "nSavedChans", path))
    if "imroTbl" not in meta:
        raise InputError(f"{path} describes no Neuropixels probe (no imroTbl); give the .ap.bin of a probe.")
    ap, lf = _band_counts(meta, path)
    if columns < (ap or lf):
        raise InputError(f"{path}: nSavedChans is {columns} but snsApLfSy counts {ap or lf} channels; restore the original .meta.")
    frames = whole_frames(data, columns, np.dtype(np.int16))
    notes = _check_size(meta, path, data)
    probe = read_probe(path, lf_only=ap == 0)
    channels = ap or lf
    if probe.get_contact_count() != channels:
        raise InputError(
            f"{path}: the probe has {probe.get_contact_count()} contacts but snsApLfSy says {channels};"
            " take the .meta that belongs to the file."
        )
    rate = _value(meta, "imSampRate", path)
    band = "AP" if ap else "LF"
    if not ap:
        notes.append("This is the LF band: spikes are found in the AP band.")
    info = RecordingInfo.create(
        rate, frames, np.int16, probe.contact_positions,
        gain_uv=gains_uv(meta, probe, path, lf_band=not ap), shank_ids=_shanks(probe), sample_shifts=sample_shifts(probe),
        channel_ids=[f"{band}{channel}" for channel in saved_channels(meta, path)[:channels]],
        t_start=_value({"firstSample": "0"} | meta, "firstSample", path) / rate,
        name=data.name.removesuffix(".bin"), source=str(data), notes=tuple(notes),
    )  # fmt: skip
    return BinaryRecording(info, data, num_columns=columns, columns=slice(0, channels))


def _shanks(probe: Any) -> np.ndarray:
    return np.zeros(probe.get_contact_count(), np.int64) if probe.shank_ids is None else shank_numbers(probe.shank_ids)


def _check_size(meta: dict[str, str], path: Path, data: Path) -> list[str]:
    if "fileSizeBytes" not in meta:
        return [f"{path.name} gives no file size: the recording was not ended properly."]
    declared, size = int(_value(meta, "fileSizeBytes", path)), data.stat().st_size
    if declared != size:
        raise InputError(
            f"{data} has {size} bytes but {path.name} says {declared};"
            " copy the whole file again, or correct fileSizeBytes if it was cut on purpose."
        )
    return []


def saved_channels(meta: dict[str, str], path: Path) -> list[int]:
    """Return the acquired channels that were saved, sync included."""
    text = _text(meta, "snsSaveChanSubset", path)
    if text == "all":
        return list(range(int(_value(meta, "nSavedChans", path))))
    channels: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition(":")
            channels.extend(range(int(first), int(last or first) + 1))
    except ValueError as error:
        raise InputError(f"{path}: snsSaveChanSubset is {text!r}, not a list of channels; restore the original .meta.") from error
    return channels


def read_probe(path: Path, *, lf_only: bool = False) -> Any:
    """Return the probeinterface probe of the channels that a `.meta` says were saved."""
    import probeinterface

    try:
        if not lf_only:
            return probeinterface.read_spikeglx(path)
        # probeinterface keeps AP channels only; those of the LF band have the same contacts, so ask for these.
        meta = read_meta(path)
        acquired = int(meta.get("acqApLfSy", meta["snsApLfSy"]).split(",")[0])
        subset = ",".join(str(c - acquired) for c in saved_channels(meta, path) if acquired <= c < 2 * acquired)
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "ap.meta")
            text = path.read_text(encoding="utf-8", errors="replace")
            copy.write_text(re.sub(r"(?m)^snsSaveChanSubset=.*$", f"snsSaveChanSubset={subset}", text), encoding="utf-8")
            return probeinterface.read_spikeglx(copy)
    except (KeyError, ValueError, TypeError, IndexError, AssertionError, AttributeError) as error:
        raise InputError(
            f"{path}: its probe cannot be read ({type(error).__name__}: {error}); is it a whole .meta of a Neuropixels probe?"
        ) from error


def gains_uv(meta: dict[str, str], probe: Any, path: Path, *, lf_band: bool = False) -> np.ndarray:
    """Return µV per bit of each contact: range / largest integer / amplifier gain (SpikeGLX's Metadata help).

    The amplifier's gain is taken from the contacts of the probe, hence right for saved subsets of channels and for
    probes whose IMRO table has no row per channel.
    """
    band = "lf" if lf_band else "ap"
    gain = probe.contact_annotations.get(f"{band}_gains")
    if gain is None or not np.all(np.asarray(gain, float) > 0):
        gain = meta.get(f"imChan0{band}Gain") or probe.annotations.get(f"{band}_gain") or probe.annotations.get("ap_gain")
    if gain is None:
        raise InputError(f"{path} gives no {band.upper()} gain; restore the original .meta.")
    bits = probe.annotations.get("adc_bit_depth") or 10
    largest = _value({"imMaxInt": str(2 ** (int(bits) - 1))} | meta, "imMaxInt", path)
    one_bit_uv = _value(meta, "imAiRangeMax", path) / largest * 1e6
    try:
        gain = np.broadcast_to(np.asarray(gain, dtype=np.float64), probe.get_contact_count())
    except ValueError as error:
        raise InputError(f"{path}: its {band.upper()} gain is not a number ({error}); restore the original .meta.") from error
    return one_bit_uv / gain


def _band_counts(meta: dict[str, str], path: Path) -> tuple[int, int]:
    text = _text(meta, "snsApLfSy", path)
    try:
        ap, lf, _ = (int(count) for count in text.split(","))
    except ValueError as error:
        raise InputError(f"{path}: snsApLfSy is {text!r}, not three counts; restore the original .meta.") from error
    return ap, lf


def _text(meta: dict[str, str], key: str, path: Path) -> str:
    if key not in meta:
        raise InputError(f"{path} lacks {key}; it is cut short or not a SpikeGLX .meta: copy it again.")
    return meta[key]


def _value(meta: dict[str, str], key: str, path: Path) -> float:
    """Return a number that must be positive, or 0 for a time or a size."""
    text = _text(meta, key, path)
    try:
        value = float(text)
    except ValueError as error:
        raise InputError(f"{path}: {key} is {text!r}, not a number; restore the original .meta.") from error
    if not np.isfinite(value) or value < 0 or (value == 0 and key not in ("firstSample", "fileSizeBytes")):
        raise InputError(f"{path}: {key} is {text}, which cannot be; restore the original .meta.")
    return value
