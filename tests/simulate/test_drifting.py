"""The simulated recording: same samples however it is read, and the truth that goes with them."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.params import fields
from driftviewer.simulate import DriftingSimulation, SimulatedRecording, Truth, simulate_drifting_recording
from driftviewer.simulate.drifting import GAIN_UV

SMALL = {"duration_s": 2.0, "num_channels": 24, "num_units": 10, "start_s": 0.0, "period_s": 4.0}


@pytest.fixture(scope="module")
def small():
    return simulate_drifting_recording(**SMALL)


def test_a_seed_gives_the_same_recording_and_another_seed_another(small):
    recording, truth = small
    again, same = simulate_drifting_recording(**SMALL)
    other, different = simulate_drifting_recording(**SMALL, seed=1)
    np.testing.assert_array_equal(recording.read(0, 60000), again.read(0, 60000))
    np.testing.assert_array_equal(truth.spike_times, same.spike_times)
    np.testing.assert_array_equal(truth.motion.displacement, same.motion.displacement)
    assert recording.describe() == again.describe() != other.describe()
    assert (recording.read(0, 1000) != other.read(0, 1000)).mean() > 0.5
    assert not np.array_equal(truth.unit_locations, different.unit_locations)


@pytest.mark.parametrize("step", [1, 977, 7499, 7500, 7501, 30000])
def test_samples_do_not_depend_on_how_they_are_read(small, step):
    recording, _ = small
    end = min(60000, 40 * step)
    start = max(0, 7500 - step) if step == 1 else 0
    whole = simulate_drifting_recording(**SMALL)[0].read(start, start + end)
    parts = [recording.read(a, min(a + step, start + end)) for a in range(start, start + end, step)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert whole.dtype == np.int16
    assert whole.flags.c_contiguous


def test_samples_do_not_depend_on_order_or_threads(small):
    whole = small[0].read(0, 60000)
    recording = simulate_drifting_recording(**SMALL)[0]
    starts = np.random.default_rng(0).permutation(np.arange(0, 60000, 2500))
    with ThreadPoolExecutor(4) as pool:
        parts = dict(zip(starts, pool.map(lambda start: recording.read(start, start + 2500), starts), strict=True))
    np.testing.assert_array_equal(np.concatenate([parts[start] for start in sorted(parts)]), whole)


def test_a_recording_is_pickled_by_its_parameters(small):
    recording, _ = small
    data = pickle.dumps(recording)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data).read(5000, 20011), recording.read(5000, 20011))


def test_empty_and_last_reads(small):
    recording, _ = small
    assert recording.read(100, 100).shape == (0, 24)
    assert recording.read(59999, 60000).shape == (1, 24)
    assert recording.get_num_samples() == 60000
    odd, _ = simulate_drifting_recording(**{**SMALL, "duration_s": 1.2345})
    assert odd.read(37000, odd.info.num_samples).shape == (37035 - 37000, 24)


def test_without_noise_a_recording_is_the_sum_of_the_snippets():
    recording, truth = simulate_drifting_recording(**SMALL, noise_uv=0, unit_amplitude_uv=(100.0, 200.0), adc_shifts=True)
    expected = np.zeros((60000 + 400, 24))
    displacements = truth.motion.displacement_at(truth.spike_times / 30000.0, truth.unit_locations[truth.spike_clusters, 1])
    for time, unit, displacement, scale in zip(truth.spike_times, truth.spike_clusters, displacements, truth.spike_scales, strict=True):
        begin = 200 + time - truth.nbefore
        expected[begin : begin + truth.nbefore + truth.nafter] += scale * truth.snippet(unit, displacement)
    assert np.abs(expected).max() > 80
    assert np.ptp(displacements) > 20
    np.testing.assert_allclose(recording.read(0, 60000) * GAIN_UV, expected[200:-200], atol=GAIN_UV * 0.51)


def test_noise_falls_off_with_distance_and_has_its_level():
    recording, _ = simulate_drifting_recording(3.0, 64, 1, seed=5, firing_rate_hz=0, noise_uv=(5.0, 9.0), noise_decay_um=30.0)
    traces = recording.read(0, 90000) * GAIN_UV
    levels = traces.std(axis=0)
    assert 4.9 < levels.min() < 6 < 8 < levels.max() < 9.1
    locations = recording.info.channel_locations
    apart = np.linalg.norm(locations[:, None] - locations[None], axis=2)
    np.testing.assert_allclose(np.corrcoef(traces.T), np.exp(-apart / 30.0), atol=0.03)
    lagged = (traces[1:] * traces[:-1]).mean(axis=0) / levels**2
    assert np.abs(lagged).max() < 0.02
    assert np.abs(traces.mean(axis=0)).max() < 0.15


def test_independent_noise_and_blocks():
    recording, _ = simulate_drifting_recording(1.0, 16, 1, firing_rate_hz=0, noise_uv=7, noise_decay_um=0)
    traces = recording.read(0, 30000).astype(float)
    assert np.abs(np.corrcoef(traces.T) - np.eye(16)).max() < 0.03
    assert np.abs(np.corrcoef(traces[:7500, 0], traces[7500:15000, 0])[0, 1]) < 0.05


def test_parts_draw_from_streams_of_their_own():
    _, plain = simulate_drifting_recording(**SMALL)
    _, other = simulate_drifting_recording(**SMALL, drift="bumps", noise_uv=1, probe="NP2")
    np.testing.assert_array_equal(plain.spike_times, other.spike_times)


def test_clock_starts_where_asked():
    recording, truth = simulate_drifting_recording(**SMALL, t_start_s=1000.0)
    assert recording.info.t_start == 1000.0
    assert truth.motion.temporal_bins_s[0] == 1000.0
    plain = simulate_drifting_recording(**SMALL)[0]
    assert np.mean(recording.read(0, 9000) != plain.read(0, 9000)) < 1e-3  # displacement may differ in its last digit


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"drift": "nonrigd"}, "did you mean 'nonrigid'"),
        ({"probe": "NP3"}, "choose one of NP1, NP2, NP2.4, linear"),
        ({"rate_modulation": "sine"}, "none, periodic"),
        ({"noize_uv": 3}, "did you mean 'noise_uv'"),
        ({"duration_s": -1}, "out of bounds"),
        ({"num_units": 2.5}, "whole number"),
        ({"firing_rate_hz": (8, 2)}, "not a range"),
        ({"noise_uv": (1, 2, 3)}, "not a range"),
        ({"firing_rate_hz": "fast"}, "not a number"),
        ({"num_channels": 961}, "more than the 960 contacts"),
        ({"num_channels": 130, "probe": "NP2.4"}, "multiple of 4"),
        ({"seed": -1}, "out of bounds"),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(given, words):
    with pytest.raises(InputError, match=words) as error:
        simulate_drifting_recording(**given)
    assert "\n" not in str(error.value)


def test_parameters_are_declared_for_forms():
    assert all(field.param.help.endswith(".") for field in fields(DriftingSimulation))
    simulation = DriftingSimulation(noise_uv=5)
    assert simulation.noise_uv == (5.0, 5.0)
    assert simulation.to_dict()["method"] == "drifting"
    assert isinstance(SimulatedRecording(simulation.replace(duration_s=1)), SimulatedRecording)


@pytest.mark.parametrize("probe", ["NP1", "NP2", "NP2.4"])
@pytest.mark.parametrize("format", ["binary", "spikeglx"])
def test_a_written_recording_is_the_same_and_its_truth_fits_it(tmp_path, probe, format):
    settings = {**SMALL, "num_channels": 32, "probe": probe, "adc_shifts": True, "noise_uv": 1, "t_start_s": 3.0}
    lazy, _ = simulate_drifting_recording(**settings)
    written, truth = simulate_drifting_recording(**settings, folder=tmp_path / "größe 1", format=format)
    assert not isinstance(written, SimulatedRecording)
    where = np.lexsort(written.info.channel_locations.T), np.lexsort(lazy.info.channel_locations.T)
    np.testing.assert_array_equal(written.read(0, 60000)[:, where[0]], lazy.read(0, 60000)[:, where[1]])
    np.testing.assert_allclose(written.info.gain_uv, GAIN_UV)
    assert written.info.t_start == pytest.approx(truth.t_start_s)
    for path in (truth, Truth.load(tmp_path / "größe 1" / "truth.npz")):
        rendered = np.zeros((60000, 32), np.float32)
        path.add_spikes(rendered, 0)
        assert np.abs(rendered).max() > 40
        assert np.abs(written.read(0, 60000) * GAIN_UV - rendered).max() < 7


def test_unknown_file_format_and_unwritable_folder(tmp_path):
    with pytest.raises(InputError, match="did you mean 'spikeglx'"):
        simulate_drifting_recording(**SMALL, folder=tmp_path, format="spikeglix")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write"):
        simulate_drifting_recording(**SMALL, folder=tmp_path / "file")


@pytest.mark.parametrize("probe", ["NP1", "NP2", "NP2.4", "linear"])
def test_every_probe_sees_its_units(probe):
    recording, truth = simulate_drifting_recording(1.0, 32, 8, probe=probe, firing_rate_hz=30)
    traces = recording.read(0, 30000) * GAIN_UV
    for unit in range(8):
        channel = np.argmin(truth.snippet(unit).min(axis=0))
        times = truth.spike_times[truth.spike_clusters == unit]
        times = times[(times > 10) & (times < 29990)]
        around = np.mean([traces[time - 10 : time + 10, channel].min() for time in times])
        assert around < -0.5 * truth.unit_amplitudes_uv[unit]
