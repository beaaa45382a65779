"""The verdict on motions whose truth is known."""

import functools
import json
from dataclasses import replace

import numpy as np
import pytest

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE, Motion
from driftviewer.errors import InputError
from driftviewer.quality import NO_CORRECTION, drift_score, rank_motions, score_raster
from driftviewer.raster import PeakRaster

TIMES = np.arange(0.5, 120)


def zigzag(amplitude: float) -> Motion:
    return Motion((amplitude * np.sin(TIMES / 15))[:, None], TIMES, np.array([500.0]))


@functools.cache
def raster_with(amplitude: float) -> PeakRaster:
    rng = np.random.default_rng(0)
    units, sizes = rng.uniform(0, 1000, 40), rng.lognormal(4, 0.6, 40)
    times, unit = np.sort(rng.uniform(0, 120, 20_000)), rng.integers(0, 40, 20_000)
    depths = units[unit] + zigzag(amplitude).displacement_at(times, units[unit]) + rng.normal(0, 3, times.size)
    return PeakRaster(times, depths, sizes[unit] * rng.normal(1, 0.08, times.size))


def as_peaks(raster: PeakRaster) -> tuple[np.ndarray, np.ndarray]:
    peaks, places = np.zeros(len(raster), PEAK_DTYPE), np.zeros(len(raster), LOCATION_DTYPE)
    peaks["sample_index"], peaks["amplitude"], places["y"] = raster.times_s * 30_000, -raster.amplitudes, raster.depths_um
    return peaks, places


@pytest.mark.parametrize(
    ("drift", "estimate", "verdict"),
    [
        (20.0, zigzag(20.0), "helps"),
        (20.0, zigzag(-20.0), "makes it worse: do not apply"),
        (0.0, zigzag(0.0), "no drift to correct"),
        (20.0, zigzag(0.0), "makes no difference"),
        (0.0, zigzag(15.0), "makes it worse: do not apply"),
        (20.0, Motion.none(120, (0, 1000), "too short"), "no estimate: too short"),
    ],
)
def test_verdicts(drift: float, estimate: Motion, verdict: str) -> None:
    assert score_raster(raster_with(drift), estimate).verdict.startswith(verdict)


def test_the_true_motion_scores_best() -> None:
    raster = raster_with(20.0)
    scores = {a: score_raster(raster, zigzag(a)) for a in (0.0, 10.0, 20.0, 30.0)}
    assert max(scores, key=lambda a: scores[a].correlation_after) == 20.0
    assert sorted(scores, key=lambda a: scores[a].score)[-1] == 20.0 and scores[20.0].error_um < 0.5
    assert scores[0.0].error_um == scores[0.0].error_uncorrected_um == pytest.approx(11, rel=0.2)
    assert scores[10.0].error_um == pytest.approx(scores[30.0].error_um, rel=0.1)
    assert scores[20.0].likelihood_gain > 0.3 and scores[20.0].split_agreement > 0.99 and scores[0.0].likelihood_gain == 0
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
    raster, truth, recording = raster_with(20.0), zigzag(20.0), Foreign()
    peaks, places = np.zeros(len(raster), PEAK_DTYPE), np.zeros(len(raster), LOCATION_DTYPE)
    peaks["sample_index"] = raster.times_s * 1000
    peaks["amplitude"], places["y"] = -1.0, raster.depths_um
    motion = Motion(truth.displacement, recording.sample_index_to_time(TIMES * 1000), truth.spatial_bins_um)
    score = drift_score(peaks, places, motion, recording=recording)
    expected = score_raster(raster, truth)
    assert score.verdict.startswith("helps") and score.correlation_after > 0.9 * expected.correlation_after


def test_a_constant_at_each_depth_does_not_count() -> None:
    depths = np.array([0.0, 400.0, 1000.0])
    wave = np.repeat(zigzag(18.0).displacement, 3, axis=1)
    plain = Motion(wave, TIMES, depths)
    shifted = Motion(wave + np.array([30.0, -20.0, 5.0]), TIMES, depths)
    scores = [score_raster(raster_with(20.0), motion) for motion in (plain, shifted)]
    assert scores[0].score == pytest.approx(scores[1].score, abs=1e-9)
    assert scores[0].likelihood_gain == pytest.approx(scores[1].likelihood_gain, abs=1e-9)


