import numpy as np
import pytest

from driftviewer.errors import InputError
from driftviewer.localize import GridConvolution
from driftviewer.noise import measure_noise
from driftviewer.prototype import FEWEST_PEAKS, gaussian_prototype, time_courses

RATE = 20000.0
COURSE = np.array([0.1, 0.5, 1.0, 0.4, -0.3, -0.2])


@pytest.fixture
def spiking(array_recording):
    """Troughs of a known course on contact 3, smaller on its neighbours, crests on contact 9, and noise."""
    rng = np.random.default_rng(0)
    traces = 7.0 + rng.normal(0, 5, (60000, 12))
    troughs, crests = 100 + 150 * np.arange(300), 170 + 450 * np.arange(100)
    for frames, contact, size in ((troughs, 3, -200.0), (crests, 9, 150.0)):
        for frame in frames:
            for other in range(12):
                traces[frame - 2 : frame + 4, other] += size * 0.5 ** abs(other - contact) * COURSE
    return array_recording(traces.astype(np.float32), rate=RATE)


def test_gaussian():
    found = gaussian_prototype(3, 9, 30000.0, 0.25)
    times = (np.arange(12) - 3) / 30.0
    np.testing.assert_allclose(found, np.exp(-(times**2) / (2 * 0.25**2)))
    assert found[3] == 1


def test_measured_courses_are_those_of_the_spikes(spiking):
    troughs, crests = measure_noise(spiking).prototypes
    half = len(troughs) // 2
    assert half == 40 and troughs[half] == crests[half] == 1
    for found in (troughs, crests):
        np.testing.assert_allclose(found[half - 2 : half + 4], COURSE, atol=0.02)
        assert np.abs(np.r_[found[: half - 3], found[half + 5 :]]).max() < 0.03


def test_same_seed_same_courses(spiking):
    first, again, other = (measure_noise(spiking, 4, 500, seed).prototypes for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_unusable_channels_give_no_waveform(spiking):
    # contact 3 is clipped; its neighbours see the same spikes
    spiking.traces[:, 3] = np.where(spiking.traces[:, 3] > 7, 300, -300)
    noise = measure_noise(spiking)
    assert not noise.usable[3]
    np.testing.assert_allclose(noise.prototypes[0][38:44], COURSE, atol=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_samples_are_passed_over(spiking, value):
    wanted = measure_noise(spiking).prototypes
    spiking.traces[1000:1200, 3] = value
    np.testing.assert_allclose(measure_noise(spiking).prototypes, wanted, atol=0.02)


def test_few_spikes_or_frames_give_none(array_recording):
    rng = np.random.default_rng(0)
    quiet = rng.normal(0, 5, (60000, 4))
    quiet[1000 : 1000 + 500 * (FEWEST_PEAKS - 1) : 500] -= 300
    assert np.isnan(measure_noise(array_recording(quiet)).prototypes).all()
    assert np.isnan(measure_noise(array_recording(quiet[:40])).prototypes).all()


def test_time_courses_cut_and_pad_what_was_measured():
    measured = np.array([np.arange(5.0), np.full(5, np.nan)])
    gaussian = np.linspace(0.1, 0.9, 8)
    found = time_courses(measured, gaussian, 4)
    np.testing.assert_array_equal(found[0], [0, 0, 0, 1, 2, 3, 4, 0])
    np.testing.assert_array_equal(found[1], np.full(8, gaussian))
    np.testing.assert_array_equal(time_courses(measured, gaussian[:2], 1)[0], [1, 2])
    np.testing.assert_array_equal(time_courses(None, gaussian, 4), [gaussian, gaussian])


def test_a_waveform_of_your_own(spiking):
    given = GridConvolution(prototype=-3.0 * COURSE)
    assert given.prototype == "data" and given == GridConvolution(waveform=tuple(-3.0 * COURSE))
    np.testing.assert_allclose(given.courses(None, RATE, 2, 6), [COURSE, COURSE])
    with pytest.raises(InputError, match="no peak at frame 6"):
        given.courses(None, RATE, 6, 6)
