import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

import driftviewer as dv
from driftviewer.chunks import Progress
from driftviewer.errors import InputError
from driftviewer.motion import ESTIMATORS, DredgeLfp, estimate_motion
from driftviewer.motion.lfp_profiles import depth_grid
from driftviewer.recording.concatenate import concatenate

RATE = 250.0
PITCH_UM = 20.0


def breathing(t):
    return 12 * np.sin(2 * np.pi * t / 1.5) + 40 * np.sin(2 * np.pi * t / 25)


def lfp_traces(shift, depths, duration_s=16.0, rate=RATE, noise=0.05, seed=0):
    """Local field potentials (T, C), µV: two smooth patterns along depth, one of them waxing and waning, that move with the tissue."""
    rng = np.random.default_rng(seed)
    fine = np.arange(-1000.0, 5000.0, 2.0)
    patterns = [gaussian_filter1d(rng.normal(size=fine.size), 40.0 / 2) for _ in range(2)]
    times = np.arange(round(duration_s * rate)) / rate
    place = np.asarray(depths)[None, :] - shift(times)[:, None]
    size = (np.ones_like(times), 0.15 * np.sin(2 * np.pi * times / 0.7))
    field = sum(a[:, None] * np.interp(place, fine, p / p.std()) for a, p in zip(size, patterns, strict=True))
    return (100 * (field + noise * rng.normal(size=field.shape))).astype(np.float32)


@pytest.fixture
def lfp(array_recording):
    """A recording of two columns of contacts."""

    def make(shift=breathing, rows=48, duration_s=16.0, **known):
        depths = np.repeat(PITCH_UM * np.arange(rows), 2)
        where = np.c_[np.tile([0.0, 32.0], rows), depths]
        rate = known.pop("rate", RATE)
        noise, seed = known.pop("noise", 0.05), known.pop("seed", 0)
        return array_recording(lfp_traces(shift, depths, duration_s, rate, noise, seed), where, rate, **known)

    return make


def error_of(motion, shift):
    error = motion.displacement - shift(motion.temporal_bins_s)[:, None]
    return np.abs(error - np.median(error, axis=0))


def test_motion_as_fast_as_breathing_is_found(lfp):
    motion = estimate_motion(lfp(), method="dredge_lfp", progress_bar=False)
    error = error_of(motion, breathing)
    assert motion.displacement.shape == (4000, 2) and motion.spatial_bins_um.tolist() == [0, 940]
    assert np.median(error) < 1 and np.percentile(error, 95) < 3
    assert "Contacts of equal depth were averaged." in motion.notes and "The second derivative along depth was taken." in motion.notes


@pytest.mark.parametrize(
    "params",
    [
        {"rigid": True}, {"derivative": "none"}, {"derivative": "first"}, {"soft_weights": True}, {"mincorr_percentile": 20.0},
        {"chunk_len_s": 4.0}, {"chunk_len_s": 100.0}, {"time_horizon_s": 2.0}, {"win_shape": "triangle"}, {"robust_n_iter": 0},
    ],
)  # fmt: skip
def test_options_keep_the_answer(lfp, params):
    motion = estimate_motion(lfp(duration_s=12.0), method="dredge_lfp", progress_bar=False, bin_s=0.02, max_disp_um=150.0, **params)
    assert np.median(error_of(motion, breathing)) < 1.5


def test_a_high_rate_is_averaged_in_bins_whose_middle_is_told(lfp):
    recording = lfp(rate=2500.0, duration_s=8.0, t_start=100.0)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert motion.temporal_bins_s[:2].tolist() == pytest.approx([100 + 24.5 / 2500, 100 + 74.5 / 2500])
    assert len(motion.temporal_bins_s) == 400 and np.median(error_of(motion, lambda t: breathing(t - 100))) < 1.5