def test_ranking_follows_the_truth_with_no_correction_among_them() -> None:
    rng = np.random.default_rng(1)
    truth = zigzag(20.0).displacement
    motions = {
        "true": truth, "noisy": truth + rng.normal(0, 3, truth.shape), "late": np.roll(truth, 3, axis=0), "half": truth / 2,
        "upside down": -truth, "jumpy": truth + np.where(rng.random(truth.shape) < 0.1, 60.0, 0.0),
    }  # fmt: skip
    ranked = rank_motions(*as_peaks(raster_with(20.0)), {name: zigzag(0).with_displacement(d) for name, d in motions.items()})
    error = {name: np.abs(d - truth - np.median(d - truth)).mean() for name, d in motions.items()} | {NO_CORRECTION: np.abs(truth).mean()}
    names = [run.name for run in ranked]
    assert names[0] == "true" and names[-1] == "upside down" and set(names) == set(error)
    assert sorted(("true", "half", NO_CORRECTION, "upside down"), key=names.index) == ["true", "half", NO_CORRECTION, "upside down"]
    assert all(names.index("true") < names.index(name) < names.index(NO_CORRECTION) for name in ("noisy", "late", "jumpy"))


def test_no_correction_wins_where_nothing_drifts() -> None:
    motions = [zigzag(0.0), zigzag(0.3), zigzag(4.0)]
    ranked = rank_motions(*as_peaks(raster_with(0.0)), motions)
    assert [run.name for run in ranked] == [NO_CORRECTION, "0", "1", "2"]
    assert ranked[0].score.verdict.startswith("no drift to correct")


def test_equal_input_equal_score() -> None:
    peaks, places = (values[:5000] for values in as_peaks(raster_with(20.0)))
    first, second = (drift_score(peaks, places, zigzag(15.0)).to_dict() for _ in range(2))
    assert json.dumps(first) == json.dumps(second) and first["confidence"] is None


def test_shanks_that_move_apart_are_judged_apart() -> None:
    one, other = raster_with(20.0), raster_with(0.0)
    both = PeakRaster(
        *(np.concatenate([getattr(r, name) for r in (one, other)]) for name in ("times_s", "depths_um", "amplitudes")),
        shanks=np.repeat([0, 1], len(one)),
    )
    moves, stays = zigzag(20.0), zigzag(0.0)
    mean = 0.5 * moves.displacement
    right = replace(
        moves, displacement=mean, shank_ids=np.array([0, 1]), shank_displacement=np.stack([moves.displacement, stays.displacement])
    )
    assert score_raster(both, right).error_um < 0.5 < 2 < score_raster(both, zigzag(0.0).with_displacement(mean)).error_um


def test_marks_of_a_bad_search() -> None:
    values = np.clip(zigzag(40.0).displacement, -30, 30)
    score = score_raster(raster_with(20.0), zigzag(0.0).with_displacement(values))
    assert score.at_bound == pytest.approx((np.abs(values) == 30).mean()) and score.speed_outliers == 0
    jump = zigzag(0.0).with_displacement(np.where(TIMES > 60, 50.0, 0.0)[:, None])
    assert score_raster(raster_with(20.0), jump).speed_outliers == pytest.approx(1 / 119)
    peaks, places = as_peaks(raster_with(20.0))
    assert drift_score(peaks[:1000], places[:1000], zigzag(20.0), bound_um=15.0).at_bound > 0.3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict(sampling_frequency=0.0), "sampling_frequency"),
        (dict(t_start=float("nan")), "t_start"),
        (dict(bound_um=-1.0), "bound_um"),
        (dict(peak_locations=np.zeros(3, LOCATION_DTYPE)), "do not fit"),
        (dict(peak_locations=np.zeros(20_000, [("x", "f4")])), "no field 'y'"),
        (dict(peaks=np.zeros(20_000, [("sample_index", "i8")])), "no field 'amplitude'"),
    ],
)
def test_bad_input_is_named(change: dict, said: str) -> None:
    peaks, places = as_peaks(raster_with(20.0))
    with pytest.raises(InputError, match=said):
        drift_score(**(dict(peaks=peaks, peak_locations=places, motion=zigzag(5.0)) | change))


def test_motions_along_two_axes_are_not_ranked() -> None:
    peaks, places = as_peaks(raster_with(20.0))
    with pytest.raises(InputError, match="x and along y"):
        rank_motions(peaks, places, [zigzag(1.0), replace(zigzag(1.0), direction="x")])


def test_what_is_not_a_motion_or_peaks_is_refused():
    peaks, places = np.zeros(3, PEAK_DTYPE), np.zeros(3, LOCATION_DTYPE)
    motion = Motion([[0.0]], [0.0], [0.0])
    for call, words in (
        (lambda: drift_score(peaks, places, None), "not a Motion"),
        (lambda: drift_score(None, places, motion), "must be arrays"),
        (lambda: drift_score(peaks, places, motion, sampling_frequency="fast"), "must be numbers"),
        (lambda: drift_score(peaks, places, motion, bound_um="far"), "bound_um"),
        (lambda: rank_motions(peaks, places, motion), "by name or a list"),
        (lambda: rank_motions(peaks, places, {"a": 3}), "not a Motion"),
    ):
        with pytest.raises(InputError, match=words):
            call()
