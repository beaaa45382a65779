"""Four shanks and joined files, from simulated traces to motion, against what is true."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import driftviewer as dv
from driftviewer.data import Motion
from driftviewer.quality import drift_score
from driftviewer.recording.protocol import Recording, RecordingInfo
from driftviewer.report import write_report
from driftviewer.simulate.drifting import DriftingSimulation, SimulatedRecording

pytestmark = pytest.mark.slow
DURATION_S = 100.0


class Beside(Recording):
    """Recordings of one shank each as the shanks of one probe, 250 µm apart."""

    def __init__(self, parts: list[Recording]) -> None:
        self.parts = parts
        info = parts[0].info
        locations = np.concatenate([part.info.channel_locations + np.array([250.0 * k, 0.0]) for k, part in enumerate(parts)])
        shanks = np.repeat(np.arange(len(parts)), info.num_channels)
        known: dict[str, Any] = {"gain_uv": info.gain_uv[0], "shank_ids": shanks}
        super().__init__(RecordingInfo.create(info.sampling_frequency, info.num_samples, info.dtype, locations, **known))

    def read(self, start: int, end: int) -> np.ndarray:
        return np.concatenate([part.read(start, end) for part in self.parts], axis=1)

    def describe(self) -> dict[str, Any]:
        return {"beside": [part.describe() for part in self.parts]}


def shank(seed: int, drift: str, units: int = 40, **params: Any) -> SimulatedRecording:
    given = {"drift": drift, "num_units": units, "probe": "NP2", "num_channels": 64, "duration_s": DURATION_S, "noise_uv": 7.0}
    return SimulatedRecording(DriftingSimulation(seed=seed, **given | params))


def error(motion: Motion, truth: Any, shank: int) -> float:
    return truth.motion_error(motion.for_shank(shank))["median"]


def test_four_shanks_with_a_motion_each(tmp_path: Path) -> None:
    shanks = [shank(1, "rigid", amplitude_um=20.0), shank(2, "nonrigid"), shank(3, "random_walk"), shank(4, "rigid", period_s=60.0)]
    recording = Beside(shanks)
    corrected, info = dv.correct_motion(
        recording, preset="rigid_fast", folder=tmp_path, output_motion_info=True, estimate_motion_kwargs={"rigid": False}
    )
    assert info.motion.shank_ids.tolist() == [0, 1, 2, 3]
    assert max(error(info.motion, part.truth, k) for k, part in enumerate(shanks)) < 1.5
    kept = dv.load_motion_info(tmp_path)
    assert np.array_equal(kept.motion.shank_displacement, info.motion.shank_displacement)
    assert np.array_equal(kept.shanks, recording.info.shank_ids[info.peaks["channel_index"]])
    assert write_report(tmp_path).stat().st_size > 10_000
    again = dv.compute_motion(recording, preset="rigid_fast", folder=tmp_path, estimate_motion_kwargs={"rigid": False})
    assert "estimate_motion" not in again.run_times and again.motion.shank_ids.tolist() == [0, 1, 2, 3]
    score = drift_score(info.peaks, info.peak_locations, info.motion, recording=recording)
    assert "worse" not in score.verdict
    assert set(corrected.info.shank_ids.tolist()) == {0, 1, 2, 3} and np.isfinite(corrected.read(0, 1000)).all()


def test_four_shanks_that_move_together_are_tied() -> None:
    shanks = [shank(seed, "rigid", units=8) for seed in range(4)]
    info = dv.compute_motion(Beside(shanks), preset="rigid_fast")
    assert info.motion.shank_ids is None and error(info.motion, shanks[0].truth, 0) < 1.0


def joined(jumps: list[float]) -> tuple[Recording, list[SimulatedRecording]]:
    """The same units in every file, with other spikes, noise and drift, where the tissue stands at `jumps`."""
    parts = [shank(seed, "nonrigid", units=70, num_channels=96, amplitude_um=15.0, start_s=0.0) for seed in range(len(jumps))]
    for part, jump in zip(parts, jumps, strict=True):
        motion = part.truth.motion
        part.truth = replace(part.truth, units=parts[0].truth.units, motion=motion.with_displacement(motion.displacement + jump))
    return dv.concatenate(parts), parts


@pytest.mark.parametrize("jumps", [[0.0, 80.0], [0.0, -150.0, 60.0]])
def test_joined_files(jumps: list[float]) -> None:
    recording, parts = joined(jumps)
    motion = dv.compute_motion(recording, preset="nonrigid_accurate").motion
    homes, errors = np.arange(250, 500, 50.0), []
    for k, part in enumerate(parts):
        times = np.arange(0.5, DURATION_S, 1.0)[:, None]
        truth = part.truth.motion.on_grid(times[:, 0], homes)
        errors.append(motion.displacement_at(times + k * DURATION_S, homes + truth) - truth)
    error = np.concatenate(errors)
    error -= np.median(error, axis=0)
    assert np.median(np.abs(error)) < 1.0 and np.percentile(np.abs(error), 95) < 3.0
