import numpy as np
import pytest

from driftviewer.data import LOCATION_DTYPE, PEAK_DTYPE
from driftviewer.errors import InputError
from driftviewer.motion import correct_depths, estimate_motion
from driftviewer.motion import make_activity as collect

FS = 10_000.0


class Probe:
    """A SpikeInterface-like recording without samples worth reading."""

    def __init__(self, segments=(2_000_000,), t_start=0.0):
        self.segments, self.t_start = segments, t_start

    def get_traces(self, segment_index=None, start_frame=None, end_frame=None):
        return np.zeros((end_frame - start_frame, 51), np.int16)

    def get_num_samples(self, segment_index=None):
        return self.segments[segment_index or 0]

    def get_sampling_frequency(self):
        return FS

    def get_channel_locations(self):
        return np.column_stack([np.arange(51) % 2 * 30.0, np.arange(51) * 20.0])

    def get_num_segments(self):
        return len(self.segments)

    def sample_index_to_time(self, index, segment_index=None):
        return self.t_start + np.asarray(index) / FS


def peaks_of(activity, seed=0):
    order = np.random.default_rng(seed).permutation(activity.times_s.size)
    peaks, places = np.zeros(order.size, PEAK_DTYPE), np.zeros(order.size, LOCATION_DTYPE)
    peaks["sample_index"] = (activity.times_s * FS)[order]
    peaks["amplitude"] = -activity.amplitudes[order]
    places["y"] = activity.depths_um[order]
    return peaks, places


def sine(t, d):
    return 20 * np.sin(t / 15)


def test_it_unpacks_as_motion_times_and_depths(make_activity):
    peaks, places = peaks_of(make_activity(sine))
    motion, temporal_bins, spatial_bins = estimate_motion(Probe(), peaks, places, "decentralized", rigid=True, progress_bar=False)
    assert motion.shape == (temporal_bins.size, spatial_bins.size) == (100, 1)
    truth = sine(temporal_bins, 0)
    assert np.median(np.abs(motion[:, 0] - truth - np.median(motion[:, 0] - truth))) < 0.5


def test_activity_is_sorted_positive_and_on_the_recordings_clock(make_activity):
    peaks, places = peaks_of(make_activity(sine))
    places["y"][:10] = np.nan
    activity = collect(Probe(t_start=100.0), peaks, places)
    assert activity.times_s.size == len(peaks) - 10 and (np.diff(activity.times_s) >= 0).all()
    assert activity.amplitudes.min() > 0 and activity.times_s.min() >= 100
    assert activity.time_range_s == pytest.approx((100.0, 300.0)) and activity.depth_range_um == (0.0, 1000.0)
    assert collect(Probe(), peaks, places, "x").depth_range_um == (0.0, 30.0)


def test_segments_are_joined(make_activity):
    peaks, places = peaks_of(make_activity(sine))
    expected = collect(Probe(), peaks, places)
    later = peaks["sample_index"] >= 1_200_000
    peaks["segment_index"][later] = 1
    peaks["sample_index"][later] -= 1_200_000
    joined = collect(Probe((1_200_000, 800_000)), peaks, places)
    assert np.allclose(joined.times_s, expected.times_s) and np.array_equal(joined.depths_um, expected.depths_um)


def test_no_peaks_no_motion():
    motion = estimate_motion(Probe(), np.empty(0, PEAK_DTYPE), np.empty(0, LOCATION_DTYPE), progress_bar=False)
    assert not motion.displacement.any() and "cannot support" in motion.notes[0]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [("segment_index", 3, "segment 3"), ("sample_index", 9_000_000, "outside"), ("sample_index", -1, "outside")],
)
def test_peaks_of_another_recording_are_refused(make_activity, field, value, message):
    peaks, places = peaks_of(make_activity(sine, rate_hz=1.0))
    peaks[field][0] = value
    with pytest.raises(InputError, match=message):
        collect(Probe(), peaks, places)


def test_unequal_lengths_unknown_direction_and_parameter_are_refused(make_activity):
    peaks, places = peaks_of(make_activity(sine, rate_hz=1.0))
    with pytest.raises(InputError, match="do not fit"):
        collect(Probe(), peaks[:-1], places)
    with pytest.raises(InputError, match="direction"):
        collect(Probe(), peaks, places, "z")
    with pytest.raises(InputError, match="max_displacement_um"):
        estimate_motion(Probe(), peaks, places, max_displacement=3)


def test_corrected_depths_stand_still(make_activity):
    activity = make_activity(sine, scatter_um=0.5)
    peaks, places = peaks_of(activity)
    motion = estimate_motion(Probe(), peaks, places, progress_bar=False)
    corrected = correct_depths(motion, activity.times_s, activity.depths_um)

    def sharpness(depths):
        return np.sum(np.histogram(depths, np.arange(-50, 1050, 2.0))[0].astype(float) ** 2)

    assert sharpness(corrected) > 3 * sharpness(activity.depths_um)


@pytest.mark.parametrize("params", [{}, {"rigid": True, "bin_s": 5.0}])
def test_a_real_recording_without_drift(shared_data, params):
    folder = shared_data / "ks4_zfm02370_90s"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    from driftviewer.chunks import drain
    from driftviewer.motion import Activity, Decentralized

    times, depths = np.load(folder / "spike_times.npy").ravel() / 30000, np.load(folder / "spike_positions.npy")[:, 1].astype(float)
    contacts = np.load(folder / "channel_positions.npy")[:, 1]
    amplitudes = np.abs(np.load(folder / "amplitudes.npy").ravel().astype(float))
    activity = Activity(times, depths, amplitudes, (0.0, 90.0), (float(contacts.min()), float(contacts.max())))
    displacement = drain(Decentralized(**params).estimate(activity), False).displacement
    assert np.median(np.abs(displacement - np.median(displacement))) <= 1.0
