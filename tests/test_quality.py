"""The verdict on motions whose truth is known."""

import numpy as np
import pytest

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.quality import drift_score, score_raster
from driftviewer.raster import PeakRaster

TIMES = np.arange(0.5, 120)


def zigzag(amplitude: float) -> Motion:
    return Motion((amplitude * np.sin(TIMES / 15))[:, None], TIMES, np.array([500.0]))


def raster_with(motion: Motion) -> PeakRaster:
    rng = np.random.default_rng(0)
    units = rng.uniform(0, 1000, 40)
    times = np.sort(rng.uniform(0, 120, 60_000))
    depths = rng.choice(units, times.size)
    return PeakRaster(times, depths + motion.displacement_at(times, depths) + rng.normal(0, 3, times.size), np.ones(times.size))


@pytest.mark.parametrize(
    ("drift", "estimate", "verdict"),
    [
        (20.0, zigzag(20.0), "helps"),
        (20.0, zigzag(-20.0), "makes it worse: do not apply"),
        (0.0, zigzag(0.0), "no drift to correct"),
        (0.0, zigzag(15.0), "makes it worse: do not apply"),
        (20.0, Motion.none(120, (0, 1000), "too short"), "no estimate: too short"),
    ],
)
def test_verdicts(drift: float, estimate: Motion, verdict: str) -> None:
    assert score_raster(raster_with(zigzag(drift)), estimate).verdict.startswith(verdict)


def test_the_true_motion_scores_best() -> None:
    raster = raster_with(zigzag(20.0))
    scores = {a: score_raster(raster, zigzag(a)) for a in (0.0, 10.0, 20.0, 30.0)}
    assert max(scores, key=lambda a: scores[a].correlation_after) == 20.0
    assert scores[20.0].sharpness_gain > 1.2 and scores[20.0].residual_um < scores[0.0].residual_um


def test_few_peaks_give_no_estimate_not_an_error() -> None:
    empty = PeakRaster(np.empty(0), np.empty(0), np.empty(0))
    assert score_raster(empty, zigzag(5.0)).verdict.startswith("no estimate")


class Foreign:
    """A recording of another program whose clock begins late and stops for a while."""

    def get_traces(self, segment_index=0, start_frame=None, end_frame=None):
        return np.zeros((end_frame - start_frame, 4), np.int16)

    def get_num_samples(self, segment_index=0):
        return 120_000

    def get_sampling_frequency(self):
        return 1000.0

    def get_channel_locations(self):
        return np.array([[0.0, 0.0], [0.0, 300.0], [0.0, 600.0], [0.0, 1000.0]])

    def get_num_segments(self):
        return 1

    def sample_index_to_time(self, frames, segment_index=0):
        return 1000.0 + np.asarray(frames) / 1000.0 + np.where(np.asarray(frames) >= 60_000, 500.0, 0.0)


def test_the_clock_of_any_recording_counts() -> None:
    raster, truth, recording = raster_with(zigzag(20.0)), zigzag(20.0), Foreign()
    peaks, places = np.zeros(len(raster), PEAK_DTYPE), np.zeros(len(raster), LOCATION_DTYPE)
    peaks["sample_index"] = raster.times_s * 1000
    peaks["amplitude"], places["y"] = -1.0, raster.depths_um
    motion = Motion(truth.displacement, recording.sample_index_to_time(TIMES * 1000), truth.spatial_bins_um)
    score = drift_score(peaks, places, motion, recording=recording)
    expected = score_raster(raster, truth)
    assert score.verdict.startswith("helps") and score.correlation_after > 0.9 * expected.correlation_after
