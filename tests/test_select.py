import numpy as np
import pytest

from driftviewer.data import PEAK_DTYPE
from driftviewer.errors import InputError
from driftviewer.select import SELECTORS, select_peaks


@pytest.fixture
def peaks():
    rng = np.random.default_rng(0)
    out = np.zeros(5000, PEAK_DTYPE)
    out["sample_index"] = np.sort(rng.integers(0, 100_000, 5000))
    out["channel_index"] = rng.choice(8, 5000, p=[0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.018, 0.002])
    out["amplitude"] = -np.arange(5000)
    return out


def test_all_comes_first_and_keeps_everything(peaks):
    assert SELECTORS.names()[0] == "all"
    np.testing.assert_array_equal(select_peaks(peaks, "all"), peaks)


def test_uniform_draws_without_replacement_in_order(peaks):
    chosen, indices = select_peaks(peaks, n_peaks=700, return_indices=True)
    assert indices.dtype == np.int64 and len(np.unique(indices)) == 700
    np.testing.assert_array_equal(chosen, peaks[indices])
    assert (np.diff(indices) > 0).all()
    np.testing.assert_array_equal(select_peaks(peaks, n_peaks=700), chosen)
    assert not np.array_equal(select_peaks(peaks, n_peaks=700, seed=1), chosen)


def test_uniform_is_uniform(peaks):
    counts = sum(np.bincount(select_peaks(peaks, n_peaks=500, seed=s, return_indices=True)[1], minlength=5000) for s in range(200))
    assert abs(counts.mean() - 20) < 1e-9 and abs(counts.std() - np.sqrt(20 * 0.9)) < 0.3


def test_uniform_per_channel(peaks):
    chosen = select_peaks(peaks, n_peaks=100, select_per_channel=True)
    have = np.bincount(peaks["channel_index"], minlength=8)
    np.testing.assert_array_equal(np.bincount(chosen["channel_index"], minlength=8), np.minimum(have, 100))


def test_fewer_peaks_than_asked_for_are_all_kept(peaks):
    np.testing.assert_array_equal(select_peaks(peaks), peaks)
    assert len(select_peaks(peaks[:0])) == 0
    assert len(select_peaks(peaks[:0], select_per_channel=True)) == 0


@pytest.mark.parametrize("method", ["all", "uniform"])
def test_unsorted_peaks_come_out_in_order_of_segment_and_frame(peaks, method):
    peaks["segment_index"][::3] = 1
    chosen = select_peaks(np.random.default_rng(1).permutation(peaks), method)
    key = chosen["segment_index"] * 10**6 + chosen["sample_index"]
    assert (np.diff(key) >= 0).all()


def test_wrong_parameters(peaks):
    with pytest.raises(InputError, match="n_peaks"):
        select_peaks(peaks, n_peaks=0)
    with pytest.raises(InputError, match="uniform"):
        select_peaks(peaks, "uniformly")
