"""The truth: its file, and the distance of an estimate from it."""

import numpy as np
import pytest

from driftviewer.data import Motion
from driftviewer.errors import InputError
from driftviewer.simulate import Truth, simulate_drifting_recording


@pytest.fixture(scope="module")
def truth():
    return simulate_drifting_recording(60.0, 64, 12, drift="nonrigid", t_start_s=100.0, adc_shifts=True)[1]


def test_spikes_move_with_the_motion_at_their_units_depth(truth):
    times = 100.0 + truth.spike_times / 30000.0
    expected = truth.motion.displacement_at(times, truth.unit_locations[truth.spike_clusters, 1])
    np.testing.assert_array_equal(truth.spike_displacements_um, expected)
    assert np.abs(expected).max() > 10


def test_the_truth_is_without_error_also_up_to_a_constant_per_depth(truth):
    assert truth.motion_error(truth.motion)["max"] == 0
    offsets = np.linspace(-50, 50, len(truth.motion.spatial_bins_um))
    moved = truth.motion.with_displacement(truth.motion.displacement + offsets)
    assert truth.motion_error(moved)["max"] < 1e-9


def test_errors_are_measured_as_the_protocol_says(truth):
    none = Motion.none(60.0, (0.0, 620.0), "nothing", 100.0)
    error = truth.motion_error(none)
    times, depths = 100.5 + np.arange(60), np.arange(0, 621, 50)
    expected = truth.motion.on_grid(times, depths)
    expected = np.abs(expected - np.median(expected, axis=0))
    assert error["median"] == pytest.approx(np.median(expected))
    assert error["p95"] == pytest.approx(np.percentile(expected, 95))
    assert error["mean"] == pytest.approx(expected.mean())
    assert error["max"] == pytest.approx(expected.max())
    flipped = truth.motion.with_displacement(-truth.motion.displacement)
    assert truth.motion_error(flipped)["median"] == pytest.approx(2 * error["median"])


def test_a_short_recording_has_an_error_too():
    _, short = simulate_drifting_recording(0.3, 8, 2)
    assert short.motion_error(short.motion)["max"] == 0


def test_a_truth_survives_its_file(truth, tmp_path):
    path = tmp_path / "wahrheit der größe.npz"
    truth.save(path)
    back = Truth.load(path)
    assert list(tmp_path.iterdir()) == [path]
    for name in ("spike_times", "spike_clusters", "spike_scales", "units", "unit_locations", "unit_amplitudes_uv", "sample_shifts"):
        np.testing.assert_array_equal(getattr(back, name), getattr(truth, name))
    np.testing.assert_array_equal(back.snippet(3, 12.3), truth.snippet(3, 12.3))
    assert (back.duration_s, back.t_start_s, back.sampling_frequency) == (60.0, 100.0, 30000.0)
    assert back.motion_error(truth.motion)["max"] == 0


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 half a file", b"\x93NUMPY"])
def test_what_is_not_a_truth_is_refused(tmp_path, content):
    path = tmp_path / "truth.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match="does not exist" if content is None else "is not the truth"):
        Truth.load(path)


def test_another_archive_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", something=np.arange(3))
    with pytest.raises(InputError, match="is not the truth"):
        Truth.load(tmp_path / "other.npz")