def test_a_recording_that_went_through_the_chain_is_taken_as_it_is(array_recording):
    depths = PITCH_UM * np.arange(48)
    recording = array_recording(lfp_traces(breathing, depths, 8.0), np.c_[np.zeros(48), depths], RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert any("taken as it is" in note for note in motion.notes) and np.median(error_of(motion, breathing)) < 1.5


def test_channels_in_any_order_and_uneven_depths_give_the_same(array_recording):
    depths = np.delete(PITCH_UM * np.arange(50), [7, 20, 33])
    order = np.random.default_rng(0).permutation(depths.size)
    recording = array_recording(lfp_traces(breathing, depths, 8.0)[:, order], np.c_[np.zeros(depths.size), depths][order], RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert np.median(error_of(motion, breathing)) < 1.5


def test_gains_that_differ_do_no_harm(array_recording):
    depths = np.repeat(PITCH_UM * np.arange(48), 2)
    gains = np.random.default_rng(0).uniform(0.1, 3, depths.size)
    traces = lfp_traces(breathing, depths, 8.0) / gains
    recording = array_recording(traces.astype(np.float32), np.c_[np.tile([0.0, 32.0], 48), depths], RATE, gain_uv=gains)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert np.median(error_of(motion, breathing)) < 1


def test_a_silent_stretch_longer_than_a_chunk_is_bridged(array_recording):
    depths = np.repeat(PITCH_UM * np.arange(48), 2)
    traces = lfp_traces(lambda t: 4 * t, depths, 20.0)
    traces[5 * 250 : 12 * 250] = 0
    recording = array_recording(traces, np.c_[np.tile([0.0, 32.0], 48), depths], RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02, chunk_len_s=3.0)
    silent = (motion.temporal_bins_s > 5) & (motion.temporal_bins_s < 12)
    assert (
        not motion.confidence[silent].any() and np.isnan(motion.observed[silent]).all() and (motion.confidence[~silent] > 0).mean() > 0.99
    )
    assert np.percentile(error_of(motion, lambda t: 4 * t), 95) < 3


def test_artifacts_and_excluded_stretches_have_no_say(array_recording):
    depths = np.repeat(PITCH_UM * np.arange(48), 2)
    traces = lfp_traces(breathing, depths, 8.0)
    rng = np.random.default_rng(1)
    traces[500:550] += 1e4 * rng.normal(size=(50, 96)).astype(np.float32)
    traces[800:820] = np.nan
    traces[1500:1600] = 100 * rng.normal(size=(100, 96))
    recording = array_recording(traces, np.c_[np.tile([0.0, 32.0], 48), depths], RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02, exclude_intervals_s="6-6.4")
    for begin, end in ((500, 550), (800, 820), (1500, 1600)):
        assert not motion.confidence[begin // 5 : end // 5].any()
    assert np.percentile(error_of(motion, breathing)[motion.confidence > 0], 95) < 3


def test_jumps_between_joined_files_are_followed(lfp):
    joined = concatenate([lfp(lambda t: 0 * t, duration_s=6.0), lfp(lambda t: 0 * t + 80, duration_s=6.0, noise=0.06)])
    motion = estimate_motion(joined, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert np.percentile(error_of(motion, lambda t: 80.0 * (t > 6)), 95) < 2


def test_each_shank_has_its_own_motion(array_recording):
    depths = PITCH_UM * np.arange(40)
    first, second = lfp_traces(breathing, depths, 8.0), lfp_traces(lambda t: -5 * t, depths, 8.0, seed=1)
    where = np.c_[np.repeat([0.0, 250.0], 40), np.tile(depths, 2)]
    recording = array_recording(np.c_[first, second], where, RATE, shank_ids=np.repeat([0, 1], 40))
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02, shanks="each", derivative="none")
    assert np.median(error_of(motion.for_shank(0), breathing)) < 1.5 and np.median(error_of(motion.for_shank(1), lambda t: -5 * t)) < 1.5
    tied = estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert tied.shank_ids is None


def test_still_tissue_is_found_still(lfp):
    motion = estimate_motion(lfp(lambda t: 0 * t, duration_s=8.0), method="dredge_lfp", progress_bar=False, bin_s=0.02)
    assert np.percentile(np.abs(motion.displacement), 95) < 2


def test_noise_is_given_no_motion(array_recording):
    traces = np.random.default_rng(0).normal(size=(2000, 96)).astype(np.float32)
    recording = array_recording(traces, np.c_[np.tile([0.0, 32.0], 48), np.repeat(PITCH_UM * np.arange(48), 2)], RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False)
    assert not motion.displacement.any() and "No drift was found" in motion.notes[0]


@pytest.mark.parametrize(("rows", "samples"), [(1, 1000), (3, 1000), (48, 3)])
def test_too_little_gives_no_motion_and_the_reason(array_recording, rows, samples):
    where = np.c_[np.tile([0.0, 32.0], rows), np.repeat(PITCH_UM * np.arange(rows), 2)]
    recording = array_recording(np.ones((samples, 2 * rows), np.float32), where, RATE)
    motion = estimate_motion(recording, method="dredge_lfp", progress_bar=False)
    assert motion.displacement.tolist() == [[0.0]] and "cannot support a drift estimate" in motion.notes[0]


def test_the_whole_way_without_peaks(lfp, tmp_path):
    recording = lfp(duration_s=8.0)
    changes = {"method": "dredge_lfp", "bin_s": 0.02}
    info = dv.compute_motion(recording, estimate_motion_kwargs=changes, folder=tmp_path / "m", progress_bar=False)
    assert not len(info.peaks) and not len(info.peak_locations) and np.median(error_of(info.motion, breathing)) < 1.5
    again = dv.compute_motion(recording, estimate_motion_kwargs=changes, folder=tmp_path / "m", progress_bar=False)
    assert np.array_equal(again.motion.displacement, info.motion.displacement)
    assert np.array_equal(dv.load_motion_info(tmp_path / "m").motion.displacement, info.motion.displacement)


def test_progress_rises_to_one_and_closing_stops_reading(lfp):
    recording = lfp(duration_s=12.0)
    steps = DredgeLfp(bin_s=0.02, chunk_len_s=3.0).estimate_traces(recording)
    seen = [progress.done / progress.total for progress in steps if isinstance(progress, Progress)]
    assert len(seen) > 20 and seen == sorted(seen) and seen[-1] == pytest.approx(1)
    steps = DredgeLfp(bin_s=0.02).estimate_traces(recording)
    next(steps)
    steps.close()


def test_memory_is_that_of_a_chunk(lfp):
    recording, longest = lfp(duration_s=20.0), 0

    def read(start, end, original=recording.read):
        nonlocal longest
        longest = max(longest, end - start)
        return original(start, end)

    recording.read = read
    estimate_motion(recording, method="dredge_lfp", progress_bar=False, bin_s=0.02, chunk_len_s=4.0)
    assert longest <= 0.5 * RATE


def test_same_input_same_output(lfp):
    first, second = (estimate_motion(lfp(duration_s=4.0), method="dredge_lfp", progress_bar=False, bin_s=0.02) for _ in range(2))
    assert np.array_equal(first.displacement, second.displacement)


def test_peaks_are_refused(make_activity):
    with pytest.raises(InputError, match="local field potentials"):
        DredgeLfp().estimate(make_activity())


BOUNDS = {
    "bin_s": (1e-5, 10),
    "chunk_len_s": (0.1, 1000),
    "max_disp_um": (1, 5000),
    "win_step_um": (5, 5000),
    "mincorr_percentile": (0, 99.9),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds(lfp, name):
    low, high = BOUNDS[name]
    for value in (low, high):
        motion = estimate_motion(lfp(rows=12, duration_s=2.0), method="dredge_lfp", progress_bar=False, **{"bin_s": 0.02, name: value})
        assert np.isfinite(motion.displacement).all()
    for value in (low - 0.1, high + 1):
        with pytest.raises(InputError, match=name):
            ESTIMATORS.make("dredge_lfp", **{name: value})


def test_the_grid_averages_equal_depths_and_differentiates(array_recording):
    where = np.array([[0.0, 0.0], [32.0, 0.0], [0.0, 20.0], [32.0, 20.0], [0.0, 40.0], [0.0, 60.0], [0.0, 80.0], [0.0, 100.0]])
    recording = array_recording(np.zeros((4, 8), np.float32), where, RATE, gain_uv=2.0)
    grid = depth_grid(recording.info, 1, 2, np.ones(8, dtype=bool))
    depths = where[:, 1]
    profile = grid.profiles(np.stack([0.5 * depths**2 + 3 * depths] * 4).astype(np.float32), 2)
    assert grid.bins_um.tolist() == [20, 40, 60, 80] and profile.shape == (2, 4) and np.allclose(profile, 2 * 20**2, rtol=1e-4)
