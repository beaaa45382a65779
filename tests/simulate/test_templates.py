"""Units: footprints that follow the drift exactly, and realistic amplitudes."""

import numpy as np
import pytest

from driftviewer.simulate import simulate_drifting_recording
from driftviewer.simulate.probes import make_probe
from driftviewer.simulate.templates import amplitudes_uv, random_units, temporal_shapes


@pytest.fixture(scope="module")
def truth():
    return simulate_drifting_recording(1.0, 128, 60)[1]


@pytest.mark.parametrize(("probe", "pitch", "contacts"), [("NP1", 40.0, 4), ("NP2", 15.0, 2), ("linear", 20.0, 1)])
def test_a_shift_by_the_period_of_the_probe_shifts_the_template_by_contacts(probe, pitch, contacts):
    _, truth = simulate_drifting_recording(1.0, 128, 20, probe=probe)
    for unit in range(20):
        for start in (0.0, 3.7):
            here, above = truth.snippet(unit, start), truth.snippet(unit, start + pitch)
            np.testing.assert_allclose(above[:, contacts:], here[:, :-contacts], atol=1e-4)
            below = truth.snippet(unit, start - pitch)
            np.testing.assert_allclose(below[:, :-contacts], here[:, contacts:], atol=1e-4)


def test_positive_displacement_is_larger_depth(truth):
    unit = int(np.argmin(np.abs(truth.unit_locations[:, 1] - 600)))

    def depth(snippet):
        peaks = -snippet.min(axis=0)
        return (peaks * truth.channel_locations[:, 1]).sum() / peaks.sum()

    assert depth(truth.snippet(unit, 30.0)) > depth(truth.snippet(unit)) + 15 > depth(truth.snippet(unit, -30.0)) + 30


def test_templates_are_continuous_in_displacement(truth):
    largest = truth.unit_amplitudes_uv
    change = np.abs(truth.templates_at(0.01) - truth.templates_at(0.0)).max(axis=(1, 2))
    assert (change < 0.002 * largest + 0.01).all()
    each = np.linspace(-20, 20, len(largest))
    np.testing.assert_array_equal(truth.templates_at(each)[7], truth.snippet(7, each[7]))


def test_a_snippet_holds_all_of_the_spike(truth):
    templates = truth.templates_at(0.0)
    assert np.abs(templates[:, [0, -1]]).max() == 0
    trough = templates.min(axis=2).argmin(axis=1)
    assert np.abs(trough - truth.nbefore).max() <= 3
    # sampling at whole frames can miss the tip of the trough by a little
    np.testing.assert_allclose(-templates.min(axis=(1, 2)), truth.unit_amplitudes_uv, rtol=0.06)


def test_time_courses_have_a_trough_of_one_and_a_hump(truth):
    shapes = temporal_shapes(truth.units)
    np.testing.assert_allclose(shapes.min(axis=1), -1.0, atol=1e-4)
    assert (np.abs(shapes.argmin(axis=1) * 0.002 - 0.8) < 0.003).all()
    assert (shapes.max(axis=1) > 0.1).all()
    assert (shapes.max(axis=1) < 0.5).all()
    assert np.abs(shapes[:, [0, -1]]).max() < 1e-6


def test_waveforms_get_smaller_later_and_wider_with_distance(truth):
    unit = int(np.argmax(truth.unit_amplitudes_uv * (np.abs(truth.unit_locations[:, 1] - 600) < 400)))
    snippet = truth.snippet(unit)
    apart = np.linalg.norm(truth.channel_locations - truth.unit_locations[unit, :2], axis=1)
    near, far = np.argsort(apart)[0], np.flatnonzero((apart > 70) & (snippet.min(axis=0) < -2))[0]
    assert snippet[:, far].min() > 0.5 * snippet[:, near].min()
    assert snippet[:, far].argmin() > snippet[:, near].argmin()
    widths = [(snippet[:, c] < 0.5 * snippet[:, c].min()).sum() for c in (near, far)]
    assert widths[1] >= widths[0]
    assert not snippet[:, apart > 151].any()


def test_amplitudes_are_log_normal_within_their_range():
    probe = make_probe("NP1", 384)
    units = random_units(800, probe.locations, probe.shank_ids, (40.0, 400.0), 5.0, np.random.default_rng(1))
    inside = (units["y"] >= 0) & (units["y"] <= probe.locations[:, 1].max())
    amplitudes = amplitudes_uv(units, probe.locations)[inside]
    assert amplitudes.min() >= 40 - 1e-9
    assert amplitudes.max() <= 400 + 1e-9
    assert 90 < np.median(amplitudes) < 110
    assert np.mean(amplitudes) > 1.05 * np.median(amplitudes)


def test_units_keep_their_distance_where_there_is_room():
    probe = make_probe("NP2.4", 384)
    units = random_units(120, probe.locations, probe.shank_ids, (40.0, 400.0), 25.0, np.random.default_rng(0))
    places = np.stack([units["x"], units["y"], units["z"]], axis=1)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2) + 1e9 * np.eye(120)
    assert gaps.min() >= 25.0
    assert set(np.round((units["x"] - 43) / 250).astype(int)) == {0, 1, 2, 3}
    crowded = random_units(200, probe.locations[:8], probe.shank_ids[:8], (40.0, 400.0), 25.0, np.random.default_rng(0))
    assert len(crowded) == 200
    assert np.isfinite(crowded["source_uv"]).all()


def test_late_sampling_moves_the_waveform_earlier():
    settings = {"duration_s": 1.0, "num_channels": 48, "num_units": 12, "sampling_frequency": 30000.0}
    together, turns = simulate_drifting_recording(**settings)[1], simulate_drifting_recording(**settings, adc_shifts=True)[1]
    assert turns.sample_shifts.max() == 11 / 13
    assert not together.sample_shifts.any()
    unit = int(np.argmax(together.unit_amplitudes_uv))
    a, b = together.snippet(unit), turns.snippet(unit)
    channel = int(np.argmin(a.min(axis=0)))
    frequencies = 2 * np.pi * np.fft.rfftfreq(len(a))
    moved = np.fft.irfft(np.fft.rfft(a[:, channel]) * np.exp(1j * frequencies * turns.sample_shifts[channel]), len(a))
    np.testing.assert_allclose(b[:, channel], moved, atol=0.03 * np.abs(a).max())


def test_probes_have_the_layouts_of_their_makers():
    np1 = make_probe("NP1", 384)
    np.testing.assert_array_equal(np1.locations[:4], [[27, 0], [59, 0], [11, 20], [43, 20]])
    np.testing.assert_allclose(np1.sample_shifts[[0, 1, 2, 23, 24]], [0, 0, 1 / 13, 11 / 13, 0])
    np2 = make_probe("NP2", 384)
    np.testing.assert_array_equal(np2.locations[:3], [[27, 0], [59, 0], [27, 15]])
    np.testing.assert_allclose(np2.sample_shifts[[2, 31, 32]], [1 / 16, 15 / 16, 0])
    four = make_probe("NP2.4", 384)
    np.testing.assert_array_equal(np.bincount(four.shank_ids), [96] * 4)
    np.testing.assert_array_equal(four.locations[96], [277, 0])
