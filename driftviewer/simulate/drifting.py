"""`simulate_drifting_recording`: a recording that drifts in a known way, computed when it is read."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numba
import numpy as np

from driftviewer.chunks import Job
from driftviewer.errors import InputError
from driftviewer.geometry import distances
from driftviewer.params import Method, Param, make, nearest
from driftviewer.recording.open import open_recording
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.recording.write import write_binary, write_spikeglx
from driftviewer.simulate.motions import DriftName, drift_motion
from driftviewer.simulate.probes import Probe, ProbeName, make_probe
from driftviewer.simulate.templates import random_units
from driftviewer.simulate.trains import ModulationName, random_trains
from driftviewer.simulate.truth import Truth

GAIN_UV = 0.195
BLOCK_S = 0.25
BLOCKS_KEPT = 12
FORMATS = ("binary", "spikeglx")

# every part draws from a stream of its own, so that changing one leaves the others as they are
UNITS, TRAINS, SCALES, MOTION, LEVELS, NOISE = range(6)

PAIRS = ("firing_rate_hz", "unit_amplitude_uv", "noise_uv", "jump_interval_s")


@dataclass(frozen=True, kw_only=True)
class DriftingSimulation(Method):
    """Everything a simulated recording follows from; equal parameters give equal samples."""

    name = "drifting"
    step = "simulate"

    duration_s: Annotated[float, Param("Length of the recording.", ge=0.1, le=86400)] = 120.0
    num_channels: Annotated[int, Param("Number of contacts.", ge=1)] = 128
    num_units: Annotated[int, Param("Number of neurons.", ge=1, le=10000)] = 100
    drift: Annotated[DriftName, Param("Shape of the drift.")] = "nonrigid"
    seed: Annotated[int, Param("Same seed, same recording.", ge=0)] = 0
    probe: Annotated[ProbeName, Param("Layout of the contacts.")] = "NP1"
    amplitude_um: Annotated[float, Param("Largest displacement, either way.", ge=0, le=1000)] = 30.0
    start_s: Annotated[float, Param("Time after which the tissue drifts.", ge=0)] = 10.0
    period_s: Annotated[float, Param("Period of the zigzag.", gt=0)] = 100.0
    gradient: Annotated[float, Param("Share by which the tip drifts less than the top.", ge=0, le=1, unit="share")] = 0.5
    jump_interval_s: Annotated[tuple[float, ...], Param("Shortest and longest time between jumps of 'bumps'.", gt=0)] = (20.0, 50.0)
    firing_rate_hz: Annotated[tuple[float, ...], Param("Lowest and highest mean rate of a neuron.", ge=0, le=300)] = (2.0, 8.0)
    rate_modulation: Annotated[ModulationName, Param("Steady rates, or rates that swing with a period of 3 min.")] = "none"
    refractory_ms: Annotated[float, Param("Shortest time between two spikes of a neuron.", ge=0, le=100)] = 2.0
    unit_amplitude_uv: Annotated[tuple[float, ...], Param("Range of the peak amplitudes on the best contact.", gt=0)] = (40.0, 400.0)
    amplitude_jitter: Annotated[float, Param("Standard deviation of a spike's amplitude, as a share.", ge=0, le=0.5, unit="share")] = 0.08
    min_unit_distance_um: Annotated[float, Param("Smallest distance between neurons, where there is room.", ge=0)] = 18.0
    noise_uv: Annotated[tuple[float, ...], Param("Range of the channels' noise levels.", ge=0, le=1000)] = (6.0, 8.0)
    noise_decay_um: Annotated[float, Param("Distance over which the noise's correlation falls to 1/e.", ge=0)] = 25.0
    sampling_frequency: Annotated[float, Param("Frames per second.", ge=1000, le=200000, unit="Hz")] = 30000.0
    adc_shifts: Annotated[bool, Param("Sample the channels one after the other, as the probe's converters do.")] = False
    t_start_s: Annotated[float, Param("Time of the first frame on the recording's clock.")] = 0.0

    def __post_init__(self) -> None:
        for name in PAIRS:
            value = getattr(self, name)
            if isinstance(value, int | float):
                object.__setattr__(self, name, (value, value))
        super().__post_init__()
        for name in PAIRS:
            pair = getattr(self, name)
            if len(pair) != 2 or pair[0] > pair[1]:
                raise InputError(f"simulate.{name} = {pair} is not a range; give the lowest and the highest value, or one number.")
        make_probe(self.probe, self.num_channels)

    @property
    def num_samples(self) -> int:
        """T."""
        return round(self.duration_s * self.sampling_frequency)

    def random(self, stream: int, *index: int) -> np.random.Generator:
        """Return the source of randomness of one part."""
        return np.random.Generator(np.random.SFC64([self.seed, stream, *index]))

    def make_truth(self) -> Truth:
        """Draw units, motion and spikes."""
        probe = make_probe(self.probe, self.num_channels)
        depths = probe.locations[:, 1]
        motion = drift_motion(
            self.drift,
            self.duration_s,
            (float(depths.min()), float(depths.max())),
            self.random(MOTION),
            amplitude_um=self.amplitude_um,
            period_s=self.period_s,
            gradient=self.gradient,
            jump_interval_s=_pair(self.jump_interval_s),
            start_s=self.start_s,
            t_start_s=self.t_start_s,
        )
        units = random_units(
            self.num_units,
            probe.locations,
            probe.shank_ids,
            _pair(self.unit_amplitude_uv),
            self.min_unit_distance_um,
            self.random(UNITS),
        )
        rates = _pair(self.firing_rate_hz)
        times, clusters = random_trains(
            self.num_units, self.num_samples, self.sampling_frequency, rates, self.refractory_ms, self.rate_modulation, self.random(TRAINS)
        )
        scales = np.clip(1.0 + self.amplitude_jitter * self.random(SCALES).standard_normal(len(times)), 0.3, 1.7)
        shifts = self.shifts(probe)
        return Truth(
            motion, times, clusters, scales, units, probe.locations, shifts, self.sampling_frequency, self.duration_s, self.t_start_s
        )

    def shifts(self, probe: Probe) -> np.ndarray:
        """Return how late within a frame each channel is sampled, frames."""
        return probe.sample_shifts * self.adc_shifts

    def make_info(self) -> RecordingInfo:
        """Return the description of the recording."""
        probe = make_probe(self.probe, self.num_channels)
        return RecordingInfo.create(
            self.sampling_frequency,
            self.num_samples,
            np.int16,
            probe.locations,
            channel_ids=[f"AP{channel}" for channel in range(self.num_channels)],
            gain_uv=GAIN_UV,
            shank_ids=probe.shank_ids,
            sample_shifts=self.shifts(probe),
            t_start=self.t_start_s,
            name=f"simulated {self.drift} drift",
        )

    def noise_mixing(self) -> np.ndarray:
        """Return the weights (H, C), µV, that turn independent noise into noise correlated over distance.

        Row h tells how much of the white noise of channel c - h goes into channel c: the Cholesky factor, diagonal by
        diagonal, as far as it matters.
        """
        locations = make_probe(self.probe, self.num_channels).locations
        levels = self.random(LEVELS).uniform(*_pair(self.noise_uv), size=self.num_channels)
        decay = max(self.noise_decay_um, 1e-3)
        factor = np.linalg.cholesky(np.exp(-distances(locations) / decay))
        height = 1 + max(h for h in range(len(factor)) if np.abs(np.diagonal(factor, -h)).max() > 1e-3)
        rows = [np.concatenate([np.zeros(h), np.diagonal(factor, -h)]) * levels for h in range(height)]
        return np.asarray(rows, np.float32)


class SimulatedRecording(Recording):
    """A recording that is computed when it is read.

    Its samples are made in blocks at fixed places, each from a seed of its own, so that they do not depend on what is
    read when. The last few blocks are kept.
    """

    def __init__(self, simulation: DriftingSimulation) -> None:
        super().__init__(simulation.make_info())
        self.simulation = simulation
        self.truth = simulation.make_truth()
        self._mixing = simulation.noise_mixing()
        self._block_frames = max(1, int(BLOCK_S * simulation.sampling_frequency))
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return SimulatedRecording, (self.simulation,)

    def describe(self) -> dict[str, Any]:
        """Return the parameters of the simulation."""
        return {"kind": "simulated", "version": 1, **self.simulation.to_dict()}

    def read(self, start: int, end: int) -> np.ndarray:
        """Return frames ``start`` to ``end`` as int16 (T, C)."""
        out = np.empty((end - start, self.info.num_channels), np.int16)
        for index in range(start // self._block_frames, -(-end // self._block_frames)):
            first = index * self._block_frames
            low, high = max(start, first), min(end, first + self._block_frames)
            out[low - start : high - start] = self._block(index)[low - first : high - first]
        return out

    def _block(self, index: int) -> np.ndarray:
        with self._lock:
            if index in self._blocks:
                self._blocks.move_to_end(index)
                return self._blocks[index]
        block = self._make_block(index)
        with self._lock:
            self._blocks[index] = block
            while len(self._blocks) > BLOCKS_KEPT:
                self._blocks.popitem(last=False)
        return block

    def _make_block(self, index: int) -> np.ndarray:
        shape = (self._block_frames, self.info.num_channels)
        traces = np.zeros(shape, np.float32)
        if self._mixing.any():
            white = self.simulation.random(NOISE, index).standard_normal(shape, dtype=np.float32)
            _mix(white, self._mixing, traces)
        self.truth.add_spikes(traces, index * self._block_frames)
        quantised = np.empty(shape, np.int16)
        _quantise(traces, np.float32(1.0 / GAIN_UV), quantised)
        return quantised


@numba.njit(nogil=True, cache=True)
def _mix(white: np.ndarray, mixing: np.ndarray, out: np.ndarray) -> None:
    """Add up to `out` (T, C) the white noise (T, C) by the weights (H, C) of `noise_mixing`.

    Done here rather than by BLAS, whose order of summation may depend on its number of threads.
    """
    for t in range(white.shape[0]):
        for h in range(mixing.shape[0]):
            into, weights, source = out[t, h:], mixing[h, h:], white[t]
            for c in range(into.size):
                into[c] += weights[c] * source[c]


@numba.njit(nogil=True, cache=True)
def _quantise(traces: np.ndarray, per_uv: float, out: np.ndarray) -> None:
    for t in range(traces.shape[0]):
        for c in range(traces.shape[1]):
            out[t, c] = np.int16(min(max(np.rint(traces[t, c] * per_uv), -32768.0), 32767.0))


def _pair(values: tuple[float, ...]) -> tuple[float, float]:
    return values[0], values[1]


def simulate_drifting_recording(
    duration_s: float = DriftingSimulation.duration_s,
    num_channels: int = DriftingSimulation.num_channels,
    num_units: int = DriftingSimulation.num_units,
    drift: str = DriftingSimulation.drift,
    seed: int = DriftingSimulation.seed,
    *,
    folder: str | Path | None = None,
    format: Literal["binary", "spikeglx"] = "binary",
    job: Job | None = None,
    **params: Any,
) -> tuple[Recording, Truth]:
    """Simulate a recording of drifting tissue, lazily or written to a folder.

    Parameters
    ----------
    duration_s, num_channels, num_units : float, int, int
        Size of the recording.
    drift : {"none", "rigid", "nonrigid", "random_walk", "bumps"}
        Shape of the drift.
    seed : int
        Same parameters and seed, same samples.
    folder : path, optional
        Write the recording there, with its truth beside it as ``truth.npz``, and return it opened from the files.
    format : {"binary", "spikeglx"}
        Files to write: ``traces.bin`` with JSON sidecar and probe, or a SpikeGLX pair (Neuropixels layouts).
    job : Job, optional
        How to run while writing.
    **params
        Any other parameter of `DriftingSimulation`, such as ``probe``, ``amplitude_um``, ``noise_uv``.

    Returns
    -------
    recording : Recording
        (T, C) int16, 0.195 µV a step.
    truth : Truth
        Motion, spikes, units; ``displacement > 0`` is tissue at larger depth.

    Raises
    ------
    InputError
        A parameter is unknown or out of bounds, or the folder cannot be written.
    """
    if format not in FORMATS:
        raise InputError(f"simulate.format = {format!r} is not known{nearest(format, FORMATS)}; choose one of {', '.join(FORMATS)}.")
    given = {"duration_s": duration_s, "num_channels": num_channels, "num_units": num_units, "drift": drift, "seed": seed, **params}
    recording = SimulatedRecording(make(DriftingSimulation, given))
    if folder is None:
        return recording, recording.truth
    write = write_binary if format == "binary" else write_spikeglx
    target = Path(folder) / "traces.bin" if format == "binary" else Path(folder)
    written = open_recording(write(target, recording, job=job).path)
    truth = recording.truth.seen_in(written.info)
    truth.save(Path(folder) / "truth.npz")
    return written, truth
