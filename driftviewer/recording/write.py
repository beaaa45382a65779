"""Writing any recording as an int16 file: flat with sidecar and probe, or as a SpikeGLX pair."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from driftviewer.chunks import Chunk, Job, Plan, Progress, Steps, drain, map_chunks
from driftviewer.errors import InputError
from driftviewer.journal import cannot_write, save_json, write_atomic
from driftviewer.recording.foreign import as_recording
from driftviewer.recording.probes import probe_to_dict
from driftviewer.recording.protocol import Recording, RecordingInfo, files_behind
from driftviewer.recording.sidecar import DATA_SUFFIXES

_LIMIT = 32767
_SUFFIXES = (".bin", ".dat", ".raw")


@dataclass(frozen=True, eq=False)
class Written:
    """What was written.

    Parameters
    ----------
    path : Path
        The data file.
    gain_uv, offset_uv : (C,) float64
        ``µV = stored * gain_uv + offset_uv``, channels as in the recording.
    clipped : int
        Samples beyond the range of int16.
    not_finite : int
        Samples that were NaN or infinite, stored as 0.
    notes : tuple of str
        Sentences for the user.
    """

    path: Path
    gain_uv: np.ndarray
    offset_uv: np.ndarray
    clipped: int
    not_finite: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Stored:
    """Chunk function: ``stored = rint(value * scale - shift)``, columns in file order, then columns of zeros."""

    order: np.ndarray | None = None
    scale: np.ndarray | None = None
    shift: int = 0
    zeros: int = 0

    def __call__(self, traces: np.ndarray, chunk: Chunk) -> tuple[np.ndarray, int, int]:
        values, clipped, bad = self._int16(traces)
        if self.order is not None:
            values = values[:, self.order]
        if self.zeros:
            values = np.pad(values, ((0, 0), (0, self.zeros)))
        return np.ascontiguousarray(values), clipped, bad

    def _int16(self, traces: np.ndarray) -> tuple[np.ndarray, int, int]:
        if traces.dtype == np.int16 and self.scale is None:
            return traces, 0, 0
        real = traces if traces.dtype in (np.float32, np.float64) else traces.astype(np.float64)
        finite = np.isfinite(real)
        bad = int(finite.size - np.count_nonzero(finite))
        values = real if self.scale is None else real * self.scale.astype(real.dtype)
        values = np.rint(values - real.dtype.type(self.shift))
        if bad:
            values = np.where(finite, values, 0)
        outside = int(np.count_nonzero((values > _LIMIT) | (values < -_LIMIT - 1)))
        return np.clip(values, -_LIMIT - 1, _LIMIT).astype(np.int16), outside, bad


def write_binary(path: str | Path, recording: Any, job: Job | None = None) -> Written:
    """Write a recording as a flat int16 file with JSON sidecar and probe; see `write_binary_steps`."""
    job = job or Job()
    return drain(write_binary_steps(path, recording, job), job.progress_bar)


def write_binary_steps(path: str | Path, recording: Any, job: Job | None = None) -> Steps[Written]:
    """Write a recording chunk by chunk and yield the progress.

    Beside ``<name>.bin`` stand ``<name>.json`` (the sidecar that `open_recording` reads, probe included) and
    ``<name>.probe.json`` (the probe alone, for other programs). int16 samples are stored as they are; others are rounded half to even,
    with the recording's own gain where its values fit, else with another one that the sidecar gives.

    Parameters
    ----------
    path : path
        Ends in ``.bin``, ``.dat`` or ``.raw``; replaced if it exists.
    recording : Recording or SpikeInterface recording
    job : Job, optional

    Raises
    ------
    InputError
        Read-only folder, full disk, a file that the recording itself is read from, or a name whose sidecar belongs to another
        data file; nothing half-written stays behind.
    """
    path, recording, job = Path(path), as_recording(recording), job or Job()
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path} cannot be written: give a name that ends in {', '.join(_SUFFIXES)}.")
    _refuse_sidecar_of_another(path)
    factor, shift, notes = _fit(recording)
    stored = _Stored(scale=None if factor == 1.0 else np.full(recording.info.num_channels, factor), shift=shift)
    gain, offset = recording.info.gain_uv / factor, recording.info.offset_uv + shift * recording.info.gain_uv
    with _replacing(path, recording, recording.info.num_channels) as file:
        clipped, bad = yield from _write_chunks(file, recording, stored, job, f"write {path.name}")
        written = Written(path, gain, offset, clipped, bad, _with_counts(notes, clipped, bad))
        probe = probe_to_dict(recording.info)
        save_json(path.with_suffix(".probe.json"), probe)
        save_json(path.with_suffix(".json"), _sidecar(recording.info, written) | {"probe": probe})
    return written


def _sidecar(info: RecordingInfo, written: Written) -> dict[str, Any]:
    return {
        "sampling_frequency": info.sampling_frequency,
        "dtype": "int16",
        "num_channels": info.num_channels,
        "num_samples": info.num_samples,
        "gain_to_uV": _one_or_all(written.gain_uv),
        "offset_to_uV": _one_or_all(written.offset_uv),
        "t_start": info.t_start,
        "boundaries": list(info.boundaries),
        "inter_sample_shift": _one_or_all(info.sample_shifts),
        "channel_ids": list(info.channel_ids),
        "name": info.name,
        "notes": list(dict.fromkeys((*info.notes, *written.notes))),
    }


def _one_or_all(values: np.ndarray) -> float | list[float]:
    return float(values[0]) if (values == values[0]).all() else values.tolist()


def _with_counts(notes: list[str], clipped: int, bad: int) -> tuple[str, ...]:
    if clipped:
        notes = [*notes, f"{_samples(clipped)} outside the range of int16 and clipped."]
    if bad:
        notes = [*notes, f"{_samples(bad)} NaN or infinite and stored as 0."]
    return tuple(notes)


def _samples(count: int) -> str:
    return "1 sample was" if count == 1 else f"{count:,} samples were"


def _fit(recording: Recording) -> tuple[float, int, list[str]]:
    """Return by what to multiply and what to subtract so that the samples fit int16 and keep their resolution."""
    dtype = recording.info.dtype
    if dtype == np.int16:
        return 1.0, 0, []
    if dtype == np.uint16:
        return 1.0, 32768, []
    peak, noise = _extent(recording)
    if peak == 0 or (peak <= _LIMIT and noise >= 1.0):
        return 1.0, 0, []
    # Excerpts do not show the largest value, hence room for four times the peak seen.
    factor = _LIMIT / (4.0 * peak)
    return factor, 0, [f"Samples were multiplied by {factor:.6g} to use the range of int16; gain_to_uV accounts for it."]


def _extent(recording: Recording) -> tuple[float, float]:
    """Return the largest absolute value and the median MAD noise of twenty excerpts."""
    frames = recording.info.num_samples
    length = max(1, min(frames, int(0.1 * recording.info.sampling_frequency)))
    peak, noise = 0.0, []
    for start in np.linspace(0, frames - length, 20).astype(int).tolist():
        traces = recording.read(start, start + length).astype(np.float64)
        traces[~np.isfinite(traces)] = 0.0
        peak = max(peak, float(np.abs(traces).max()))
        noise.append(np.median(np.median(np.abs(traces - np.median(traces, axis=0)), axis=0)) / 0.6745)
    return peak, float(np.median(noise))


def _write_chunks(file: BinaryIO, recording: Recording, stored: _Stored, job: Job, step: str) -> Steps[tuple[int, int]]:
    clipped = bad = 0
    total = recording.info.duration_s
    yield Progress(step, 0.0, total)
    chunks = map_chunks(recording, Plan(stored), job)
    try:
        for chunk, (values, outside, not_finite) in chunks:
            file.write(values.data)
            clipped, bad = clipped + outside, bad + not_finite
            yield Progress(step, chunk.end / recording.info.sampling_frequency, total)
    finally:
        chunks.close()
    # Before the sidecar is written: a full disk may show only here.
    file.flush()
    os.fsync(file.fileno())
    return clipped, bad


def _refuse_sidecar_of_another(path: Path) -> None:
    for suffix in DATA_SUFFIXES:
        other = path.with_suffix(suffix)
        if suffix != path.suffix and other.exists():
            raise InputError(f"{path.with_suffix('.json')} belongs to {other}; choose another name than {path.name}.")


@contextmanager
def _replacing(path: Path, recording: Recording, columns: int) -> Iterator[BinaryIO]:
    """Open a temporary file that takes the place of `path` when the block ends without an error."""
    if path.exists() and path.resolve() in files_behind(recording):
        raise InputError(f"{path} is the file that the recording is read from; choose another name.")
    # One fixed name, so that what a killed run left behind is overwritten by the next.
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        needed, free = 2 * columns * recording.info.num_samples, shutil.disk_usage(path.parent).free
        if needed > free:
            raise InputError(
                f"Cannot write {path}: it needs {needed / 1e6:,.1f} MB but only {free / 1e6:,.1f} MB are free;"
                " free space or choose another folder."
            )
        with open(temporary, "wb") as file:
            yield file
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise cannot_write(path, error) from error
        raise


def write_spikeglx(
    folder: str | Path, recording: Any, meta_template: str | Path | None = None, run_name: str = "run", job: Job | None = None
) -> Written:
    """Write a recording as SpikeGLX would have; see `write_spikeglx_steps`."""
    job = job or Job()
    return drain(write_spikeglx_steps(folder, recording, meta_template, run_name, job), job.progress_bar)


def write_spikeglx_steps(
    folder: str | Path, recording: Any, meta_template: str | Path | None = None, run_name: str = "run", job: Job | None = None
) -> Steps[Written]:
    """Write ``<run>_g0/<run>_g0_imec0/<run>_g0_t0.imec0.ap.bin`` and `.meta`, with a sync channel, and yield the progress.

    Parameters
    ----------
    folder : path
        Where the run's folder is made.
    recording : Recording or SpikeInterface recording
        Its contacts must be those of the template (or a part of them), shifted as a whole at most.
    meta_template : path, optional
        A real `.meta`; its file size, length, rate, saved channels and voltage range are adapted (the range, so that the recording's
        gain holds for its integers unchanged). Without it a plain one is made for Neuropixels 1.0 or 2.0, whichever fits the contacts.
    run_name : str
    job : Job, optional

    Raises
    ------
    InputError
        The contacts fit no such probe, or the files cannot be written.

    Notes
    -----
    SpikeGLX stores channels in the order of the probe's readout, which may differ from the recording's.
    """
    from driftviewer.recording.spikeglx_meta import adapted, template_for

    recording, job = as_recording(recording), job or Job()
    factor, shift, notes = _fit(recording)
    template = template_for(recording.info, Path(meta_template) if meta_template is not None else None)
    path = Path(folder) / f"{run_name}_g0" / f"{run_name}_g0_imec0" / f"{run_name}_g0_t0.imec0.ap.bin"
    gain = recording.info.gain_uv / factor
    scale = np.full(recording.info.num_channels, factor)
    ratio = gain / template.gain_uv
    if not np.allclose(ratio, ratio[0], rtol=1e-9):
        scale, gain, ratio = recording.info.gain_uv / template.gain_uv, template.gain_uv, np.ones(1)
    stored = _Stored(template.order, None if (scale == 1.0).all() else scale, shift, template.num_sync)
    columns = recording.info.num_channels + template.num_sync
    with _replacing(path, recording, columns) as file:
        clipped, bad = yield from _write_chunks(file, recording, stored, job, f"write {path.name}")
        text = adapted(template, recording.info, path, float(ratio[0]))
        write_atomic(path.with_suffix(".meta"), lambda meta: meta.write(text.encode()))
    return Written(path, gain, np.zeros(len(gain)), clipped, bad, _with_counts(notes, clipped, bad))
